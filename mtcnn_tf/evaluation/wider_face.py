"""WIDER FACE's validation protocol, and average precision for faces from a size on.

The first repeats the authors' toolbox (eval_tools: norm_score, evaluation, image_evaluation, dataset_pr_info, VOCap) to
the number. It counts pixels as Matlab does: a box from x1 to x2 is taken to be x2 − x1 + 1 wide.
"""

import dataclasses
import os
import pickle
import subprocess
import sys

import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.evaluation import curves, reports
from mtcnn_tf.geometry import boxes

SETTINGS = ("easy", "medium", "hard")
NUM_THRESHOLDS = 1000
MIN_SIZES = (20, 40, 0)
"""Shorter sides, in pixels, from which on faces count in the plain figures; 0 is all of them."""
NUM_FALSE_POSITIVES = (10, 50, 100)
_MATRICES = ("event_list", "file_list", "face_bbx_list", "gt_list")
_LOAD_MATRICES = """
import pickle, sys, scipy.io
pickle.dump(scipy.io.loadmat(sys.argv[1], variable_names=sys.argv[2:]), sys.stdout.buffer)
"""


@dataclasses.dataclass(frozen=True)
class Listed:
    """An image in one of the official lists.

    Attributes:
        boxes: All its faces, float64 [N, 4], xyxy.
        counted_mask: Those that belong to the setting, bool [N]; the others are ignored.
    """

    boxes: np.ndarray
    counted_mask: np.ndarray


def report(
    annotations: list[faces.Annotation],
    detections: list[faces.Detections],
    official: dict[str, dict[str, Listed]] | None = None,
) -> reports.Report:
    """The plain figures, and the official ones for the settings in `official` (see `read_official`)."""
    figures, lines = {}, {}
    for setting, listed in (official or {}).items():
        precision, recall = official_curve(listed, by_name(annotations, detections))
        ap = curves.average_precision(recall, precision)
        figures[f"official_ap_{setting}"] = reports.Figure(ap, f"official AP, {setting}")
        lines[f"official, {setting}"] = reports.Curve(recall, precision, "recall", "precision")
    for min_size in MIN_SIZES:
        ranking = rank(annotations, detections, min_size)
        which, of = (f"faces ≥ {min_size} px", f"_min{min_size}") if min_size else ("all faces", "")
        figures[f"num_faces{of}"] = reports.Figure(ranking.num_faces, f"{which}: number")
        figures[f"ap{of}"] = reports.Figure(ranking.average_precision(), f"{which}: AP")
        for num in NUM_FALSE_POSITIVES:
            title = f"{which}: recall at {num} false positives"
            figures[f"recall_at_fp_{num}{of}"] = reports.Figure(ranking.recall_at(num), title)
        lines[which] = reports.Curve(ranking.recall(), ranking.precision(), "recall", "precision")
    return reports.Report(figures, lines)


def rank(
    annotations: list[faces.Annotation], detections: list[faces.Detections], min_size: float = 0
) -> curves.Ranking:
    """Hits and false positives at an IoU of 0.5.

    Regions that the annotation ignores and faces whose shorter side is below `min_size` count neither way.
    """
    scores, outcomes, num_faces = [], [], 0
    for annotation, found in zip(annotations, detections, strict=True):
        sizes = np.min(annotation.boxes[:, 2:] - annotation.boxes[:, :2], axis=1)
        is_small = sizes < min_size
        num_faces += int(np.sum(~is_small))
        ignored_mask = np.concatenate([is_small, np.ones(len(annotation.ignored), bool)])
        iou = boxes.iou(found.boxes, np.concatenate([annotation.boxes, annotation.ignored]))
        outcomes.append(curves.match(iou, ignored_mask))
        scores.append(found.scores)
    return curves.Ranking.of(scores, outcomes, num_faces)


def by_name(annotations: list[faces.Annotation], detections: list[faces.Detections]) -> dict[str, faces.Detections]:
    """The detections by the name of their image in the official lists: `event/image` without its ending."""
    paths = ["/".join(annotation.image_path.split(os.sep)[-2:]) for annotation in annotations]
    return dict(zip([os.path.splitext(path)[0] for path in paths], detections, strict=True))


