"""What a box is, by its overlap with the annotated faces, and what a network should say of it."""

import dataclasses

import numpy as np

from mtcnn_tf import faces, kinds
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.records import image_records

Known = faces.Annotation | image_records.ImageRecord
"""What is known about the faces of an image."""

OVERLAPS = ("square", "box")
DROPPED = -1
"""Kind of a box that is neither clearly a face nor clearly none."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """The overlaps that separate the kinds (Zhang et al. 2016, section III.A).

    Attributes:
        positive_iou: From here on a box is a face.
        part_iou: From here on, to `positive_iou`, it is part of a face.
        negative_iou: Below this, against *every* face, it is background.
        min_face_size: Faces whose shorter side is smaller, in pixels, give no positives or parts; negatives still keep
            away from them.
        overlap: What of a face a box is compared with: the "square" round it, or its "box" as in the paper. No square
            has an IoU of 0.65 with the box of one face in fourteen of WIDER FACE, of one profile in four.
    """

    positive_iou: float = 0.65
    part_iou: float = 0.4
    negative_iou: float = 0.3
    min_face_size: float = 20.0
    overlap: str = "square"

    def __post_init__(self) -> None:
        if not 0 <= self.negative_iou <= self.part_iou <= self.positive_iou <= 1:
            raise ValueError(
                "expected negative_iou ≤ part_iou ≤ positive_iou, in 0–1, or a box would be two kinds at once; got "
                f"{self.negative_iou:g}, {self.part_iou:g}, {self.positive_iou:g}"
            )
        if self.overlap not in OVERLAPS:
            raise ValueError(f"overlap must be one of {', '.join(OVERLAPS)}, got {self.overlap!r}")


def compared(boxes: np.ndarray, rules: Rules) -> np.ndarray:
    """What of the faces with these `boxes` [N, 4] a candidate is compared with, [N, 4]; see `Rules.overlap`."""
    return box_geometry.square(boxes) if rules.overlap == "square" else boxes


def label(boxes: np.ndarray, annotation: Known, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Kind and box offsets of each box.

    A box belongs to the face with which it shares the largest IoU. A negative is far from all faces and from the
    ignored regions as well; for those the overlap counts that is measured over the smaller of the two, because a box
    within a large unusable region has a small IoU with it. An image whose faces are not all annotated gives no
    negatives.

    Args:
        boxes: [N, 4].
        annotation: The image's faces.
        rules: Where the kinds part.

    Returns:
        Kinds, int [N], `DROPPED` where a box should not be learnt from; offsets to the face, float32 [N, 4], zero where
        there is none.
    """
    found: np.ndarray = np.full(len(boxes), DROPPED)
    offsets = np.zeros((len(boxes), 4), np.float32)
    best_iou: np.ndarray = np.zeros(len(boxes), np.float32)
    if len(annotation.boxes) and len(boxes):
        iou = box_geometry.iou(boxes, compared(annotation.boxes, rules))
        nearest = iou.argmax(axis=1)
        best_iou = iou.max(axis=1)
        is_large = usable_mask(annotation, rules.min_face_size)[nearest]
        found = np.where(is_large, of_overlap(best_iou, rules), DROPPED)
        on_face_mask = found != DROPPED
        offsets[on_face_mask] = box_geometry.encode(boxes[on_face_mask], annotation.boxes[nearest[on_face_mask]])
    if annotation.is_complete:
        unusable = box_geometry.overlap(boxes, annotation.ignored).max(axis=1, initial=0)
        found[(best_iou < rules.negative_iou) & (unusable < rules.negative_iou)] = kinds.NEGATIVE
    return found, offsets


def of_overlap(iou: np.ndarray, rules: Rules) -> np.ndarray:
    """Kinds, int [N], of boxes that have the IoU [N] with a face that is learnt from: never a negative."""
    found = np.full(len(iou), DROPPED)
    found[iou >= rules.part_iou] = kinds.PART
    found[iou >= rules.positive_iou] = kinds.POSITIVE
    return found


def usable_mask(annotation: Known, min_face_size: float) -> np.ndarray:
    """Which faces are large enough to learn from: bool [N]."""
    return (annotation.boxes[:, 2:] - annotation.boxes[:, :2]).min(axis=1, initial=np.inf) >= min_face_size
