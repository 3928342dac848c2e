"""Sharded record files that exist whole or not at all, and the manifest that says what is in them.

OUT_DIR/pnet/train/positive-00003-of-00016.tfrecord      one file for each kind and shard
OUT_DIR/pnet/validation/positive-00000-of-00001.tfrecord
OUT_DIR/pnet/manifest.json                               written last: a folder without one is unfinished
OUT_DIR/pnet/unfinished/train-00003.json                 while it is built: this shard is done
"""

import json

import numpy as np
import tensorflow as tf

from mtcnn_tf import files, kinds, records

UNFINISHED = "unfinished"
SPLITS = ("train", "validation")


def shard_name(split: str, kind: str, shard: int, num_shards: int) -> str:
    """The path of a shard below the stage's folder."""
    return f"{split}/{kind}-{shard:05d}-of-{num_shards:05d}.tfrecord"


def write(stage_dir: files.Path, split: str, shard: int, num_shards: int, examples: records.Examples) -> list[dict]:
    """Writes one shard of every kind and returns what the manifest says of each: file, kind, examples, bytes, sha256.

    Raises:
        OSError: A file could not be written; nothing half-written is left.
    """
    entries = []
    for kind, name in enumerate(kinds.NAMES):
        of_kind = examples[examples.kinds == kind]
        file_name = shard_name(split, name, shard, num_shards)
        path = stage_dir / file_name
        digest = _write_records(path, records.serialize(of_kind))
        num_bytes = path.stat().st_size
        entries.append(
            {"file": file_name, "kind": name, "examples": len(of_kind), "bytes": num_bytes, "sha256": digest}
        )
    return entries


def _write_records(path: files.Path, rows: np.ndarray) -> str:
    """Writes each row as a record and returns the SHA-256 of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as partial:
        try:
            with tf.io.TFRecordWriter(str(partial)) as writer:
                for row in rows:
                    writer.write(row.tobytes())
        except tf.errors.OpError as error:
            raise OSError(f"could not write {path}: {error.message}") from error
        return files.sha256(partial)


def write_json(path: files.Path, content: dict | list) -> None:
    """Writes `content` as JSON; the file appears whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_text(path: files.Path, text: str) -> None:
    """Writes `text`; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape")


def is_whole(stage_dir: files.Path, entry: dict) -> bool:
    """Whether the shard of a manifest's entry is there, with the contents that were written."""
    path = stage_dir / entry["file"]
    return path.is_file() and files.sha256(path) == entry["sha256"]
