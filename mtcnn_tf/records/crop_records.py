"""Training examples as bytes: writer and parser side by side.

A record is a `tf.train.Example` that any TensorFlow program can read:

* `image`: size × size × 3 raw RGB bytes (JPEG would blur a 12-pixel crop);
* `kind`: one int64, see `kinds`;
* `offsets`: four floats, see `boxes.encode`; zero where the kind carries none;
* `landmarks`: ten floats, five `x, y` relative to the crop, or those of another set, see `landmark_sets`; zero where
  the kind carries none.

All fields have a fixed length, so all records of a size differ in the payload bytes alone, which lie always at the same
places. `serialize` fills them into copies of one template, thirty times faster than a protocol buffer made for each
example; `parse` takes them from whole blocks of a file's bytes, five times faster than record by record.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from mtcnn_tf import kinds, landmark_sets

_NUM_POINTS = landmark_sets.FIVE.num_points


@dataclasses.dataclass(frozen=True)
class Examples:
    """Training examples of any kinds.

    Attributes:
        images: uint8 [N, S, S, 3].
        kinds: int [N], see `kinds`.
        offsets: float32 [N, 4]; zero where the kind carries none.
        landmarks: float32 [N, 2 P]; zero where the kind carries none.
    """

    images: np.ndarray
    kinds: np.ndarray
    offsets: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, rows: np.ndarray | slice) -> "Examples":
        return Examples(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


def no_examples(size: int, num_points: int = _NUM_POINTS) -> Examples:
    """No examples, for crops of `size` pixels and faces of `num_points`."""
    images = np.zeros((0, size, size, 3), np.uint8)
    landmarks = np.zeros((0, 2 * num_points), np.float32)
    return Examples(images, np.zeros(0, int), np.zeros((0, 4), np.float32), landmarks)


def concatenate(parts: list[Examples]) -> Examples:
    """The examples of all `parts` (at least one), in order."""
    names = [field.name for field in dataclasses.fields(Examples)]
    return Examples(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def num_per_kind(examples: Examples) -> dict[str, int]:
    """How many examples of each kind there are, by the kind's name."""
    counts = np.bincount(examples.kinds, minlength=len(kinds.NAMES))
    return {name: int(count) for name, count in zip(kinds.NAMES, counts, strict=True)}


FRAME = (12, 4)
"""Bytes that the TFRecord format adds before and after each record: its length, and checksums."""


def num_bytes(size: int, num_points: int = _NUM_POINTS) -> int:
    """How many bytes of a file an example with crops of `size` pixels and faces of `num_points` takes."""
    return sum(FRAME) + len(_layout(size, num_points)[0])


def serialize(examples: Examples) -> np.ndarray:
    """The records as bytes, without frames: uint8 [N, L], one row a record.

    Raises:
        ValueError: The examples are not all of one kind.
    """
    if len(np.unique(examples.kinds)) > 1:
        raise ValueError(f"expected examples of one kind, got {np.unique(examples.kinds)}; serialize kind by kind")
    template, starts = _layout(examples.images.shape[1], examples.landmarks.shape[1] // 2)
    rows = np.tile(template, (len(examples), 1))
    payloads = {
        "image": examples.images.reshape(len(examples), np.prod(examples.images.shape[1:])),
        "kind": examples.kinds.astype(np.uint8)[:, None],
        "offsets": _as_bytes(examples.offsets),
        "landmarks": _as_bytes(examples.landmarks),
    }
    for name, payload in payloads.items():
        rows[:, starts[name] : starts[name] + payload.shape[1]] = payload
    return rows


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, "<f4").view(np.uint8)


@functools.cache
def _layout(size: int, num_points: int) -> tuple[np.ndarray, dict[str, int]]:
    """One record with crops of `size` pixels whose payloads are marks, and where in it each payload starts."""
    marks = {"image": b"\x01" * size**2 * 3, "kind": b"\x7f", "offsets": b"\x02" * 16}
    marks["landmarks"] = b"\x04" + b"\x03" * (8 * num_points - 1)  # no byte before it makes it begin earlier
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[marks["image"]])),
        "kind": tf.train.Feature(int64_list=tf.train.Int64List(value=[marks["kind"][0]])),
    }
    for name in ("offsets", "landmarks"):
        floats = tf.train.FloatList(value=np.frombuffer(marks[name], "<f4"))
        features[name] = tf.train.Feature(float_list=floats)
    record = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)
    return np.frombuffer(record, np.uint8), {name: record.index(mark) for name, mark in marks.items()}


def check_layout(framed: bytes, size: int, num_points: int = _NUM_POINTS) -> None:
    """Makes sure that a record lies in its file as `parse` will look for it.

    Args:
        framed: The first `num_bytes(size, num_points)` bytes of the file.
        size: Side of the crops.
        num_points: How many points a face has.

    Raises:
        ValueError: It is written in another way.
    """
    template, starts = _layout(size, num_points)
    record = np.frombuffer(framed, np.uint8)[FRAME[0] : -FRAME[1]].copy()
    if len(record) == len(template):
        for name, length in zip(starts, (size**2 * 3, 1, 16, 8 * num_points), strict=True):
            place = slice(starts[name], starts[name] + length)
            record[place] = template[place]
    if not np.array_equal(record, template):
        raise ValueError(f"expected records with crops of {size} pixels as this version writes them; build them again")


def parse(framed: tf.Tensor, size: int, num_points: int = _NUM_POINTS) -> dict[str, tf.Tensor]:
    """A batch as a dict: `image` uint8 [B, S, S, 3], `kind` int32 [B], `offsets` [B, 4], `landmarks` [B, 2 P].

    Args:
        framed: uint8 [B, num_bytes(size, num_points)], records with their frames, as they lie in the file.
        size: Side of the crops.
        num_points: How many points a face has, P.
    """
    _, starts = _layout(size, num_points)

    def payload(name: str, length: int) -> tf.Tensor:
        start = FRAME[0] + starts[name]
        return framed[:, start : start + length]

    return {
        "image": tf.reshape(payload("image", size**2 * 3), [-1, size, size, 3]),
        "kind": tf.cast(payload("kind", 1)[:, 0], tf.int32),
        "offsets": tf.bitcast(tf.reshape(payload("offsets", 16), [-1, 4, 4]), tf.float32),
        "landmarks": tf.bitcast(tf.reshape(payload("landmarks", 8 * num_points), [-1, 2 * num_points, 4]), tf.float32),
    }
