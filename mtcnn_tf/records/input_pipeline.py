"""Record shards → batches.

Each kind of example has its own stream, and a batch takes a fixed number of rows from each: the mix is exact in every
batch, can be changed without rewriting records, and costs nothing (drawing the kind of every row by chance is thirty
times slower than reading it).
"""

import os

import tensorflow as tf

from mtcnn_tf import files, kinds, stages
from mtcnn_tf.records import augment as augment_lib
from mtcnn_tf.records import crop_records, manifests

DEFAULT_MIX = {"negative": 3, "positive": 1, "part": 1, "landmark": 2}
NUM_SHUFFLED = 8192
"""Rows held for shuffling by each kind's stream; shards are written in random order to begin with."""
NUM_READ = 256
"""Rows read at once: record by record, reading and shuffling would take as long as P-Net's forward pass."""

_Shard = tuple[files.Path, int]
"""A file of records and how many it holds."""
_Form = tuple[int, int]
"""Side of the crops, and how many points a face has."""


def read_manifest(records_dir: str, stage: stages.Stage) -> dict:
    """The manifest of the stage's crop records, see `manifests.read`, which raises the errors."""
    return manifests.read(records_dir, stage, manifests.CROPS)


def check_shards(records_dir: str, stage: stages.Stage) -> None:
    """Makes sure that all shards hold what was written, see `manifests.check_shards`, which raises the errors."""
    manifests.check_shards(records_dir, stage)


def batches(
    records_dir: str,
    stage: stages.Stage,
    split: str,
    batch_size: int,
    mix: dict[str, int] | None = None,
    augment: bool = False,
    seed: int = 0,
    repeat: bool = True,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches of examples as dicts, see `crop_records.parse`, with `image` as float32 in 0–255.

    Args:
        records_dir: Where `data_prep.build` wrote; may be an address, see `files`.
        stage: Whose records.
        split: "train" or "validation".
        batch_size: Rows in a batch.
        mix: Relative number of rows of each kind, by the kind's name; a kind without records is left out. By default
            `DEFAULT_MIX`.
        augment: Whether to change the crops by chance.
        seed: The same seed gives the same batches.
        repeat: Endless shuffled batches of the wanted mix; otherwise every example once, in order, kind by kind.
        part: (i, n) gives of every batch the rows i, i + n, i + 2n, … alone: the part of the i-th of n workers, with
            the batch's mix.

    Raises:
        FileNotFoundError, ValueError: See `read_manifest`; or the split holds no examples of the mix's kinds.
    """
    manifest = read_manifest(records_dir, stage)
    stage_dir, landmark_set = files.as_path(records_dir) / stage.name, manifests.landmark_set(manifest)
    form = (stage.size, landmark_set.num_points)
    shards: dict[str, list[_Shard]] = {name: [] for name in kinds.NAMES}
    for shard in manifest["shards"]:
        if shard["file"].startswith(f"{split}/") and shard["examples"]:
            shards[shard["kind"]].append((stage_dir / shard["file"], shard["examples"]))
    mix = {name: fraction for name, fraction in (mix or DEFAULT_MIX).items() if fraction and shards[name]}
    if not mix:
        raise ValueError(f"{stage_dir} holds no {split} examples of the wanted kinds; build records from more images")
    for name in mix:
        _check_layout(shards[name][0][0], form)
    if repeat:
        rows = _mixed(shards, mix, form, batch_size, seed)
    else:
        rows = _read([shard for name in mix for shard in shards[name]], form).rebatch(batch_size)

    @tf.autograph.experimental.do_not_convert  # which would take seconds at each start
    def prepare(index: tf.Tensor, framed: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = crop_records.parse(framed[part[0] :: part[1]], *form)
        if augment:
            own_seed = seed * part[1] + part[0]  # no two workers change their rows alike
            return augment_lib.augment(parsed, tf.stack([tf.cast(own_seed, tf.int64), index]), landmark_set)
        return {**parsed, "image": tf.cast(parsed["image"], tf.float32)}

    # Batches are prepared beside the training on the same cores: threads of its own keep it from chopping up its ops.
    options = tf.data.Options()
    options.threading.private_threadpool_size = max(1, (os.cpu_count() or 1) // 2)
    prepared = rows.enumerate().map(prepare, num_parallel_calls=2, deterministic=True)
    return prepared.prefetch(4).with_options(options)


def _check_layout(path: files.Path, form: _Form) -> None:
    with files.open(path) as file:
        crop_records.check_layout(file.read(crop_records.num_bytes(*form)), *form)


def _mixed(
    shards: dict[str, list[_Shard]], mix: dict[str, int], form: _Form, batch_size: int, seed: int
) -> tf.data.Dataset:
    """Endless batches of records, uint8 [B, L], with each kind's exact fraction of the rows."""
    streams = [_stream(shards[name], form, count, seed) for name, count in kinds.rows_per_kind(mix, batch_size).items()]
    return tf.data.Dataset.zip(tuple(streams)).map(lambda *parts: tf.concat(parts, axis=0))


def _stream(shards: list[_Shard], form: _Form, count: int, seed: int) -> tf.data.Dataset:
    """Endless records of one kind, `count` rows at a time, read from several shards in turn and shuffled."""
    num_pooled = min(NUM_SHUFFLED, sum(num_rows for _, num_rows in shards))

    def shuffle(index: tf.Tensor, pool: tf.Tensor) -> tf.Tensor:
        return tf.random.experimental.stateless_shuffle(pool, tf.stack([tf.cast(seed, tf.int64), index]))

    pools = _read(shards, form, seed).repeat().rebatch(num_pooled).enumerate().map(shuffle)
    return pools.rebatch(count)


def _read(shards: list[_Shard], form: _Form, seed: int | None = None) -> tf.data.Dataset:
    """All records of the shards, with their frames, in blocks uint8 [up to NUM_READ, L].

    Args:
        shards: Path and number of records of each.
        form: Of the records.
        seed: Reads from several shards in turn, in an order of chance; None reads them one after the other.
    """
    row_bytes, spans = crop_records.num_bytes(*form), []
    for path, num_rows in shards:  # blocks of one size, then what is left of the file
        num_left = num_rows % NUM_READ
        if num_rows > num_left:
            spans.append((str(path), 0, NUM_READ * row_bytes, num_left * row_bytes))
        if num_left:
            spans.append((str(path), (num_rows - num_left) * row_bytes, num_left * row_bytes, 0))
    paths, skipped, block_bytes, left_out = zip(*spans, strict=True)
    columns = (tf.constant(paths), *(tf.constant(column, tf.int64) for column in (skipped, block_bytes, left_out)))
    dataset = tf.data.Dataset.from_tensor_slices(columns)
    if seed is not None:
        dataset = dataset.shuffle(len(spans), seed)
    blocks = dataset.interleave(
        lambda path, skipped, block_bytes, left_out: tf.data.FixedLengthRecordDataset(
            path, block_bytes, header_bytes=skipped, footer_bytes=left_out
        ),
        cycle_length=1 if seed is None else min(4, len(spans)),
    )
    return blocks.map(lambda block: tf.reshape(tf.io.decode_raw(block, tf.uint8), [-1, row_bytes]))
