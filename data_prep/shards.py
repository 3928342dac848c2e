"""Sharded record files that exist whole or not at all, and the manifest that says what is in them.

OUT_DIR/pnet/train/positive-00003-of-00016.tfrecord      one file for each kind and shard
OUT_DIR/pnet/validation/positive-00000-of-00001.tfrecord
OUT_DIR/rpn/train/image-00003-of-00016.tfrecord        whole images: one file for each shard
OUT_DIR/pnet/manifest.json                               written last: a folder without one is unfinished
OUT_DIR/pnet/unfinished/train-00003.json                 while it is built: this shard is done
"""

import json
from collections.abc import Iterable

import tensorflow as tf

from mtcnn_tf import files, kinds
from mtcnn_tf.records import crop_records, manifests

UNFINISHED = "unfinished"
NAMES = {manifests.CROPS: kinds.NAMES, manifests.IMAGES: ("image",)}
"""What the files of a shard are called after, by the kind of records."""


def shard_name(split: str, kind: str, shard: int, num_shards: int) -> str:
    """The path of a shard below the stage's folder."""
    return f"{split}/{kind}-{shard:05d}-of-{num_shards:05d}.tfrecord"


def write(
    stage_dir: files.Path, split: str, shard: int, num_shards: int, examples: crop_records.Examples
) -> list[dict]:
    """Writes one shard of every kind and returns what the manifest says of each: file, kind, examples, bytes, sha256.

    Raises:
        OSError: A file could not be written; nothing half-written is left.
    """
    entries = []
    for kind, name in enumerate(kinds.NAMES):
        of_kind = examples[examples.kinds == kind]
        file_name = shard_name(split, name, shard, num_shards)
        written = _write_records(stage_dir / file_name, (row.tobytes() for row in crop_records.serialize(of_kind)))
        entries.append({"file": file_name, "kind": name, **written})
    return entries


def write_images(stage_dir: files.Path, split: str, shard: int, num_shards: int, images: Iterable[bytes]) -> dict:
    """Writes one shard of serialized images, one by one as they come; returns its entry as `write` does.

    Raises:
        OSError: The file could not be written; nothing half-written is left.
    """
    (name,) = NAMES[manifests.IMAGES]
    file_name = shard_name(split, name, shard, num_shards)
    return {"file": file_name, "kind": name, **_write_records(stage_dir / file_name, images)}


def _write_records(path: files.Path, rows: Iterable[bytes]) -> dict:
    """Writes each row as a record; returns how many there were, and the file's bytes and SHA-256."""
    files.make_folder(path.parent)
    num_rows = 0
    with files.atomic_write(path) as partial:
        try:
            with tf.io.TFRecordWriter(str(partial)) as writer:
                for row in rows:
                    writer.write(row)
                    num_rows += 1
        except tf.errors.OpError as error:
            raise OSError(f"could not write {path}: {error.message}") from error
        return {"examples": num_rows, "bytes": files.num_bytes(partial), "sha256": files.sha256(partial)}


def write_json(path: files.Path, content: dict | list) -> None:
    """Writes `content` as JSON in ASCII, which has room for names that are not UTF-8; whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: files.Path, text: str) -> None:
    """Writes `text`; the file appears whole or not at all."""
    files.make_folder(path.parent)
    with files.atomic_write(path) as partial:
        partial.write_bytes(text.encode(errors="surrogateescape"))


def is_intact(stage_dir: files.Path, entry: dict) -> bool:
    """Whether the shard of a manifest's entry is there, with the contents that were written."""
    path = stage_dir / entry["file"]
    return files.is_file(path) and files.sha256(path) == entry["sha256"]
