"""How far landmarks are from where people placed them, in units of the distance of the eyes.

The figures of Sun, Wang, Tang, "Deep Convolutional Network Cascade for Facial Point Detection", 2013, and of Zhang et
al. 2016, section III.C, except that the detector finds the faces itself. A face that it misses is a failure.
"""

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.evaluation import reports
from mtcnn_tf.geometry import boxes

MAX_ERROR = 0.1
"""An error above this fraction of the distance of the eyes is a failure."""


def report(annotations: list[faces.Annotation], detections: list[faces.Detections]) -> reports.Report:
    """Failures of all faces, missed ones among them, and errors of those found; faces without five points are left out.

    Errors are in percent of the distance of the eyes.
    """
    errors = find_errors(annotations, detections)  # [F, 5]
    found = errors[np.isfinite(errors).all(axis=1)]
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
    }
    for name, column in zip(faces.LANDMARK_NAMES, found.T, strict=True):
        title = f"found: mean error of {name.replace('_', ' ')}"
        figures[f"error_of_found_{name}"] = reports.Figure(100 * _mean(column), title, "%")
    labels = ("error, % of the distance of the eyes", "fraction of faces")
    return reports.Report(
        figures, {"all faces": _cumulative(overall, labels), "faces found": _cumulative(found.mean(axis=1), labels)}
    )


def find_errors(annotations: list[faces.Annotation], detections: list[faces.Detections]) -> np.ndarray:
    """Distance of each point, in units of the distance of the eyes, [F, 5]; infinite for a face that was missed.

    Faces with an unknown point are left out.
    """
    errors = [np.zeros((0, 5))]
    for annotation, found in zip(annotations, detections, strict=True):
        for box, points in zip(annotation.boxes, annotation.landmarks, strict=True):
            if not np.isfinite(points).all():
                continue
            at = choose(box, points, found)
            distances = np.full(5, np.inf)
            if at is not None:
                distances = np.linalg.norm(found.landmarks[at].astype(np.float64) - points, axis=1)
            errors.append(distances[None] / np.linalg.norm(points[1] - points[0]))
    return np.concatenate(errors)


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
