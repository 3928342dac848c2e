"""Record shards → batches.

Each kind of example has its own stream, and a batch takes a fixed number of rows from each: the mix is exact in every
batch, can be changed without rewriting records, and costs nothing (drawing the kind of every row by chance is thirty
times slower than reading it).
"""

import json
import os
import pathlib

import tensorflow as tf

from mtcnn_tf import augment as augment_lib
from mtcnn_tf import kinds, records, stages

DEFAULT_MIX = {"negative": 3, "positive": 1, "part": 1, "landmark": 2}
NUM_SHUFFLED = 8192
"""Rows held for shuffling by each kind's stream; shards are written in random order to begin with."""
READ_BYTES = 1 << 20


def read_manifest(records_dir: str, stage: stages.Stage) -> dict:
    """The manifest of the stage's records, see `data_prep.building`.

    Raises:
        FileNotFoundError: There are no finished records of this stage.
        ValueError: A shard named by the manifest is missing or cut short, or the records are another stage's.
    """
    stage_dir = pathlib.Path(records_dir) / stage.name
    path = stage_dir / records.MANIFEST
    if not path.is_file():
        present = [name for name in stages.BY_NAME if (pathlib.Path(records_dir) / name / records.MANIFEST).is_file()]
        raise FileNotFoundError(
            f"expected finished {stage.name} records in {stage_dir}, found {' and '.join(present) or 'no'} records in "
            f"{records_dir}; build them: python -m data_prep.build --stage={stage.name} --out_dir={records_dir}"
        )
    manifest = json.loads(path.read_text())
    if manifest["stage"] != stage.name:
        raise ValueError(f"expected records of {stage.name} in {stage_dir}, got records of {manifest['stage']}")
    damaged = [
        shard["file"] for shard in manifest["shards"] if not _has_size(stage_dir / shard["file"], shard["bytes"])
    ]
    if damaged:
        raise ValueError(
            f"{len(damaged)} shards of {stage_dir} are missing or cut short, the first {damaged[0]}; "
            f"build them again: python -m data_prep.build --stage={stage.name} --restart"
        )
    return manifest


def _has_size(path: pathlib.Path, num_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == num_bytes


def batches(
    records_dir: str,
    stage: stages.Stage,
    split: str,
    batch_size: int,
    mix: dict[str, int] | None = None,
    augment: bool = False,
    seed: int = 0,
    repeat: bool = True,
) -> tf.data.Dataset:
    """Batches of examples as dicts, see `records.parse`, with `image` as float32 in 0–255.

    Args:
        records_dir: Where `data_prep.build` wrote.
        stage: Whose records.
        split: "train" or "validation".
        batch_size: Rows in a batch.
        mix: Relative number of rows of each kind, by the kind's name; a kind without records is left out. By default
            `DEFAULT_MIX`.
        augment: Whether to change the crops by chance.
        seed: The same seed gives the same batches.
        repeat: Endless shuffled batches of the wanted mix; otherwise every example once, in order, kind by kind.

    Raises:
        FileNotFoundError, ValueError: See `read_manifest`; or the split holds no examples of the mix's kinds.
    """
    manifest = read_manifest(records_dir, stage)
    stage_dir = pathlib.Path(records_dir) / stage.name
    files = {name: [] for name in kinds.NAMES}
    for shard in manifest["shards"]:
        if shard["file"].startswith(f"{split}/") and shard["examples"]:
            files[shard["kind"]].append(str(stage_dir / shard["file"]))
    mix = {name: share for name, share in (mix or DEFAULT_MIX).items() if share and files[name]}
    if not mix:
        raise ValueError(f"{stage_dir} holds no {split} examples of the wanted kinds; build records from more pictures")
    if repeat:
        serialized = _mixed(files, mix, batch_size, seed)
    else:
        serialized = tf.data.TFRecordDataset([file for name in mix for file in files[name]]).batch(batch_size)

    def prepare(index: tf.Tensor, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = records.parse(batch, stage.size)
        if augment:
            return augment_lib.augment(parsed, tf.stack([tf.cast(seed, tf.int64), index]))
        return {**parsed, "image": tf.cast(parsed["image"], tf.float32)}

    # Batches are prepared beside the training on the same cores: threads of its own keep it from chopping up its ops.
    options = tf.data.Options()
    options.threading.private_threadpool_size = max(1, os.cpu_count() // 2)
    prepared = serialized.enumerate().map(prepare, num_parallel_calls=2, deterministic=True)
    return prepared.prefetch(4).with_options(options)


def _mixed(files, mix, batch_size, seed) -> tf.data.Dataset:
    """Endless batches of serialized examples, string [B], with each kind's exact share of the rows."""
    streams = [_stream(files[name], seed).batch(count) for name, count in rows_per_kind(mix, batch_size).items()]
    return tf.data.Dataset.zip(tuple(streams)).map(lambda *parts: tf.concat(parts, axis=0))


def _stream(files: list[str], seed: int) -> tf.data.Dataset:
    """Endless serialized examples of one kind, read from several shards in turn and shuffled."""
    return (
        tf.data.Dataset.from_tensor_slices(files)
        .shuffle(len(files), seed)
        .interleave(
            lambda file: tf.data.TFRecordDataset(file, buffer_size=READ_BYTES),
            cycle_length=min(4, len(files)),
            block_length=64,
        )
        .repeat()
        .shuffle(NUM_SHUFFLED, seed)
    )


def rows_per_kind(mix: dict[str, int], batch_size: int) -> dict[str, int]:
    """How many rows of a batch each kind gets: `batch_size` in all, in proportion to the mix, at least one each.

    Raises:
        ValueError: The batch has fewer rows than the mix has kinds.
    """
    if batch_size < len(mix):
        raise ValueError(
            f"expected a batch of at least {len(mix)} rows, one for each kind of the mix, got {batch_size}"
        )
    total, given, counts = sum(mix.values()), 0, {}
    remaining = len(mix)
    for name, share in mix.items():
        remaining -= 1
        wanted = round(batch_size * share / total)
        counts[name] = min(max(1, wanted), batch_size - given - remaining) if remaining else batch_size - given
        given += counts[name]
    return counts
