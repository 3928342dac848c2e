"""Which anchors of a window should find a face, which none, and which face.

* *Overlap*, by default, is the IoU of an anchor with the *square* round the face: anchors are squares, and by the IoU
  with a narrow box a quarter of the profiles would be out of reach of any.
* *Positive* is an anchor with an overlap of at least `Rules.positive_iou`, or among the `Rules.num_nearest` best of a
  face: small faces lie between the anchors (S³FD, Zhang et al. 2017, arXiv 1708.05237, section 3.2).
* *Negative* is one with an overlap below `Rules.negative_iou` with every face, and hardly any with what is ignored.
  A window whose faces are not all annotated has no negatives.

`assign` is written once for arrays and for the graph: it takes the module to compute with, `numpy` or `keras.ops`.
"""

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np

from mtcnn_tf.geometry import anchors

_COVERED, _IGNORED_IOU = 0.25, 0.2
"""No negative shares more of its area than the first, or a larger IoU than the second, with a region to be ignored."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """Which anchors are positive, which negative.

    Attributes:
        positive_iou: From here on an anchor is positive.
        negative_iou: Below this, against every face, it is negative.
        num_nearest: The so many best anchors of each face are positive, too …
        nearest_iou: … where their overlap is above this.
        overlap: "square" or "box": what of a face the anchors are compared with.
        min_face_size: Faces with a longer side below this, in pixels of the window, are ignored.
        max_face_size: … or above this.
        min_visible: … or with a smaller part of their box within the window.
    """

    positive_iou: float = 0.5
    negative_iou: float = 0.35
    num_nearest: int = 3
    nearest_iou: float = 0.25
    overlap: str = "square"
    min_face_size: float = 9.5
    max_face_size: float = 380.0
    min_visible: float = 0.6

    def __post_init__(self) -> None:
        if not 0 < self.negative_iou <= self.positive_iou <= 1 or not 0 < self.nearest_iou <= self.positive_iou:
            raise ValueError(
                "expected 0 < negative_iou, nearest_iou ≤ positive_iou ≤ 1, got "
                f"{self.negative_iou}, {self.nearest_iou} and {self.positive_iou}"
            )
        if self.overlap not in ("square", "box"):
            raise ValueError(f"overlap must be square or box, got {self.overlap!r}")


def assign(
    xp: ModuleType,
    its_anchors: anchors.Anchors,
    size: int,
    boxes: Any,
    face_mask: Any,
    complete_mask: Any,
    rules: Rules,
) -> tuple[Any, Any]:
    """What each anchor should say: labels int [B, A], 1 face, 0 background, −1 neither; its face's box [B, A, 4].

    Args:
        xp: `numpy` or `keras.ops`.
        its_anchors: Sizes of the anchors; A are those of a window, in the order of `anchors.Anchors.boxes`.
        size: Side of the window in pixels.
        boxes: float32 [B, M, 4] in pixels of the window, not clipped to it; rows without an area count for nothing.
        face_mask: boolean [B, M], which of them are faces; the others are to be ignored.
        complete_mask: boolean [B], whether all faces of the window are among the boxes.
        rules: Where the labels part.
    """
    learnt_mask = xp.logical_and(face_mask, _learnt_mask(xp, boxes, size, rules))  # [B, M]
    use_square = xp.logical_and(learnt_mask, rules.overlap == "square")
    compared = xp.where(use_square[..., None], _square(xp, boxes), boxes)
    grids = [
        _overlaps(xp, compared, stride, np.array(sizes, np.float32), size)
        for stride, sizes in its_anchors.by_stride().items()
    ]
    learnt = learnt_mask[:, :, None, None, None]
    overlaps = [xp.where(learnt, iou, 0.0) for iou, _ in grids]  # [B, M, K, rows, columns] each
    least = _nth_largest(xp, overlaps, rules.num_nearest)[:, :, None, None, None]
    labels, nearest = [], []
    for overlap, (iou, covered) in zip(overlaps, grids, strict=True):
        best = xp.max(overlap, axis=1)
        is_nearest = xp.logical_and(overlap >= least, overlap > rules.nearest_iou)
        chosen = xp.where(is_nearest, overlap, 0.0)
        is_over, is_chosen = best >= rules.positive_iou, xp.max(chosen, axis=1) > 0
        face = xp.where(is_over, xp.argmax(overlap, axis=1), xp.argmax(chosen, axis=1))
        touched = xp.logical_and(~learnt, xp.logical_or(covered > _COVERED, iou > _IGNORED_IOU))
        is_negative = xp.logical_and(best < rules.negative_iou, ~xp.any(touched, axis=1))
        is_negative = xp.logical_and(is_negative, complete_mask[:, None, None, None])
        label = xp.where(xp.logical_or(is_over, is_chosen), 1, xp.where(is_negative, 0, -1))
        labels.append(_in_order(xp, label))
        nearest.append(_in_order(xp, face))
    nearest = xp.concatenate(nearest, axis=1)
    return xp.concatenate(labels, axis=1), xp.take_along_axis(boxes, nearest[..., None], axis=1)


def _overlaps(xp: ModuleType, boxes: Any, stride: int, sizes: np.ndarray, size: int) -> tuple[Any, Any]:
    """IoU of boxes with the anchors of a grid, and the covered fraction of each anchor: [B, M, K, rows, columns].

    What two boxes share is a product of what their sides share: along one axis that is a small array.
    """
    sizes, centres = sizes[:, None], (np.arange(size // stride, dtype=np.float32) + 0.5) * stride
    low, high = centres - sizes / 2, centres + sizes / 2  # [K, places]
    along_x, along_y = (
        xp.maximum(xp.minimum(boxes[..., k + 2, None, None], high) - xp.maximum(boxes[..., k, None, None], low), 0.0)
        for k in (0, 1)
    )
    shared = along_y[..., None] * along_x[..., None, :]
    areas = sizes[..., None] ** 2
    return shared / (_areas(xp, boxes)[..., None, None, None] + areas - shared), shared / areas


def _in_order(xp: ModuleType, values: Any) -> Any:
    """Values [B, K, rows, columns] of the anchors of a grid as [B, rows · columns · K]."""
    return xp.reshape(xp.transpose(values, (0, 2, 3, 1)), (values.shape[0], -1))


def _nth_largest(xp: ModuleType, overlaps: list, count: int) -> Any:
    """The `count`-th largest overlap of each face, [B, M]; the least where there are fewer anchors."""
    flat = [xp.reshape(overlap, (*overlap.shape[:2], -1)) for overlap in overlaps]
    # Counted from the shapes: a small window has few anchors on the coarse grids.
    tops = xp.concatenate([_largest(xp, x, min(count, x.shape[-1])) for x in flat], axis=-1)
    return xp.min(_largest(xp, tops, min(count, tops.shape[-1])), axis=-1)


def _largest(xp: ModuleType, values: Any, count: int) -> Any:
    """The `count` largest of the last axis, in any order."""
    return np.partition(values, -count, axis=-1)[..., -count:] if xp is np else xp.top_k(values, count)[0]


def _learnt_mask(xp: ModuleType, boxes: Any, size: int, rules: Rules) -> Any:
    """Which boxes are of a size to learn from and lie within the window, boolean [B, M]."""
    longer = xp.max(boxes[..., 2:] - boxes[..., :2], axis=-1)
    is_of_size = xp.logical_and(longer >= rules.min_face_size, longer <= rules.max_face_size)
    visible = _areas(xp, xp.clip(boxes, 0.0, float(size))) / xp.maximum(_areas(xp, boxes), 1e-6)
    return xp.logical_and(is_of_size, visible > rules.min_visible)


def _areas(xp: ModuleType, boxes: Any) -> Any:
    return xp.prod(xp.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)


def _square(xp: ModuleType, boxes: Any) -> Any:
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = xp.max(boxes[..., 2:] - boxes[..., :2], axis=-1, keepdims=True) / 2
    return xp.concatenate([centres - half, centres + half], axis=-1)