def read_official(directory: str) -> dict[str, dict[str, Listed]]:
    """Setting → image's name, as in `by_name` → what the official list says of it.

    Args:
        directory: The data set's, with `wider_face_split` in it.

    Raises:
        FileNotFoundError: A list is missing.
        ValueError: A list is not as WIDER FACE publishes it.
    """
    paths = {s: os.path.join(directory, "wider_face_split", f"wider_{s}_val.mat") for s in SETTINGS}
    for path in paths.values():
        if not files.is_file(path):
            raise FileNotFoundError(f"WIDER FACE's protocol needs its list at {path!r}, found no file; add it")
    return {setting: _read_list(path) for setting, path in paths.items()}


def _read_list(path: str) -> dict[str, Listed]:
    try:
        with files.local(path) as copy:
            return _parse(_load_matrices(copy))
    except Exception as error:  # a damaged list may raise anything
        raise ValueError(f"expected WIDER FACE's list of validation faces in {path!r}, got another file") from error


def _load_matrices(path: str) -> dict[str, np.ndarray]:
    """The `_MATRICES` by name. SciPy's reader ends its process on some damaged files: it gets one of its own."""
    command = [sys.executable, "-c", _LOAD_MATRICES, path, *_MATRICES]
    return pickle.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def _parse(matrices: dict[str, np.ndarray]) -> dict[str, Listed]:
    """What an official list says of each image."""
    events = zip(*(matrices[name][:, 0] for name in _MATRICES), strict=True)
    listed = {}
    for event, names, all_boxes, all_counted in events:
        for name, sides, counted in zip(names[:, 0], all_boxes[:, 0], all_counted[:, 0], strict=True):
            sides = sides.reshape(-1, 4).astype(np.float64)
            counted_mask = np.zeros(len(sides), bool)
            counted_mask[counted.reshape(-1).astype(int) - 1] = True  # Matlab counts from 1
            corners = np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)
            listed[f"{event[0]}/{name[0]}"] = Listed(corners, counted_mask)
    return listed


def official_curve(listed: dict[str, Listed], detections: dict[str, faces.Detections]) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall [NUM_THRESHOLDS], on the images that both lists and detections have.

    Scores are stretched so that the lowest of the run is 0 and the highest 1, and cut at 0.999, 0.998, … 0. Precision
    is 0 as long as nothing is above the threshold.
    """
    names = [name for name in listed if name in detections]
    num_faces = sum(int(listed[name].counted_mask.sum()) for name in names)
    scores = np.concatenate([[], *(detections[name].scores for name in names)])
    lowest, spread = (scores.min(), np.ptp(scores)) if len(scores) else (0.0, 0.0)
    thresholds = 1 - np.arange(1, NUM_THRESHOLDS + 1) / NUM_THRESHOLDS
    num_hits, num_counted = np.zeros(NUM_THRESHOLDS), np.zeros(NUM_THRESHOLDS)
    for name in names:
        found, image = detections[name], listed[name]
        if not len(found) or not len(image.boxes):
            continue  # the toolbox passes over an image without faces, false positives and all
        normalised = (found.scores.astype(np.float64) - lowest) / (spread or 1.0)
        num_above = np.searchsorted(-normalised, -thresholds, side="right")
        hits, counted = _official_match(found.boxes, image)
        num_hits += np.append(0, hits)[num_above]
        num_counted += np.append(0, counted)[num_above]
    precision = np.divide(num_hits, num_counted, out=np.zeros(NUM_THRESHOLDS), where=num_counted > 0)
    return precision, num_hits / num_faces if num_faces else np.full(NUM_THRESHOLDS, np.nan)


def _official_match(found: np.ndarray, image: Listed) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of faces found, and of detections that count, among the 1, 2, … N best of an image: two arrays [N].

    Unlike in `curves.match`, a detection belongs to the face it covers best, whether that is free, taken or ignored.
    """
    pixel = np.array([0, 0, 1, 1])
    iou = boxes.iou(found.astype(np.float64) + pixel, image.boxes + pixel)
    best = np.argmax(iou, axis=1)
    covers_mask = iou[np.arange(len(iou)), best] >= curves.MIN_IOU
    is_counted = ~covers_mask | image.counted_mask[best]
    candidates = np.flatnonzero(covers_mask & image.counted_mask[best])
    first = candidates[np.unique(best[candidates], return_index=True)[1]]  # the best detection of each face
    is_hit = np.zeros(len(found), bool)
    is_hit[first] = True
    return np.cumsum(is_hit), np.cumsum(is_counted)
