"""Geometry of boxes as pure functions on NumPy arrays; see `faces` for the one box format.

Every function takes boxes [..., 4] and returns float32. The cascade has the same few formulas as TensorFlow ops; tests
hold the two against each other.
"""

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas [...] in square pixels; 0 for a box turned inside out."""
    return np.maximum(boxes[..., 2] - boxes[..., 0], 0) * np.maximum(boxes[..., 3] - boxes[..., 1], 0)


def _intersection(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """Areas shared by `boxes_a` and `boxes_b`, whose leading axes broadcast."""
    left = np.maximum(boxes_a[..., 0], boxes_b[..., 0])
    top = np.maximum(boxes_a[..., 1], boxes_b[..., 1])
    right = np.minimum(boxes_a[..., 2], boxes_b[..., 2])
    bottom = np.minimum(boxes_a[..., 3], boxes_b[..., 3])
    return np.maximum(right - left, 0) * np.maximum(bottom - top, 0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def paired_iou(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """Intersection over union of the boxes at the same place in `boxes_a` and `boxes_b`, [...] in 0–1."""
    shared = _intersection(boxes_a, boxes_b)
    return _ratio(shared, area(boxes_a) + area(boxes_b) - shared)


def iou(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """Intersection over union of each of `boxes_a` [N, 4] with each of `boxes_b` [M, 4]: [N, M], in 0–1."""
    return paired_iou(boxes_a[:, None], boxes_b[None])


def overlap(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """Intersection over the *smaller* of two boxes, [N, M] in 0–1: 1 where one box lies within the other."""
    boxes_a, boxes_b = boxes_a[:, None], boxes_b[None]
    return _ratio(_intersection(boxes_a, boxes_b), np.minimum(area(boxes_a), area(boxes_b)))


def centres(boxes: np.ndarray) -> np.ndarray:
    """Centres [..., 2] of boxes [..., 4]."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def square(boxes: np.ndarray) -> np.ndarray:
    """The smallest squares round the same centres, [..., 4]."""
    half_sides = np.max(boxes[..., 2:] - boxes[..., :2], axis=-1, keepdims=True) / 2
    return around(centres(boxes), half_sides)


def enlarge(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes [..., 4] round the same centres, `factor` times as wide and high."""
    return around(centres(boxes), (boxes[..., 2:] - boxes[..., :2]) / 2 * factor).astype(np.float32)


def around(middles: np.ndarray, half_sides: np.ndarray) -> np.ndarray:
    """Boxes [..., 4] with these centres [..., 2] and halves of width and height, [..., 2], or [..., 1] for squares."""
    return np.concatenate([middles - half_sides, middles + half_sides], axis=-1)


def rotate(boxes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Upright boxes [N, 4] of faces after each has been rotated round its centre by its angle [N] in radians.

    A face is taken for the ellipse that fills its box.
    """
    return round_ellipses((boxes[:, 2:] - boxes[:, :2]) / 2, angles, centres(boxes)).astype(np.float32)


def round_ellipses(radii: np.ndarray, angles: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """The smallest upright boxes [N, 4] round ellipses.

    A point at the parameter t lies `a cos(angle) cos(t) − b sin(angle) sin(t)` to the right of the centre, of which the
    largest value is `hypot(a cos(angle), b sin(angle))`; below the centre likewise.

    Args:
        radii: [N, 2], of which the first lies along the x axis before the ellipse is rotated.
        angles: [N] in radians, clockwise as seen on the screen.
        middles: Their centres, [N, 2].
    """
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    half_sides = np.hypot(radii * cosine, radii[:, ::-1] * sine)
    return around(middles, half_sides)


def rotate_points(points: np.ndarray, angles: np.ndarray, pivots: np.ndarray) -> np.ndarray:
    """Points [N, P, 2] rotated clockwise (as seen on the screen) by `angles` [N] round `pivots` [N, 2]."""
    cosine, sine = np.cos(angles), np.sin(angles)
    rotation = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # [N, 2, 2]
    return np.einsum("nij,npj->npi", rotation, points - pivots[:, None]) + pivots[:, None]


def clip(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """The parts of the boxes that lie within an image of `width` × `height` pixels, [..., 4]."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def _sides(boxes: np.ndarray) -> np.ndarray:
    """Width, height, width, height of each box, [..., 4]: what offsets are measured in."""
    return np.tile(boxes[..., 2:] - boxes[..., :2], 2)


def encode(boxes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Offsets [..., 4] that lead from `boxes` to `faces`: (true corner − box corner) / box side."""
    return ((faces - boxes) / _sides(boxes)).astype(np.float32)


def decode(boxes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The boxes [..., 4] that `offsets` lead to from `boxes`: the inverse of `encode`."""
    return (boxes + offsets * _sides(boxes)).astype(np.float32)


def encode_points(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [N, P, 2] relative to the boxes [N, 4]: (0, 0) is the box's top left corner, (1, 1) its bottom right."""
    return ((points - boxes[:, None, :2]) / (boxes[:, None, 2:] - boxes[:, None, :2])).astype(np.float32)


def decode_points(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [N, P, 2] in pixels from points relative to the boxes [N, 4]: the inverse of `encode_points`."""
    return (points * (boxes[:, None, 2:] - boxes[:, None, :2]) + boxes[:, None, :2]).astype(np.float32)


def suppress(boxes: np.ndarray, max_iou: float, max_count: int) -> np.ndarray:
    """Rows, int [K], of the boxes that greedy non-maximum suppression keeps, at most `max_count`.

    Args:
        boxes: [N, 4], best first.
        max_iou: A box that has a larger IoU with a better one that is kept is dropped.
        max_count: So many are enough.
    """
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < max_count:
        kept.append(left[0])
        left = left[1:][iou(boxes[left[:1]], boxes[left[1:]])[0] <= max_iou]
    return np.array(kept, int)
