"""Whole images with their boxes as bytes: writer and reader side by side, neither of which needs TensorFlow.

A record is a `tf.train.Example` that any TensorFlow program can read:

* `image`: the bytes of an encoded image that stands upright;
* `height`, `width`: int64, of the image in pixels;
* `path`: the last two parts of the file's path, for messages;
* `boxes` (4·N floats), `landmarks` (10·N, or 2·P·N of another set of points; NaN where unknown), `ignored` (4·M),
  `is_complete` (int64): see `faces.Annotation`; all lie within the image but for landmarks;
* where a cascade was asked, `proposals` (4·P floats) and `proposal_scores` (P): what it proposes, best first.

Files are TFRecords: before each record its length, as eight bytes and a checksum of four, behind it a checksum of four.
The checksums are stepped over, for the manifest's SHA-256 sums tell whether a file is intact, see `manifests`.
"""

import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from mtcnn_tf import files, landmark_sets, stages
from mtcnn_tf.records import manifests


@dataclasses.dataclass(frozen=True, eq=False)
class ImageRecord:
    """An image, what is known about it, and perhaps what a cascade proposes.

    Attributes:
        encoded: The bytes of an image file that stands upright, see `image_files.decode`.
        height: Of the image in pixels.
        width: Likewise.
        path: The last two parts of the file's path, for messages.
        boxes: Faces, float32 [N, 4], within the image; small ones as well.
        landmarks: Their points, float32 [N, P, 2]; NaN where unknown.
        ignored: Regions that are neither face nor background, float32 [M, 4].
        is_complete: Whether every face of the image is in `boxes` or `ignored`.
        proposals: Boxes that a cascade proposes, float32 [P, 4], best first; None where none was asked.
        proposal_scores: Their scores, float32 [P] in 0–1; None where no cascade was asked.
        index: Running number in the split, as it was read.
    """

    encoded: bytes
    height: int
    width: int
    path: str
    boxes: np.ndarray
    landmarks: np.ndarray
    ignored: np.ndarray
    is_complete: bool
    proposals: np.ndarray | None = None
    proposal_scores: np.ndarray | None = None
    index: int = 0


def serialize(image: ImageRecord) -> bytes:
    """The record of an image, without a frame; its `index` is not kept. Equal images give equal bytes."""
    example = _example_class()()
    feature = example.features.feature
    feature["image"].bytes_list.value.append(image.encoded)
    feature["path"].bytes_list.value.append(os.fsencode(image.path))
    for name in ("height", "width", "is_complete"):
        feature[name].int64_list.value.append(int(getattr(image, name)))
    for name in ("boxes", "landmarks", "ignored", "proposals", "proposal_scores"):
        values = getattr(image, name)
        if values is not None:
            feature[name].float_list.SetInParent()  # tells no proposals from no cascade
            feature[name].float_list.value.extend(np.asarray(values, np.float32).ravel().tolist())
    return example.SerializeToString(deterministic=True)


def parse(record: bytes, index: int = 0, num_points: int = landmark_sets.FIVE.num_points) -> ImageRecord:
    """The image that `serialize` gave `record` of, with faces of `num_points`.

    Raises:
        ValueError: It is something else.
    """
    try:
        feature = _example_class().FromString(record).features.feature

        def floats(name: str, *shape: int) -> np.ndarray:
            return np.array(feature[name].float_list.value, np.float32).reshape(shape)

        has_proposals = "proposals" in feature
        return ImageRecord(
            encoded=feature["image"].bytes_list.value[0],
            height=feature["height"].int64_list.value[0],
            width=feature["width"].int64_list.value[0],
            path=os.fsdecode(feature["path"].bytes_list.value[0]),
            boxes=floats("boxes", -1, 4),
            landmarks=floats("landmarks", -1, num_points, 2),
            ignored=floats("ignored", -1, 4),
            is_complete=bool(feature["is_complete"].int64_list.value[0]),
            proposals=floats("proposals", -1, 4) if has_proposals else None,
            proposal_scores=floats("proposal_scores", -1) if has_proposals else None,
            index=index,
        )
    except (message.DecodeError, IndexError, ValueError) as error:
        raise ValueError(
            f"expected the record of an image, got something else ({error}); build the records again"
        ) from (error)


