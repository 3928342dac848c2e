import numpy as np
import pytest
import tensorflow as tf

from data_prep import shards
from mtcnn_tf import kinds, stages
from mtcnn_tf.records import crop_records, input_pipeline, manifests

NUM = {"negative": 60, "positive": 20, "part": 20, "landmark": 30}


def numbered_examples(stage, counts):
    """Examples that carry their number within the kind in every pixel and offset."""
    parts = []
    for kind, name in enumerate(kinds.NAMES):
        number = np.arange(counts[name])
        images = np.broadcast_to(number[:, None, None, None], (len(number), stage.size, stage.size, 3)).astype(np.uint8)
        offsets = np.tile(number[:, None], (1, 4)).astype(np.float32)
        landmarks = np.tile(number[:, None], (1, 10)).astype(np.float32)
        parts.append(crop_records.Examples(images, np.full(len(number), kind), offsets, landmarks))
    return crop_records.concatenate(parts)


def write_records(directory, stage=stages.PNET, counts=NUM, num_shards=3):
    stage_dir = directory / stage.name
    entries = []
    for split in manifests.SPLITS:
        examples = numbered_examples(stage, counts)
        for shard in range(num_shards):
            entries += shards.write(stage_dir, split, shard, num_shards, examples[shard::num_shards])
    shards.write_json(stage_dir / manifests.MANIFEST, {"stage": stage.name, "shards": entries})
    return str(directory)


def count(batch):
    found = np.bincount(batch["kind"].numpy(), minlength=4)
    return dict(zip(kinds.NAMES, found.tolist(), strict=True))


@pytest.mark.slow
def test_every_batch_has_the_exact_mix(tmp_path):
    records_dir = write_records(tmp_path)
    for batch in input_pipeline.batches(records_dir, stages.PNET, "train", 14).take(20):
        assert count(batch) == {"negative": 6, "positive": 2, "part": 2, "landmark": 4}
        assert batch["image"].shape == (14, 12, 12, 3) and batch["image"].dtype == tf.float32
        assert batch["offsets"].shape == (14, 4) and batch["landmarks"].shape == (14, 10)
    only_two = {"negative": 3, "positive": 1}
    batch = next(iter(input_pipeline.batches(records_dir, stages.PNET, "train", 8, only_two)))
    assert count(batch) == {"negative": 6, "positive": 2, "part": 0, "landmark": 0}


def test_targets_stay_with_their_pixels(tmp_path):
    for batch in input_pipeline.batches(write_records(tmp_path), stages.PNET, "train", 14).take(5):
        numbers = batch["image"].numpy()[:, 0, 0, 0]
        np.testing.assert_array_equal(batch["offsets"], np.tile(numbers[:, None], (1, 4)))
        np.testing.assert_array_equal(batch["landmarks"], np.tile(numbers[:, None], (1, 10)))


def test_an_epoch_of_one_kind_sees_each_example_before_any_twice(tmp_path):
    records_dir = write_records(tmp_path)
    batches = input_pipeline.batches(records_dir, stages.PNET, "train", 20, {"positive": 1}, seed=3)
    seen = np.concatenate([batch["image"].numpy()[:, 0, 0, 0] for batch in batches.take(50)])
    counts = np.bincount(seen.astype(int), minlength=20)
    assert counts.min() > 20 and counts.max() < 80  # 50 on average; the shuffle reaches over epochs


@pytest.mark.slow
def test_seeds(tmp_path):
    records_dir = write_records(tmp_path)

    def first(seed):
        batch = next(iter(input_pipeline.batches(records_dir, stages.PNET, "train", 14, augment=True, seed=seed)))
        return batch["image"].numpy()

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def test_validation_gives_every_example_once_and_as_it_is(tmp_path):
    batches = input_pipeline.batches(write_records(tmp_path), stages.PNET, "validation", 32, repeat=False)
    kind, number = (
        np.concatenate([values(batch) for batch in batches])
        for values in (lambda batch: batch["kind"].numpy(), lambda batch: batch["image"].numpy()[:, 0, 0, 0])
    )
    for index, name in enumerate(kinds.NAMES):
        np.testing.assert_array_equal(np.sort(number[kind == index]), np.arange(NUM[name]))


