import os

import numpy as np
import pytest
import tensorflow as tf

from data_prep import shards
from mtcnn_tf import kinds
from mtcnn_tf.records import crop_records


def some_examples(num):
    rng = np.random.default_rng(0)
    return crop_records.Examples(
        rng.integers(0, 256, (num, 12, 12, 3), dtype=np.uint8),
        rng.integers(0, 4, num),
        rng.normal(size=(num, 4)).astype(np.float32),
        rng.normal(size=(num, 10)).astype(np.float32),
    )


def test_a_shard_of_every_kind(tmp_path):
    examples = some_examples(50)
    entries = shards.write(tmp_path, "train", 3, 16, examples)
    assert [entry["file"] for entry in entries] == [f"train/{name}-00003-of-00016.tfrecord" for name in kinds.NAMES]
    for kind, entry in enumerate(entries):
        path = tmp_path / entry["file"]
        rows = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        assert len(rows) == entry["examples"] == np.sum(examples.kinds == kind)
        assert path.stat().st_size == entry["bytes"]
        parsed = crop_records.parse(tf.constant(np.fromfile(path, np.uint8).reshape(len(rows), -1)), 12)
        np.testing.assert_array_equal(parsed["image"], examples.images[examples.kinds == kind])
        assert shards.is_intact(tmp_path, entry)
        path.write_bytes(path.read_bytes() + b"more")
        assert not shards.is_intact(tmp_path, entry)
        path.unlink()
        assert not shards.is_intact(tmp_path, entry)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "list.txt"
    shards.write_text(path, "before")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        shards.write_text(path, "half of what came after")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["list.txt"]


def test_names_that_are_not_utf8_can_be_reported(tmp_path):
    shards.write_text(tmp_path / "problems.txt", os.fsdecode(b"caf\xe9.jpg"))
    assert (tmp_path / "problems.txt").read_bytes() == b"caf\xe9.jpg"
