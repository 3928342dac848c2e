"""Figures that say how good a stage is: row by row on tensors of any backend of Keras, and as curves over many scores.

A batch mixes kinds, so each figure comes as values and a mask of the rows that it counts for.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import scipy.stats
from keras import ops

from mtcnn_tf import landmark_sets, rankings

FIXED_PRECISION = 0.95
"""`recall_at_precision` is the recall where this fraction of what is called a face is one."""

_LEAST_AREA = 1e-6
"""Of a union, to divide by."""
_NARROWEST_EYES = 0.1
"""Eyes of a face in profile nearly coincide; closer than this fraction of the box, they don't measure anything."""


def box_ious(predicted: Any, true: Any) -> Any:
    """Intersection over union [N] of the boxes that two sets of offsets [N, 4] lead to from one and the same box."""
    return offset_ious(predicted, true)[1]


def offset_ious(predicted: Any, true: Any) -> tuple[Any, Any]:
    """`generalised_iou` of the boxes that two sets of offsets [N, 4] lead to from one and the same box."""
    unit_box = ops.array([0.0, 0.0, 1.0, 1.0])
    return generalised_iou(unit_box + predicted, unit_box + true)


def generalised_iou(boxes_a: Any, boxes_b: Any) -> tuple[Any, Any]:
    """GIoU, in −1–1, and IoU [...] of boxes [..., 4] (Rezatofighi et al. 2019, arXiv 1902.09630, algorithm 1)."""
    low, high = ops.maximum(boxes_a[..., :2], boxes_b[..., :2]), ops.minimum(boxes_a[..., 2:], boxes_b[..., 2:])
    shared = ops.prod(ops.maximum(high - low, 0.0), axis=-1)
    union = ops.maximum(_areas(boxes_a) + _areas(boxes_b) - shared, _LEAST_AREA)
    hull = ops.maximum(boxes_a[..., 2:], boxes_b[..., 2:]) - ops.minimum(boxes_a[..., :2], boxes_b[..., :2])
    hull = ops.maximum(ops.prod(hull, axis=-1), _LEAST_AREA)
    return shared / union - (hull - union) / hull, shared / union


def _areas(boxes: Any) -> Any:
    return ops.prod(ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)


def point_distances(errors: Any) -> Any:
    """Distances [N, P] of points that are off by `errors` [N, 2 P], x and y of each; with gradients at 0, too."""
    squares = ops.sum(ops.square(ops.reshape(errors, [-1, errors.shape[-1] // 2, 2])), axis=2)
    is_off = squares > 0  # the root of 0 has no gradient that is a number
    return ops.where(is_off, ops.sqrt(ops.where(is_off, squares, 1.0)), 0.0)


def landmark_errors(predicted: Any, true: Any, landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE) -> Any:
    """Mean distance [N] of points [N, 2 P] from the true ones, in percent of the distance between the true eyes.

    Of a set without eyes, in percent of the side of the square that the points are relative to.
    """
    shape = [-1, landmark_set.num_points, 2]
    errors = 100 * ops.mean(point_distances(predicted - true), axis=1)
    if landmark_set.eyes is None:
        return errors
    left, right = (ops.mean(ops.take(ops.reshape(true, shape), eye, axis=1), axis=1) for eye in landmark_set.eyes)
    eyes = ops.sqrt(ops.sum(ops.square(right - left), axis=1))  # [N]
    return errors / ops.maximum(eyes, _NARROWEST_EYES)


class MaskedMeans(keras.metrics.Metric):
    """Means of several figures, each over the rows that it counts for, in one variable.

    P-Net takes a few milliseconds for a batch, and one sum of a short vector costs less than many Keras metrics.
    """

    def __init__(self, names: tuple[str, ...], name: str = "means", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.names = tuple(names)
        self.sums = self.add_variable((2, len(self.names)), "zeros", dtype="float32", name="sums", aggregation="sum")

    def update_state(self, sums: Any) -> None:
        """Adds `sums` [2, number of figures]: sums of values and numbers of rows, as `sum_rows` returns them."""
        self.sums.assign(self.sums + sums)

    def result(self) -> dict:
        """The mean of each figure by name; 0 where no row counted."""
        sums = ops.convert_to_tensor(self.sums)
        means = ops.divide_no_nan(sums[0], sums[1])
        return {name: means[k] for k, name in enumerate(self.names)}

    def known(self) -> dict[str, float]:
        """The mean of each figure as a number; figures that no row has counted for are left out."""
        sums, counts = ops.convert_to_numpy(self.sums)
        return {name: float(s / n) for name, s, n in zip(self.names, sums, counts, strict=True) if n}

    def get_config(self) -> dict:
        """The arguments that make the same metric."""
        return {**super().get_config(), "names": self.names}


def sum_rows(figures: Mapping[str, tuple[Any, Any]]) -> Any:
    """Sums of values and numbers of rows, float32 [2, len(figures)], from values [N] and boolean masks [N] by name."""
    values = ops.stack([values for values, _ in figures.values()])  # [F, N]
    mask = ops.stack([mask for _, mask in figures.values()])
    return ops.stack([ops.sum(ops.where(mask, values, 0.0), axis=1), ops.sum(ops.cast(mask, "float32"), axis=1)])


def precision_and_recall(scores: np.ndarray, is_face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall, two arrays [M], when all rows down to each of the M different scores are called faces.

    Args:
        scores: Face scores [N].
        is_face: Whether the rows are faces, boolean [N]; at least one is.
    """
    hits, rows = rankings.totals(scores, is_face, np.ones(len(scores), int))
    return hits / rows, hits / hits[-1]


def face_figures(scores: np.ndarray, is_face: np.ndarray) -> dict[str, float]:
    """The figures that need all scores of a validation set at once: `auc` and `recall_at_precision`.

    `auc` is the area under the ROC curve: the chance that a face scores higher than something else. Empty when there
    are only faces, or none.
    """
    if is_face.all() or not is_face.any():
        return {}
    wins = scipy.stats.mannwhitneyu(scores[is_face], scores[~is_face]).statistic
    precision, recall = precision_and_recall(scores, is_face)
    return {
        "auc": float(wins / (is_face.sum() * (~is_face).sum())),
        "recall_at_precision": float(recall[precision >= FIXED_PRECISION].max(initial=0.0)),
    }