def test_a_kind_without_records_is_left_out(tmp_path):
    records_dir = write_records(tmp_path, counts={**NUM, "landmark": 0})
    batch = next(iter(input_pipeline.batches(records_dir, stages.PNET, "train", 15)))
    assert count(batch) == {"negative": 9, "positive": 3, "part": 3, "landmark": 0}
    with pytest.raises(ValueError, match="holds no train examples of the wanted kinds"):
        input_pipeline.batches(records_dir, stages.PNET, "train", 15, {"landmark": 1})


@pytest.mark.parametrize("batch_size", [4, 5, 7, 10, 384, 1000])
def test_rows_per_kind(batch_size):
    rows = kinds.rows_per_kind(input_pipeline.DEFAULT_MIX, batch_size)
    assert sum(rows.values()) == batch_size and min(rows.values()) >= 1
    for name, fraction in input_pipeline.DEFAULT_MIX.items():
        assert abs(rows[name] - batch_size * fraction / 7) < 2.5


def test_a_batch_smaller_than_the_mix_is_refused():
    with pytest.raises(ValueError, match="at least 4 rows"):
        kinds.rows_per_kind(input_pipeline.DEFAULT_MIX, 3)


def test_records_of_another_stage_or_none(tmp_path):
    records_dir = write_records(tmp_path, stages.RNET)
    with pytest.raises(FileNotFoundError, match=r"expected finished pnet records.*found rnet.*--stage=pnet"):
        input_pipeline.read_manifest(records_dir, stages.PNET)
    with pytest.raises(FileNotFoundError, match="found no records"):
        input_pipeline.read_manifest(str(tmp_path / "nowhere"), stages.PNET)
    (tmp_path / "rnet").rename(tmp_path / "onet")
    with pytest.raises(ValueError, match="expected records of onet.*got records of rnet"):
        input_pipeline.read_manifest(records_dir, stages.ONET)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_missing_and_truncated_shards_are_named(tmp_path, damage):
    records_dir = write_records(tmp_path)
    shard = tmp_path / "pnet" / "validation" / "positive-00001-of-00003.tfrecord"
    content = shard.read_bytes()
    shard.unlink()
    if damage == "truncated":
        shard.write_bytes(content[:-7])
    with pytest.raises(ValueError, match="1 shards.*cut short, the first validation/positive-00001"):
        input_pipeline.read_manifest(records_dir, stages.PNET)


def test_flipped_bits_are_found(tmp_path):
    records_dir = write_records(tmp_path)
    input_pipeline.check_shards(records_dir, stages.PNET)
    shard = tmp_path / "pnet" / "validation" / "positive-00001-of-00003.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ValueError, match="1 shards.*not what was written.*the first validation/positive-00001"):
        input_pipeline.check_shards(records_dir, stages.PNET)


def test_files_of_any_length_are_read_to_their_end(tmp_path, monkeypatch):
    """Blocks of 8 rows, and files with less than one, several, exactly two, and two and a bit."""
    monkeypatch.setattr(input_pipeline, "NUM_READ", 8)
    counts = {"negative": 3, "positive": 30, "part": 16, "landmark": 17}
    records_dir = write_records(tmp_path, counts=counts, num_shards=1)
    for name, num in counts.items():
        mix = {name: 1}
        (batch,) = input_pipeline.batches(records_dir, stages.PNET, "validation", 64, mix, repeat=False)
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], np.arange(num))
        batches = input_pipeline.batches(records_dir, stages.PNET, "train", num, mix)
        for batch in batches.take(3):
            np.testing.assert_array_equal(np.sort(batch["image"][:, 0, 0, 0]), np.arange(num))


def test_records_of_another_layout_are_refused(tmp_path):
    records_dir = write_records(tmp_path)
    for path in (tmp_path / "pnet" / "train").iterdir():
        path.write_bytes(path.read_bytes().replace(b"landmarks", b"Landmarks"))
    with pytest.raises(ValueError, match="as this version writes them"):
        input_pipeline.batches(records_dir, stages.PNET, "train", 14)
