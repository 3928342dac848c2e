"""How large faces are, and how well the squares that a first stage sees fit them: figures and plots."""

import collections
import os

import matplotlib.axes
import matplotlib.figure
import numpy as np
import tqdm

from mtcnn_tf import faces, files
from mtcnn_tf.geometry import anchors as anchors_lib
from mtcnn_tf.images import image_files

NUM_BINS = 60
NUM_SIDES = 160
"""Sizes of faces for which the anchor overlap is worked out."""


def sides_of_faces(annotations: list[faces.Annotation], longest_side: int | None = None) -> np.ndarray:
    """Longer sides [N] of all faces in pixels.

    Args:
        annotations: Of the images.
        longest_side: Measures in images that are shrunk to this, as records with `--longest_side` are; images that
            can't be read are left out.
    """
    if longest_side is None:
        return np.concatenate([np.zeros(0), *(anchors_lib.sides_of(annotation.boxes) for annotation in annotations)])
    sides: list[np.ndarray] = [np.zeros(0)]
    for annotation in tqdm.tqdm(annotations, unit=" images", disable=None, leave=False):
        if len(annotation.boxes) and (size := _size(annotation.image_path)):
            sides.append(anchors_lib.sides_of(annotation.boxes) * min(1, longest_side / max(size)))
    return np.concatenate(sides)


def _size(path: str) -> tuple[int, int] | None:
    try:
        return image_files.size(path)
    except OSError:
        return None


def mean_iou(sides: np.ndarray, anchors: anchors_lib.Anchors) -> float:
    """Mean IoU, in 0–1, of squares with `sides` [N] with the anchor that fits each best, round the same centre."""
    counts = collections.Counter(np.asarray(sides, np.float64).tolist())  # many faces have one of few sizes
    best = anchors_lib.concentric_iou(np.array(list(counts)), np.array(anchors.sizes)).max(axis=1)
    return float(np.average(best, weights=list(counts.values())))


def draw_sizes(axes: matplotlib.axes.Axes, sides: np.ndarray, anchors: anchors_lib.Anchors) -> None:
    """Draws the histogram of the faces' longer `sides` [N] with a line at each anchor."""
    both_ends = min(sides.min(), anchors.sizes[0]), max(sides.max(), anchors.sizes[-1])
    edges = np.geomspace(both_ends[0] * 0.99, both_ends[1] * 1.01, NUM_BINS)
    axes.hist(sides, edges.tolist(), color="0.7")
    for number, size in enumerate(anchors.sizes):
        axes.axvline(size, color="C3", lw=1, label=None if number else f"{len(anchors.sizes)} anchors")
    axes.set(xscale="log", xlabel="longer side of the face in pixels", ylabel="faces")
    axes.set_title(f"{len(sides):,} faces, mean IoU with the best anchor {mean_iou(sides, anchors):.3f}")
    axes.legend()


def draw_overlap(
    axes: matplotlib.axes.Axes,
    grids: dict[str, dict[float, tuple[float, ...]]],
    smallest: float = 8,
    largest: float = 400,
) -> None:
    """Draws the anchor overlap: the largest IoU of a face with a first stage's squares, expected over its places.

    Args:
        axes: Where to draw.
        grids: Name of a first stage → its squares, as `anchors.expected_max_iou` takes them.
        smallest: Side of the smallest face, in pixels.
        largest: Side of the largest face, in pixels.
    """
    sides = np.geomspace(smallest, largest, NUM_SIDES)
    for name, of_stage in grids.items():
        axes.plot(sides, anchors_lib.expected_max_iou(sides, of_stage), label=name)
    axes.set(xscale="log", xlabel="side of the face in pixels", ylabel="expected largest IoU", ylim=(0, 1))
    axes.set_title("Anchor overlap")
    axes.grid(alpha=0.3)
    axes.legend()


def write(
    path: str | os.PathLike, sides: np.ndarray, anchors: anchors_lib.Anchors, grids: dict[str, dict[float, tuple]]
) -> None:
    """Writes a PNG of both plots; the file appears whole or not at all."""
    figure = matplotlib.figure.Figure(figsize=(13, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_sizes(left, sides, anchors)
    draw_overlap(right, grids)
    with files.atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
