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

    The sizes of faces are those for the default anchors; for others they are `anchors.Anchors.fitted`.

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
    """What each anchor should say: labels int [B, A], 1 face, 0 background, −1 neither; of a face its box [B, A, 4].

    Args:
        xp: `numpy` or `keras.ops`.
        its_anchors: Sizes of the anchors; A are those of a window, in the order of `anchors.Anchors.boxes`.
        size: Side of the window in pixels.
        boxes: float32 [B, M, 4] in pixels of the window, not clipped to it; rows without an area count for nothing.
        face_mask: boolean [B, M], which of them are faces; the others are to be ignored.
        complete_mask: boolean [B], whether all faces of the window are among the boxes.
        rules: Where the labels part.
    """
    learnt_mask = xp.logical_and(face_mask, _learnt_mask(xp, boxes, size, rules))
    if xp is np:  # window by window, each with as many boxes as it has: most have few
        windows = zip(boxes, learnt_mask, complete_mask, strict=True)
        found = [
            _assign(np, its_anchors, size, _chosen(box, mask), _chosen(box, ~mask), is_complete[None], rules)
            for box, mask, is_complete in windows
        ]
        labels, true_boxes = map(np.concatenate, zip(*found, strict=True))
        return labels, true_boxes
    is_learnt = learnt_mask[..., None]
    faces, others = xp.where(is_learnt, boxes, 0.0), xp.where(is_learnt, 0.0, boxes)
    return _assign(xp, its_anchors, size, faces, others, complete_mask, rules)


def _chosen(boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The boxes [1, N, 4] of a window in the mask that have an area, at least one row."""
    chosen = boxes[mask & (boxes[:, 2] > boxes[:, 0])]
    return chosen[None] if len(chosen) else np.zeros((1, 1, 4), np.float32)


def _assign(
    xp: ModuleType, its_anchors: anchors.Anchors, size: int, faces: Any, others: Any, complete_mask: Any, rules: Rules
) -> tuple[Any, Any]:
    """`assign` for the boxes [B, M, 4] to be learnt and those [B, N, 4] to be ignored; rows of zeros are neither."""
    compared = _square(xp, faces) if rules.overlap == "square" else faces
    grids = [_Grid(stride, sizes, size) for stride, sizes in its_anchors.by_stride().items()]
    overlaps = [_overlaps(xp, compared, grid) for grid in grids]  # [B, M, K, rows, columns] each
    above_nearest = np.nextafter(np.float32(rules.nearest_iou), np.float32(1))
    least = xp.maximum(_nth_largest(xp, overlaps, rules.num_nearest), above_nearest)
    least = xp.minimum(least, rules.positive_iou)[:, :, None, None, None]
    labels, nearest = [], []
    for overlap, grid in zip(overlaps, grids, strict=True):
        reached = xp.multiply(overlap, overlap >= least)
        is_positive = xp.max(reached, axis=1) > 0
        is_negative = xp.logical_and(xp.max(overlap, axis=1) < rules.negative_iou, ~_touched(xp, others, grid))
        is_negative = xp.logical_and(is_negative, complete_mask[:, None, None, None])
        label = xp.where(is_positive, 1, xp.where(is_negative, 0, -1))
        labels.append(_in_order(xp, label))
        nearest.append(_in_order(xp, _best(xp, reached, is_positive)))
    nearest = xp.concatenate(nearest, axis=1)
    return xp.concatenate(labels, axis=1), xp.take_along_axis(faces, nearest[..., None], axis=1)


class _Grid:
    """The anchors of one stride in a window.

    Attributes:
        low: Where they begin along an axis, [K, places].
        high: Where they end.
        areas: [K, 1, 1].
    """

    def __init__(self, stride: int, sizes: tuple[float, ...], size: int):
        sides = np.array(sizes, np.float32)[:, None]
        centres = (np.arange(size // stride, dtype=np.float32) + 0.5) * stride
        self.low, self.high, self.areas = centres - sides / 2, centres + sides / 2, sides[..., None] ** 2

    def shared(self, xp: ModuleType, boxes: Any) -> Any:
        """Areas that the anchors share with boxes [B, M, 4]: [B, M, K, rows, columns].

        What two boxes share is a product of what their sides share: along one axis that is a small array.
        """
        along_x, along_y = (
            xp.maximum(
                xp.minimum(boxes[..., k + 2, None, None], self.high) - xp.maximum(boxes[..., k, None, None], self.low),
                0.0,
            )
            for k in (0, 1)
        )
        return along_y[..., None] * along_x[..., None, :]


def _overlaps(xp: ModuleType, boxes: Any, grid: _Grid) -> Any:
    """IoU of boxes with the anchors of a grid: [B, M, K, rows, columns]."""
    shared = grid.shared(xp, boxes)
    return shared / (_areas(xp, boxes)[..., None, None, None] + grid.areas - shared)


def _touched(xp: ModuleType, boxes: Any, grid: _Grid) -> Any:
    """Which anchors of a grid share too much with any of the boxes to be negative: boolean [B, K, rows, columns]."""
    together = _areas(xp, boxes)[..., None, None, None] + grid.areas
    # An IoU above t is a shared part of both areas, added up, above t / (1 + t).
    most = xp.minimum(_COVERED * grid.areas, _IGNORED_IOU / (1 + _IGNORED_IOU) * together)
    return xp.any(grid.shared(xp, boxes) > most, axis=1)


def _best(xp: ModuleType, reached: Any, is_positive: Any) -> Any:
    """The face of the largest overlap for each positive anchor, an index into axis 1 of `reached`; for others any."""
    if xp is not np:
        return xp.argmax(reached, axis=1)
    best = np.zeros(is_positive.shape, int)  # few are positive
    best[is_positive] = np.moveaxis(reached, 1, -1)[is_positive].argmax(axis=-1)
    return best


def _in_order(xp: ModuleType, values: Any) -> Any:
    """Values [B, K, rows, columns] of the anchors of a grid as [B, rows · columns · K]."""
    return xp.reshape(xp.transpose(values, (0, 2, 3, 1)), (values.shape[0], -1))


def _nth_largest(xp: ModuleType, overlaps: list, count: int) -> Any:
    """The `count`-th largest overlap of each face, [B, M]; the least where there are fewer anchors."""
    tops = xp.concatenate([_largest(xp, overlap, count) for overlap in overlaps], axis=-1)
    return xp.min(_largest(xp, tops[:, :, None], count), axis=-1)


def _largest(xp: ModuleType, values: Any, count: int) -> Any:
    """The `count` largest of each face, [B, M, count], of values [B, M, …, N], in any order; fewer where there are."""
    if xp is np:  # they are in the rows with the largest maxima
        values = values.reshape(*values.shape[:2], -1, values.shape[-1])
        rows = np.argpartition(values.max(axis=-1), -min(count, values.shape[2]), axis=-1)[..., -count:, None]
        values = np.take_along_axis(values, rows, axis=2)
    # Counted from the shapes: a small window has few anchors on the coarse grids.
    flat = xp.reshape(values, (*values.shape[:2], -1))
    most = min(count, flat.shape[-1])
    return np.partition(flat, -most, axis=-1)[..., -most:] if xp is np else xp.top_k(flat, most)[0]


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
