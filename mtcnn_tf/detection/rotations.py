"""An image searched in four rotations: upright, and rotated by 90°, 180° and 270°."""

from collections.abc import Callable

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.geometry import boxes

MAX_OVERLAP = 0.5
"""Largest intersection over the smaller of two faces; boxes of one face differ more between rotations than within."""


def search(find: Callable[[np.ndarray], faces.Detections], image: np.ndarray) -> faces.Detections:
    """The faces that `find` finds in any rotation of the image, in pixels of the image as it is, best score first.

    Where the same face was found more than once, the best score is kept. Points keep the names that they have in the
    rotation in which they were found: of a face upside down, `left_eye` is the left one when the face is upright, so
    that it is aligned upright.

    Args:
        find: A detector.
        image: uint8 [H, W, 3].
    """
    found = [_rotated_back(find(np.ascontiguousarray(np.rot90(image, k))), image.shape, k) for k in range(4)]
    names = ("boxes", "scores", "landmarks")
    together = faces.Detections(*(np.concatenate([getattr(each, name) for each in found]) for name in names))
    together = together[np.argsort(-together.scores, kind="stable")]
    kept: list[int] = []
    for row, overlaps in enumerate(boxes.overlap(together.boxes, together.boxes)):
        if not np.any(overlaps[kept] > MAX_OVERLAP):
            kept.append(row)
    return together[np.array(kept, int)]


def _rotated_back(found: faces.Detections, shape: tuple[int, ...], num_turns: int) -> faces.Detections:
    """What was found after `np.rot90(image, num_turns)`, in pixels of an image of `shape`."""
    corners: np.ndarray = found.boxes.reshape(-1, 2, 2)
    landmarks = found.landmarks
    for turn in reversed(range(num_turns)):
        width = shape[1 - turn % 2]  # before this turn, which took (x, y) to (y, width − x)
        corners, landmarks = (
            np.stack([width - points[..., 1], points[..., 0]], axis=-1) for points in (corners, landmarks)
        )
    rotated = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return faces.Detections(rotated, found.scores, landmarks)
