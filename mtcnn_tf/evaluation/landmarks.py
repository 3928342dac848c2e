"""How far landmarks are from where people placed them, in units of the distance of the eyes, and of the face's size.

The figures of Sun, Wang, Tang, "Deep Convolutional Network Cascade for Facial Point Detection", 2013, and of Zhang et
al. 2016, section III.C, except that the detector finds the faces itself. A face that it misses is a failure. The size
is the square root of the area of the box round the true points, as in Bulat and Tzimiropoulos, "How far are we from
solving the 2D & 3D Face Alignment problem?", 2017.
"""

import numpy as np

from mtcnn_tf import faces, landmark_sets
from mtcnn_tf.evaluation import reports
from mtcnn_tf.geometry import boxes

MAX_ERROR = 0.1
"""An error above this fraction of the distance of the eyes is a failure."""
EYES, SIZE = "distance of the eyes", "size of the face"
"""The units of errors."""


def unit_of(landmark_set: landmark_sets.LandmarkSet) -> str:
    """What failures of a set are measured by: `EYES`, or `SIZE` where it names none."""
    return EYES if landmark_set.eyes else SIZE


def report(
    annotations: list[faces.Annotation],
    detections: list[faces.Detections],
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
) -> reports.Report:
    """Failures of all faces, missed ones among them, and errors of those found; faces without all points are left out.

    Errors are in percent of what `unit_of` says, and their mean in percent of the face's size as well. Of five points
    each has its own figure.

    Raises:
        ValueError: A detector has learnt other points.
    """
    unit = unit_of(landmark_set)
    distances, points = _match(annotations, detections, landmark_set)
    errors = distances / _lengths(points, landmark_set, unit)  # [F, P]
    by_size = distances / _lengths(points, landmark_set, SIZE)
    is_found = np.isfinite(errors).all(axis=1)
    found = errors[is_found]
    overall = errors.mean(axis=1)
    area = _mean(np.maximum(1 - overall / MAX_ERROR, 0))
    failures = "failures (error > 10 %), fraction"
    figures = {
        "num_faces": reports.Figure(len(errors), "faces"),
        "num_found": reports.Figure(len(found), "faces found"),
        "failure_rate": reports.Figure(_mean(overall > MAX_ERROR), f"all faces: {failures}"),
        "auc": reports.Figure(area, "all faces: area under the curve up to 10 %"),
        "failure_rate_of_found": reports.Figure(_mean(found.mean(axis=1) > MAX_ERROR), f"found: {failures}"),
        "error_of_found": reports.Figure(100 * _mean(found), "found: mean error", "%"),
        "error_of_found_by_size": reports.Figure(
            100 * _mean(by_size[is_found]), f"found: mean error, % of the {SIZE}", "%"
        ),
    }
    names = faces.LANDMARK_NAMES if landmark_set == landmark_sets.FIVE else ()
    for name, column in zip(names, found.T, strict=False):
        title = f"found: mean error of {name.replace('_', ' ')}"
        figures[f"error_of_found_{name}"] = reports.Figure(100 * _mean(column), title, "%")
    labels = (f"error, % of the {unit}", "fraction of faces")
    return reports.Report(
        figures, {"all faces": _cumulative(overall, labels), "faces found": _cumulative(found.mean(axis=1), labels)}
    )


def find_errors(
    annotations: list[faces.Annotation],
    detections: list[faces.Detections],
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
    unit: str = EYES,
) -> np.ndarray:
    """Distance of each point in the `unit`, `EYES` or `SIZE`, [F, P]; infinite for a face that was missed.

    Faces with an unknown point are left out.
    """
    distances, points = _match(annotations, detections, landmark_set)
    return distances / _lengths(points, landmark_set, unit)


def _match(
    annotations: list[faces.Annotation], detections: list[faces.Detections], landmark_set: landmark_sets.LandmarkSet
) -> tuple[np.ndarray, np.ndarray]:
    """Distances in pixels [F, P], infinite for a face that was missed, and the true points [F, P, 2], all known."""
    distances, true = [np.zeros((0, landmark_set.num_points))], [np.zeros((0, landmark_set.num_points, 2))]
    for annotation, found in zip(annotations, detections, strict=True):
        for box, points in zip(annotation.boxes, annotation.landmarks, strict=True):
            if not np.isfinite(points).all():
                continue
            at = choose(box, points, found)
            away = np.full(len(points), np.inf)
            if at is not None:
                _check_number(found.landmarks[at], points)
                away = np.linalg.norm(found.landmarks[at].astype(np.float64) - points, axis=1)
            distances.append(away[None])
            true.append(points[None])
    return np.concatenate(distances), np.concatenate(true)


def _check_number(found: np.ndarray, true: np.ndarray) -> None:
    if len(found) != len(true):
        raise ValueError(
            f"expected a detector of {len(true)} landmarks, as these faces have, got one of {len(found)}; give "
            "--landmarks, or take another detector"
        )


def _lengths(points: np.ndarray, landmark_set: landmark_sets.LandmarkSet, unit: str) -> np.ndarray:
    """How long the unit is in pixels for faces with these points [F, P, 2]: [F, 1]."""
    if unit == EYES and landmark_set.eyes:
        left, right = (points[:, list(eye)].mean(axis=1) for eye in landmark_set.eyes)
        return np.linalg.norm(right - left, axis=1, keepdims=True)
    return np.sqrt(np.prod(np.ptp(points, axis=1), axis=1))[:, None]


def choose(box: np.ndarray, points: np.ndarray, found: faces.Detections) -> int | None:
    """Which of the detections is this face; None where none is.

    Of those with landmarks whose box contains the middle of the face's points, the one with the largest IoU with the
    face's box.
    """
    middle = points.mean(axis=0)
    holds_mask = np.all((found.boxes[:, :2] <= middle) & (middle <= found.boxes[:, 2:]), axis=1)
    holds_mask &= np.isfinite(found.landmarks).all(axis=(1, 2))
    if not holds_mask.any():
        return None
    return int(np.argmax(np.where(holds_mask, boxes.iou(found.boxes, box[None])[:, 0], -1)))


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _cumulative(errors: np.ndarray, labels: tuple[str, str]) -> reports.Curve:
    """The fraction of faces with at most an error, up to twice what is a failure."""
    steps = np.linspace(0, 2 * MAX_ERROR, 201)
    fractions = [_mean(errors <= step) for step in steps]
    return reports.Curve(100 * steps, np.array(fractions), *labels)