def read(records_dir: str, stage: stages.Stage, split: str) -> Iterator[ImageRecord]:
    """The images of a split, one after the other, in the order of the shards; an empty split has none.

    What can be told from the manifest is checked at once, shards are read as the images are asked for.

    Args:
        records_dir: Where `data_prep.build` wrote; may be an address, see `files`.
        stage: Whose records.
        split: One of `manifests.SPLITS`.

    Raises:
        FileNotFoundError, ValueError: See `manifests.read`; or the split is unknown, or a shard is damaged.
    """
    if split not in manifests.SPLITS:
        raise ValueError(f"split must be one of {', '.join(manifests.SPLITS)}, got {split!r}")
    manifest = manifests.read(records_dir, stage, manifests.IMAGES)
    stage_dir = files.as_path(records_dir) / stage.name
    names = [entry["file"] for entry in manifest["shards"] if entry["file"].startswith(f"{split}/")]
    records = (record for name in names for record in read_records(stage_dir / name))
    num_points = manifests.landmark_set(manifest).num_points
    return (parse(record, index, num_points) for index, record in enumerate(records))


def read_records(path: str | os.PathLike) -> Iterator[bytes]:
    """The records of a TFRecord file, without their frames.

    Raises:
        ValueError: The file ends within a record, or holds something else.
    """
    num_left = files.num_bytes(path)
    with files.open(path) as file:
        while header := file.read(12):
            length = int.from_bytes(header[:8], "little")
            num_left -= 12 + length + 4
            if num_left < 0:  # asked before so much room is made
                raise ValueError(
                    f"expected whole records in {os.fspath(path)!r}, got one that is cut short or damaged; the command "
                    "that built them, given again, repairs them"
                )
            yield file.read(length)
            file.read(4)


@functools.cache
def _example_class() -> Any:  # its fields are declared below, where no type checker sees them
    """`tf.train.Example`, as TensorFlow's public example.proto and feature.proto declare it."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    field_type = descriptor_pb2.FieldDescriptorProto

    def declare(parent: Any, name: str, *fields: tuple[str, int, str | int, bool], oneof: str | None = None):
        """A message with fields of a name, a number, a type or the name of a message, and whether repeated."""
        declared = parent.add(name=name)
        if oneof:
            declared.oneof_decl.add(name=oneof)
        for field_name, number, kind, is_repeated in fields:
            label = field_type.LABEL_REPEATED if is_repeated else field_type.LABEL_OPTIONAL
            field = declared.field.add(name=field_name, number=number, label=label)
            field.type = field_type.TYPE_MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                field.type_name = f".tensorflow.{kind}"
            if oneof:
                field.oneof_index = 0
        return declared

    lists = {"Bytes": field_type.TYPE_BYTES, "Float": field_type.TYPE_FLOAT, "Int64": field_type.TYPE_INT64}
    for name, kind in lists.items():
        declare(file.message_type, f"{name}List", ("value", 1, kind, True))
    of_lists = [(f"{name.lower()}_list", number, f"{name}List", False) for number, name in enumerate(lists, 1)]
    declare(file.message_type, "Feature", *of_lists, oneof="kind")
    features = declare(file.message_type, "Features", ("feature", 1, "Features.FeatureEntry", True))
    entry = declare(
        features.nested_type, "FeatureEntry", ("key", 1, field_type.TYPE_STRING, False), ("value", 2, "Feature", False)
    )
    entry.options.map_entry = True
    declare(file.message_type, "Example", ("features", 1, "Features", False))
    pool = descriptor_pool.DescriptorPool()  # its own: in the common one TensorFlow declares the same names
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
