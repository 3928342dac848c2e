"""Boxes to look at, drawn by chance: square [N, 4] in pixels of the image, float32.

The published recipe draws them in three ways. R-Net and O-Net look at what the cascade so far proposes instead of the
first two.
"""

import numpy as np

from mtcnn_tf.geometry import boxes as box_geometry

MIN_SIZE = 12
"""Side of the smallest square worth looking at: what P-Net sees."""
ROTATED_NEGATIVES = 0.5
"""Fraction of the negatives whose image is rotated round their middle. As many positives are, where half of those were
proposed and half jittered: else the corners and the smoothness of a rotated crop would tell of a face."""


def anywhere(rng: np.random.Generator, width: int, height: int, count: int) -> np.ndarray:
    """Squares anywhere in the image, with sides from 12 pixels to half the shorter side.

    An image whose shorter side is less than 24 pixels gives none.
    """
    sides = _sides(rng, width, height, count)
    left = rng.uniform(0, width - sides)
    top = rng.uniform(0, height - sides)
    return _squares(left, top, sides)


def near(rng: np.random.Generator, faces: np.ndarray, width: int, height: int, count: int) -> np.ndarray:
    """`count` squares near each face [N, 4]: they touch or nearly touch it, and lie within the image.

    Sides are drawn as in `anywhere`, the top left corner from one side before the face's to the face's end. Squares
    that reach outside of the image are dropped.
    """
    faces = np.repeat(faces, count, axis=0)
    sides = _sides(rng, width, height, len(faces))
    faces = faces[: len(sides)]
    left = np.maximum(rng.uniform(faces[:, 0] - sides, faces[:, 2]), 0)
    top = np.maximum(rng.uniform(faces[:, 1] - sides, faces[:, 3]), 0)
    return inside(_squares(left, top, sides), width, height)


def jittered(rng: np.random.Generator, faces: np.ndarray, scale: tuple[float, float], shift: float) -> np.ndarray:
    """A square round each face [N, 4].

    Args:
        rng: Source of chance.
        faces: Boxes with an area.
        scale: The side lies between `scale[0]` times the face's shorter and `scale[1]` times its longer side.
        shift: The centre moves by at most this fraction of the face's width and height.
    """
    extent = faces[:, 2:] - faces[:, :2]
    sides = rng.uniform(scale[0] * extent.min(axis=1), scale[1] * extent.max(axis=1))
    centres = box_geometry.centres(faces) + rng.uniform(-shift, shift, extent.shape) * extent
    corners = centres - sides[:, None] / 2
    return _squares(corners[:, 0], corners[:, 1], sides)


def angles(rng: np.random.Generator, count: int, max_degrees: float) -> np.ndarray:
    """`count` angles in radians, either way."""
    return np.deg2rad(rng.uniform(-max_degrees, max_degrees, count))


def angles_of_negatives(rng: np.random.Generator, count: int, max_degrees: float) -> np.ndarray:
    """`angles` for some of `count` negatives, see `ROTATED_NEGATIVES`, and 0 for the others."""
    return np.where(rng.random(count) < ROTATED_NEGATIVES, angles(rng, count, max_degrees), 0)


def inside(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Those of the boxes that lie within the image."""
    return boxes[inside_mask(boxes, width, height)]


def inside_mask(boxes: np.ndarray, width: int | np.ndarray, height: int | np.ndarray) -> np.ndarray:
    """Which of the boxes [N, 4] lie within the image, or each within its own of these sizes [N]: bool [N]."""
    return (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, 2] <= width) & (boxes[:, 3] <= height)


def _sides(rng: np.random.Generator, width: int, height: int, count: int) -> np.ndarray:
    """Log-uniform from `MIN_SIZE` to half the shorter side: as many squares of 12–24 pixels as of 100–200.

    The cascade looks at far more small windows than large ones; the recipe's uniform sides would hardly ever show one.
    """
    longest = min(width, height) / 2
    if longest < MIN_SIZE:
        return np.zeros(0)
    return np.exp(rng.uniform(np.log(MIN_SIZE), np.log(longest), count))


def _squares(left: np.ndarray, top: np.ndarray, sides: np.ndarray) -> np.ndarray:
    return np.stack([left, top, left + sides, top + sides], axis=1).astype(np.float32)
