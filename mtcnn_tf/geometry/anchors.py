"""Anchors: the squares at fixed places of an image among which the RPN looks for faces; how they are chosen.

A face is found through an anchor that overlaps it well, so the sizes of the anchors follow the sizes of the faces:
k-means with 1 − IoU as the distance (Redmon and Farhadi 2017, "YOLO9000", section 2). Each size lies on a grid whose
spacing, the *stride*, is that of the convolutional map which tells of it (Ren et al. 2015, "Faster R-CNN", 3.1).
"""

import dataclasses
import json
import pathlib

import numpy as np

from mtcnn_tf import files
from mtcnn_tf.geometry import boxes as box_geometry

STRIDES = (8, 16, 32)
LARGEST_STRIDE = STRIDES[-1]
"""Sides of an image must be multiples of this for all grids to begin in its corner."""
_LARGEST_SIZES = (40, 112, np.inf)
"""Up to these sizes an anchor belongs to each of `STRIDES`: it moves by at most a half of itself, about."""
NUM_ANCHORS = 9
_MAX_SIZES = 300


@dataclasses.dataclass(frozen=True)
class Anchors:
    """Sizes of anchors.

    Attributes:
        sizes: Sides in pixels, ascending.
    """

    sizes: tuple[float, ...] = (12.0, 17.0, 24.0, 34.0, 48.0, 68.0, 96.0, 136.0, 210.0)

    def __post_init__(self) -> None:
        sizes = tuple(float(size) for size in self.sizes)
        if not sizes or not all(0 < size < np.inf for size in sizes) or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"anchors need different sizes above 0 in ascending order, got {list(self.sizes)}")
        object.__setattr__(self, "sizes", sizes)

    def by_stride(self) -> dict[int, tuple[float, ...]]:
        """The sizes that lie on the grid of each stride; strides without any are left out."""
        strides = np.array(STRIDES)[np.searchsorted(_LARGEST_SIZES, self.sizes)]
        sizes = {stride: tuple(np.array(self.sizes)[strides == stride].tolist()) for stride in STRIDES}
        return {stride: of_stride for stride, of_stride in sizes.items() if of_stride}

    def fitted(self, sizes: tuple[float, float]) -> tuple[float, float]:
        """What a least and a largest size that belong to the default anchors are for these, in pixels.

        The one is in proportion to the smallest anchor, the other to the largest.
        """
        defaults = Anchors().sizes
        return sizes[0] * self.sizes[0] / defaults[0], sizes[1] * self.sizes[-1] / defaults[-1]

    def boxes(self, height: int, width: int) -> np.ndarray:
        """All anchors of an image, float32 [A, 4]: stride by stride, in each row by row, column by column, by size.

        This is the order in which the RPN's outputs come.

        Args:
            height: Of the image in pixels, a multiple of `LARGEST_STRIDE`.
            width: Likewise.
        """
        grids = []
        for stride, sizes in self.by_stride().items():
            rows, columns = np.arange(height // stride), np.arange(width // stride)
            y, x, half = np.meshgrid(
                (rows + 0.5) * stride, (columns + 0.5) * stride, np.array(sizes) / 2, indexing="ij"
            )
            grids.append(np.stack([x - half, y - half, x + half, y + half], axis=-1).reshape(-1, 4))
        return np.concatenate(grids).astype(np.float32)


def read(path: str | pathlib.Path) -> Anchors:
    """The anchors in a file that `write` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds something else.
    """
    try:
        return Anchors(tuple(json.loads(files.read_text(path))["sizes"]))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"expected anchors as data_prep.anchors writes them, got something else in {str(path)!r} ({error})"
        ) from error


def write(path: str | pathlib.Path, anchors: Anchors) -> None:
    """Writes the anchors as JSON; the file appears whole or not at all."""
    with files.atomic_write(path) as partial:
        partial.write_text(json.dumps({"sizes": list(anchors.sizes)}) + "\n")


