import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from data_prep import shards
from mtcnn_tf import stages
from mtcnn_tf.images import image_files
from mtcnn_tf.records import image_records, manifests

ROOT = pathlib.Path(__file__).parents[3]


def some_image(num_faces=2, num_proposals=None, seed=0, **changes):
    rng = np.random.default_rng(seed)
    landmarks = rng.normal(size=(num_faces, 5, 2)).astype(np.float32)
    landmarks[::2] = np.nan
    image = image_records.ImageRecord(
        encoded=rng.bytes(50),
        height=30,
        width=40,
        path="folder/ä 写真.jpg",
        boxes=rng.normal(size=(num_faces, 4)).astype(np.float32),
        landmarks=landmarks,
        ignored=rng.normal(size=(seed, 4)).astype(np.float32),
        is_complete=bool(seed % 2),
    )
    if num_proposals is not None:
        boxes, scores = rng.normal(size=(num_proposals, 4)), np.sort(rng.random(num_proposals))[::-1]
        changes |= {"proposals": boxes.astype(np.float32), "proposal_scores": scores.astype(np.float32)}
    return dataclasses.replace(image, **changes)


IMAGES = {
    "usual": some_image(),
    "no faces": some_image(0, seed=1),
    "500 faces": some_image(500, seed=3),
    "smaller than a stride": some_image(0, encoded=image_files.encode_jpeg(np.zeros((3, 5, 3), np.uint8)), height=3),
    "proposals": some_image(1, 400),
    "no proposals": some_image(1, 0),
    "not UTF-8": some_image(path="a/caf\udce9.jpg"),
}


def assert_same(image, other):
    for field in dataclasses.fields(image_records.ImageRecord):
        value, other_value = getattr(image, field.name), getattr(other, field.name)
        if isinstance(value, np.ndarray):
            assert value.dtype == other_value.dtype == np.float32
            np.testing.assert_array_equal(value, other_value)
        elif field.name != "index":
            assert value == other_value and type(value) is type(other_value), field.name


def write_records(records_dir, images, stage=stages.RPN, split="train", num_shards=2):
    """Image records without a build; returns their manifest."""
    entries = [
        shards.write_images(
            records_dir / stage.name,
            split,
            shard,
            num_shards,
            map(image_records.serialize, images[shard::num_shards]),
        )
        for shard in range(num_shards)
    ]
    manifest = {"stage": stage.name, "records": manifests.IMAGES, "shards": entries}
    shards.write_json(records_dir / stage.name / manifests.MANIFEST, manifest)
    return manifest


@pytest.mark.parametrize("name", IMAGES)
def test_what_is_written_is_read(name):
    assert_same(image_records.parse(image_records.serialize(IMAGES[name])), IMAGES[name])


@pytest.mark.parametrize("num_points", [1, 3, 68])
@pytest.mark.parametrize("name", IMAGES)
def test_faces_may_have_any_number_of_points(name, num_points):
    image = IMAGES[name]
    landmarks = np.resize(np.float32([*range(9), np.nan]), (len(image.boxes), num_points, 2))
    image = dataclasses.replace(image, landmarks=landmarks)
    assert_same(image_records.parse(image_records.serialize(image), num_points=num_points), image)


@pytest.mark.parametrize("name", IMAGES)
def test_tensorflow_writes_the_same_bytes_and_reads_them(name):
    image = IMAGES[name]
    record = image_records.serialize(image)
    example = tf.train.Example.FromString(record)
    assert example.SerializeToString(deterministic=True) == record
    lists = {field: tf.io.VarLenFeature(tf.float32) for field in ("boxes", "landmarks", "ignored", "proposals")}
    single = {"image": tf.io.FixedLenFeature([], tf.string), "height": tf.io.FixedLenFeature([], tf.int64)}
    parsed = tf.io.parse_single_example(record, {**lists, **single})
    assert parsed["image"] == image.encoded and parsed["height"] == image.height
    for field in lists:
        values = getattr(image, field)
        np.testing.assert_array_equal(parsed[field].values, [] if values is None else values.ravel())


