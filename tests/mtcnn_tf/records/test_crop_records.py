import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import kinds
from mtcnn_tf.records import crop_records


def some_examples(num, size, kind=None, seed=0):
    rng = np.random.default_rng(seed)
    return crop_records.Examples(
        rng.integers(0, 256, (num, size, size, 3), dtype=np.uint8),
        rng.integers(0, 4, num) if kind is None else np.full(num, kind),
        rng.normal(size=(num, 4)).astype(np.float32),
        rng.normal(size=(num, 10)).astype(np.float32),
    )


def framed(examples, tmp_path):
    """The bytes of a TFRecord file as TensorFlow writes it, a row for each record."""
    path = str(tmp_path / "records")
    with tf.io.TFRecordWriter(path) as writer:
        for row in crop_records.serialize(examples):
            writer.write(row.tobytes())
    content = np.fromfile(path, np.uint8)
    return content.reshape(len(examples), crop_records.num_bytes(examples.images.shape[1]))


@pytest.mark.parametrize("size", [12, 24, 48])
@pytest.mark.parametrize("kind", range(4))
def test_round_trip(size, kind, tmp_path):
    examples = some_examples(5, size, kind)
    parsed = crop_records.parse(tf.constant(framed(examples, tmp_path)), size)
    np.testing.assert_array_equal(parsed["image"], examples.images)
    np.testing.assert_array_equal(parsed["kind"], examples.kinds)
    np.testing.assert_array_equal(parsed["offsets"], examples.offsets)
    np.testing.assert_array_equal(parsed["landmarks"], examples.landmarks)


@pytest.mark.parametrize("size", [12, 24, 48])
def test_round_trip_of_any_number_of_points(size):
    for num_points in (*range(1, 80), 98, 106, 194, 478):
        landmarks = np.full((4, 2 * num_points), 1, np.float32)
        landmarks[1:] = np.frombuffer(b"\x03\x03\x03\x03\x04\x03\x03\x03\x7f\x7f\x7f\x7f", np.float32)[:, None]
        some = some_examples(4, size, kinds.LANDMARK)
        examples = crop_records.Examples(some.images, some.kinds, some.offsets, landmarks)
        rows = np.pad(crop_records.serialize(examples), [(0, 0), crop_records.FRAME])
        assert rows.shape[1] == crop_records.num_bytes(size, num_points)
        parsed = crop_records.parse(tf.constant(rows), size, num_points)
        for name, values in (("image", some.images), ("kind", some.kinds), ("offsets", some.offsets)):
            np.testing.assert_array_equal(parsed[name], values)
        np.testing.assert_array_equal(parsed["landmarks"], landmarks)
        crop_records.check_layout(rows[0].tobytes(), size, num_points)
        message = tf.train.Example.FromString(rows[1, crop_records.FRAME[0] : -crop_records.FRAME[1]].tobytes())
        np.testing.assert_array_equal(np.float32(message.features.feature["landmarks"].float_list.value), landmarks[1])


def test_records_are_what_a_protocol_buffer_writes():
    """The oracle: TensorFlow's own message, built field by field."""
    examples = some_examples(3, 12, kinds.LANDMARK)
    for row, image, offsets, landmarks in zip(
        crop_records.serialize(examples), examples.images, examples.offsets, examples.landmarks, strict=True
    ):
        message = tf.train.Example.FromString(row.tobytes())
        feature = message.features.feature
        assert set(feature) == {"image", "kind", "offsets", "landmarks"}
        assert feature["image"].bytes_list.value == [image.tobytes()]
        assert feature["kind"].int64_list.value == [kinds.LANDMARK]
        np.testing.assert_array_equal(np.float32(feature["offsets"].float_list.value), offsets)
        np.testing.assert_array_equal(np.float32(feature["landmarks"].float_list.value), landmarks)


def test_pixels_that_look_like_marks_survive(tmp_path):
    examples = some_examples(3, 12, kinds.PART)
    for row, value in enumerate((1, 2, 127)):
        examples.images[row] = value
    parsed = crop_records.parse(tf.constant(framed(examples, tmp_path)), 12)
    np.testing.assert_array_equal(parsed["image"], examples.images)


def test_mixed_kinds_are_refused():
    with pytest.raises(ValueError, match="one kind"):
        crop_records.serialize(some_examples(20, 12))


def test_records_that_lie_otherwise_are_refused(tmp_path):
    content = framed(some_examples(2, 24, kinds.PART), tmp_path)
    crop_records.check_layout(content[0].tobytes(), 24)
    crop_records.check_layout(content[1].tobytes(), 24)
    wrong_name = content[0].tobytes().replace(b"offsets", b"offsats")
    for wrong in (wrong_name, content[0, :-1].tobytes(), b""):
        with pytest.raises(ValueError, match="crops of 24 pixels as this version writes them; build them again"):
            crop_records.check_layout(wrong, 24)
    with pytest.raises(ValueError, match="crops of 12 pixels"):
        crop_records.check_layout(content[0].tobytes(), 12)


def test_concatenate_select_and_count():
    whole = crop_records.concatenate([some_examples(4, 12, 0), some_examples(3, 12, 2), crop_records.no_examples(12)])
    assert crop_records.num_per_kind(whole) == {"negative": 4, "positive": 0, "part": 3, "landmark": 0}
    assert len(whole[whole.kinds == 2]) == 3
    assert crop_records.serialize(crop_records.no_examples(12)).shape[0] == 0