def choose(sides: np.ndarray, num_anchors: int = NUM_ANCHORS) -> Anchors:
    """Anchors for faces with these longer `sides` [N] in pixels: the centres of k-means with 1 − IoU as the distance.

    The IoU is that of two squares round the same centre. k-means usually starts by chance and stops at the next local
    optimum; clusters of sorted numbers are intervals, so that the best of all are found by dynamic programming. A
    centre is one of the sides: between two of them the mean IoU is never larger than at the better one.

    Raises:
        ValueError: There are fewer different sides than anchors.
    """
    sides, counts = np.unique(np.round(np.asarray(sides, np.float64), 2), return_counts=True)
    if len(sides) > _MAX_SIZES:  # sides that differ by less than a percent count as one
        _, rows = np.unique(np.round(np.log(sides) / 0.01), return_inverse=True)
        counts, weighted = np.bincount(rows, counts), np.bincount(rows, counts * sides)
        sides = np.round(weighted / counts, 2)
    if len(sides) < num_anchors:
        raise ValueError(
            f"expected faces of at least {num_anchors} different sizes for {num_anchors} anchors, got {len(sides)}; "
            "ask for fewer anchors or take more images"
        )
    gain, centres = _best_centres(concentric_iou(sides, sides) * counts)
    total, starts = gain[0], []  # of the sides up to each, with one anchor; where the last cluster starts, with more
    for _ in range(num_anchors - 1):
        with_one_more = np.concatenate([[-np.inf], total[:-1]])[:, None] + gain
        starts.append(with_one_more.argmax(axis=0))
        total = with_one_more.max(axis=0)
    chosen, last = [], len(sides) - 1
    for of_cluster in [*starts[::-1], np.zeros(len(sides), int)]:
        chosen.append(sides[centres[of_cluster[last], last]])
        last = of_cluster[last] - 1
    return Anchors(tuple(chosen[::-1]))


def _best_centres(iou: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest sum of the IoU of sides i to j with one centre, and which it is: both [M, M]; −∞ where j < i.

    Args:
        iou: [M, M], of each centre with each side.
    """
    gain, centres = np.full(iou.shape, -np.inf), np.zeros(iou.shape, int)
    for i in range(len(iou)):
        sums = np.cumsum(iou[i:, i:], axis=1)
        centres[i, i:], gain[i, i:] = i + sums.argmax(axis=0), sums.max(axis=0)
    return gain, centres


def concentric_iou(sides: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """IoU [N, K] of squares with `sides` [N] and squares with `sizes` [K] round the same centre, in 0–1."""
    ratio = np.asarray(sides, np.float64)[:, None] / np.asarray(sizes, np.float64)
    return np.minimum(ratio, 1 / ratio) ** 2


def expected_max_iou(sides: np.ndarray, grids: dict[float, tuple[float, ...]], num_places: int = 48) -> np.ndarray:
    """The largest IoU [N] of a square face with the squares of a first stage, expected over the places of the face.

    Zhu et al. 2018, "Seeing Small Faces from Robust Anchor's Perspective" (arXiv 1802.09058), section 3.1: the
    *expected max overlapping score*, here by averaging over `num_places`² places of the face within a cell.

    Args:
        sides: Sides of the faces in pixels, [N].
        grids: Spacing of a grid in pixels → the sides of the squares whose centres lie on it.
        num_places: Places of the face's centre within a cell of the coarsest grid, in each direction.
    """
    sides = np.asarray(sides, np.float64)
    # The nearest squares of several grids are at places that depend on each other: the coarsest cell is gone through.
    shift = (np.arange(num_places) + 0.5) / num_places * max(grids)
    best = np.zeros((len(sides), num_places, num_places))
    for spacing, sizes in grids.items():
        off = np.abs(shift % spacing - spacing / 2)  # to the nearest centre: they are in the middle of the cells
        for size in sizes:
            half = (sides[:, None] + size) / 2
            shared = np.clip(half - off, 0, np.minimum(sides, size)[:, None])  # [N, places], along one axis
            area = shared[:, :, None] * shared[:, None, :]
            best = np.maximum(best, area / (sides[:, None, None] ** 2 + size**2 - area))
    return best.mean(axis=(1, 2))


def pyramid_grids(min_face_size: float, scale_factor: float, stride: int, size: int, largest: float) -> dict:
    """The windows that P-Net sees, as `expected_max_iou` takes them: spacing → sides, both in pixels of the image.

    Args:
        min_face_size: Smallest face looked for.
        scale_factor: Ratio of neighbouring scales, in (0, 1).
        stride: Of P-Net's windows, in pixels of a scale.
        size: Side of P-Net's windows, in pixels of a scale.
        largest: Scales go on until windows are at least so large.
    """
    grids, side = {}, float(min_face_size)
    while True:
        grids[side * stride / size] = (side,)
        if side >= largest:
            return grids
        side /= scale_factor


def best_iou_of_squares(boxes: np.ndarray) -> np.ndarray:
    """The largest IoU [N], in 0–1, that any square can have with each of the boxes [N, 4].

    A box with sides a ≤ b overlaps most with a concentric square of a side s in a–b, by a·s / (a·b + s² − a·s), which
    is largest at s = √(a·b), the square of the same area.
    """
    sides = np.sort(boxes[:, 2:] - boxes[:, :2], axis=1)
    ratio = np.sqrt(sides[:, 0] / np.maximum(sides[:, 1], 1e-9))
    return ratio / (2 - ratio)


def sides_of(boxes: np.ndarray) -> np.ndarray:
    """Longer sides [N] of boxes [N, 4]: those of the squares round them."""
    return np.diff(box_geometry.square(boxes)[:, [0, 2]])[:, 0]