def test_a_split_is_read_shard_by_shard_and_numbered(tmp_path):
    images = [some_image(number, seed=number) for number in range(5)]
    manifest = write_records(tmp_path, images)
    found = list(image_records.read(tmp_path, stages.RPN, "train"))
    assert [image.index for image in found] == list(range(5))
    for image, expected in zip(found, images[::2] + images[1::2], strict=True):
        assert_same(image, expected)
    paths = [str(tmp_path / "rpn" / entry["file"]) for entry in manifest["shards"]]
    assert list(tf.data.TFRecordDataset(paths).as_numpy_iterator()) == list(map(image_records.serialize, found))
    assert not list(image_records.read(tmp_path, stages.RPN, "validation"))
    with pytest.raises(ValueError, match="split must be one of train, validation, got 'val'"):
        image_records.read(tmp_path, stages.RPN, "val")


def test_shards_are_read_as_images_are_asked_for(tmp_path):
    manifest = write_records(tmp_path, [some_image(), some_image(seed=1)])
    found = image_records.read(tmp_path, stages.RPN, "train")
    next(found)
    (tmp_path / "rpn" / manifest["shards"][1]["file"]).unlink()
    with pytest.raises(FileNotFoundError):
        next(found)


def test_what_tensorflow_framed_is_read(tmp_path):
    rows = [b"", b"a", bytes(range(256)) * 50]
    path = str(tmp_path / "rows.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for row in rows:
            writer.write(row)
    assert list(image_records.read_records(path)) == rows


@pytest.mark.parametrize("kept", [5, 12, 40, -4, -1])
def test_a_cut_file_is_one_sentence(tmp_path, kept):
    write_records(tmp_path, [some_image()], num_shards=1)
    path = next((tmp_path / "rpn").rglob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="cut short or damaged; the command that built them"):
        list(image_records.read_records(path))
    with pytest.raises(ValueError, match="1 shards .*cut short.*--stage=rpn"):
        image_records.read(tmp_path, stages.RPN, "train")


def test_a_damaged_length_takes_no_memory_and_damaged_contents_are_told(tmp_path):
    write_records(tmp_path, [some_image()], num_shards=1)
    path = next((tmp_path / "rpn").rglob("*.tfrecord"))
    whole = path.read_bytes()
    path.write_bytes(b"\xff" * 8 + whole[8:])
    with pytest.raises(ValueError, match="cut short or damaged"):
        list(image_records.read(tmp_path, stages.RPN, "train"))
    path.write_bytes(whole[:12] + bytes(len(whole) - 12))
    with pytest.raises(ValueError, match="expected the record of an image"):
        list(image_records.read(tmp_path, stages.RPN, "train"))
    with pytest.raises(ValueError, match="not what was written, by their SHA-256"):
        manifests.check_shards(tmp_path, stages.RPN)
    for wrong in (b"", b"\x0a\x00", b"nonsense"):
        with pytest.raises(ValueError, match="expected the record of an image"):
            image_records.parse(wrong)


def test_records_of_the_other_kind_are_refused_in_one_sentence(tmp_path):
    for stage in (stages.RPN, stages.RNET):
        write_records(tmp_path, [some_image()], stage)
        assert manifests.read(tmp_path, stage)["stage"] == stage.name
    with pytest.raises(ValueError, match=r"expected records of crops .*got records of whole images.*in_records$"):
        manifests.read(tmp_path, stages.RNET, manifests.CROPS)
    path = tmp_path / "rpn" / manifests.MANIFEST
    path.write_text(path.read_text().replace(f'"records": "{manifests.IMAGES}"', '"records": "scrolls"'))
    with pytest.raises(ValueError, match=r"expected records of whole images .*got records of scrolls; build others"):
        manifests.read(tmp_path, stages.RPN, manifests.IMAGES)
    path = tmp_path / "rnet" / manifests.MANIFEST
    path.write_text(path.read_text().replace('"records": "images",', ""))  # as before there were two kinds
    assert manifests.read(tmp_path, stages.RNET, manifests.CROPS)
    with pytest.raises(ValueError, match=r"expected records of whole images .*of crops.*--crops=on_the_fly$"):
        image_records.read(tmp_path, stages.RNET, "train")


def test_reading_needs_no_tensorflow(tmp_path):
    write_records(tmp_path, [IMAGES["proposals"]])
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from mtcnn_tf import faces, stages\n"
        "from mtcnn_tf.geometry import anchors, boxes\n"
        "from mtcnn_tf.images import image_files\n"
        "from mtcnn_tf.records import image_records, manifests\n"
        f"manifests.check_shards({str(tmp_path)!r}, stages.RPN)\n"
        f"print(*(len(p.proposals) for p in image_records.read({str(tmp_path)!r}, stages.RPN, 'train')))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == "400\n", result.stderr
