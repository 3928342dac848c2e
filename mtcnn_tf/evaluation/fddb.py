"""FDDB's protocol, and average precision for upright boxes round its ellipses.

Jain, Learned-Miller, "FDDB: A Benchmark for Face Detection in Unconstrained Settings", 2010, section 5, and the
authors' program `evaluation`. Above every score, detections and faces are matched anew, one to one, so that the sum of
their IoUs is largest. *Discrete* score: a pair with an IoU above 0.5 counts 1. *Continuous* score: each pair counts its
IoU. Both are fractions of all faces, against the number of detections that are in no pair with an IoU above 0.5.

The program compares masks of pixels, as large as the image; here areas are exact, and likewise what lies beyond the
image's edge is cut off, from faces as from detections. Detections are compared as the boxes they are: they are not
turned into ellipses.
"""

import numpy as np
import PIL.Image
import scipy.optimize

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import fddb
from mtcnn_tf.evaluation import box_maps, curves, reports, wider_face
from mtcnn_tf.geometry import boxes

NUM_FALSE_POSITIVES = (10, 50, 100, 500, 1000, 2000)
MAPPED = "upright boxes, mapped"
_MAP_NAMES = ("right", "down", "width", "height")
_MAP_TITLES = ("to the right, in widths", "down, in heights", "times as wide", "times as high")


def report(
    images: list[fddb.Image], detections: list[faces.Detections], sizes: list[tuple[int, int]]
) -> reports.Report:
    """Discrete and continuous scores on ellipses, average precision and recall on upright boxes round them.

    Both also after the map of the boxes that `box_maps` fits on every other image for those between.

    Args:
        images: N images.
        detections: What was found in each.
        sizes: Width and height of each.
    """
    discrete, continuous = rank(images, detections, sizes)
    upright = rank_upright(images, detections, sizes)
    mapped, maps = box_maps.apply_crosswise([fddb.annotate(image).boxes for image in images], detections)
    mapped_discrete, _ = rank(images, mapped, sizes)
    mapped_upright = rank_upright(images, mapped, sizes)
    figures = {
        "num_faces": reports.Figure(upright.num_faces, "faces"),
        "ap": reports.Figure(upright.average_precision(), "upright boxes: AP"),
        "ap_mapped": reports.Figure(mapped_upright.average_precision(), f"{MAPPED}: AP"),
    }
    for name, title, value in zip(_MAP_NAMES, _MAP_TITLES, np.mean(maps, axis=0), strict=True):
        figures[f"map_{name}"] = reports.Figure(float(value), f"the map: {title}")
    lines = {}
    for name, title, ranking, fraction in (
        ("recall", "upright boxes", upright, "recall"),
        ("discrete_score", "discrete", discrete, "score"),
        ("continuous_score", "continuous", continuous, "score"),
        ("recall_mapped", MAPPED, mapped_upright, "recall"),
        ("discrete_score_mapped", "discrete, boxes mapped", mapped_discrete, "score"),
    ):
        for num in NUM_FALSE_POSITIVES:
            text = f"{title}: {fraction} at {num} false positives"
            figures[f"{name}_at_fp_{num}"] = reports.Figure(ranking.recall_at(num), text)
        false_positives, _ = ranking.totals()
        # A logarithmic axis has no 0: the best recall without a false positive is drawn at 1.
        lines[title] = reports.Curve(
            np.maximum(false_positives, 1), ranking.recall(), "false positives", fraction, "log"
        )
    return reports.Report(figures, lines)


def rank(
    images: list[fddb.Image], detections: list[faces.Detections], sizes: list[tuple[int, int]]
) -> tuple[curves.Ranking, curves.Ranking]:
    """The run by the discrete and by the continuous score; arguments as in `report`."""
    scores, discrete, continuous = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for image, found, size in zip(images, detections, sizes, strict=True):
        sums = match(iou(found.boxes, image.ellipses, size))
        scores.append(found.scores)
        discrete.append(np.diff(sums[0], prepend=0))
        continuous.append(np.diff(sums[1], prepend=0))
    all_scores, all_discrete = np.concatenate(scores), np.concatenate(discrete)
    num_faces = sum(len(image.ellipses) for image in images)
    false_positives = 1 - all_discrete  # of both scores
    return (
        curves.Ranking(all_scores, all_discrete, num_faces, false_positives),
        curves.Ranking(all_scores, np.concatenate(continuous), num_faces, false_positives),
    )


def rank_upright(
    images: list[fddb.Image], detections: list[faces.Detections], sizes: list[tuple[int, int]]
) -> curves.Ranking:
    """The run by upright boxes round the ellipses at an IoU of 0.5; arguments as in `report`."""
    annotations, inside = [], []
    for image, found, (width, height) in zip(images, detections, sizes, strict=True):
        annotation = fddb.annotate(image)
        annotations.append(faces.Annotation(image.image_path, boxes.clip(annotation.boxes, width, height)))
        inside.append(faces.Detections(boxes.clip(found.boxes, width, height), found.scores, found.landmarks))
    return wider_face.rank(annotations, inside)


def image_sizes(images: list[fddb.Image]) -> list[tuple[int, int]]:
    """Width and height of each image."""
    sizes = []
    for image in images:
        with files.open(image.image_path) as file, PIL.Image.open(file) as opened:
            sizes.append(opened.size)
    return sizes


def match(iou: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Discrete and continuous sums of the pairs among the 1, 2, … N best detections of an image, two arrays [N].

    Args:
        iou: Of each detection, best score first, with each face, [N, M].
    """
    discrete, continuous = np.zeros(len(iou)), np.zeros(len(iou))
    is_near: np.ndarray = np.any(iou, axis=1)
    pairs = np.zeros(0)
    for num in range(len(iou)):
        if is_near[num]:  # one that touches no face changes no pair
            near = iou[: num + 1][is_near[: num + 1]]
            pairs = near[scipy.optimize.linear_sum_assignment(near, maximize=True)]
        discrete[num], continuous[num] = np.sum(pairs > curves.MIN_IOU), np.sum(pairs)
    return discrete, continuous


def iou(rectangles: np.ndarray, ellipses: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Intersection over union of each of the boxes [N, 4] with each of the ellipses [M, 5]: float64 [N, M], in 0–1.

    Both as far as they lie within an image of `size`, width and height.
    """
    whole = np.array([[0, 0, *size]], np.float64)
    rectangles = np.clip(rectangles.astype(np.float64), whole[:, [0, 1, 0, 1]], whole[:, [2, 3, 2, 3]])
    shared = _shared_area(rectangles, ellipses)
    union = boxes.area(rectangles)[:, None] + _shared_area(whole, ellipses) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _shared_area(rectangles: np.ndarray, ellipses: np.ndarray) -> np.ndarray:
    """The area that each of the boxes [N, 4] shares with each of the ellipses [M, 5]: float64 [N, M].

    Where the ellipse is a unit circle, the box is a parallelogram, and areas shrink by the product of the radii.
    """
    corners = rectangles[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # [N, 4, 2]
    radii, angles, centres = ellipses[:, :2], ellipses[:, 2], ellipses[:, 3:]
    from_centres = corners[:, None] - centres[None, :, None]  # [N, M, 4, 2]
    axes = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]])  # [2, 2, M]: axis, x or y
    points = np.einsum("nmkc,acm->nmka", from_centres, axes) / radii[:, None]
    return np.abs(_area_in_unit_circle(points)) * np.prod(radii, axis=1)


def _area_in_unit_circle(corners: np.ndarray) -> np.ndarray:
    """Areas of polygons [..., K, 2] within the unit circle round the origin, [...]; the sign tells their sense.

    Each edge, seen from the origin, spans a sector as far as it lies outside of the circle and a triangle where it lies
    within.
    """
    start, end = corners, np.roll(corners, -1, axis=-2)
    along = end - start
    # The edge start + t along, 0 ≤ t ≤ 1, is within the circle where t lies between the roots of a t² + 2 b t + c.
    a = np.maximum(np.sum(along**2, axis=-1), np.finfo(np.float64).tiny)
    b, c = np.sum(start * along, axis=-1), np.sum(start**2, axis=-1) - 1
    half_gap = np.sqrt(np.maximum(b**2 - a * c, 0))
    enters, leaves = (start + np.clip((-b + sign * half_gap) / a, 0, 1)[..., None] * along for sign in (-1, 1))
    sectors = _angle(start, enters) + _angle(leaves, end)
    return np.sum(sectors + _cross(enters, leaves), axis=-1) / 2


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angle from `a` to `b`, seen from the origin."""
    return np.arctan2(_cross(a, b), np.sum(a * b, axis=-1))
