"""How many faces are among the N best proposals of an image: what the next stage of a cascade can still find."""

import itertools

import numpy as np

from mtcnn_tf import faces, rankings
from mtcnn_tf.evaluation import curves, reports
from mtcnn_tf.geometry import boxes

SIZES = (24, 32, 64, 128, np.inf)
"""Edges of the bands of face sizes, by the shorter side in pixels; smaller faces are left out."""
NUM_PROPOSALS = (40, 80, 100, 160, 300, 320, 1000, 3000)


def report(
    annotations: list[faces.Annotation], detections: list[faces.Detections], keep_recall: float | None = None
) -> reports.Report:
    """Recall at each of `NUM_PROPOSALS`, over all faces and band by band.

    Args:
        annotations: N images.
        detections: Their proposals.
        keep_recall: Reports, too, the highest score threshold with this recall, and how many proposals it leaves.
    """
    sizes, ranks, scores = find(annotations, detections)
    counted = sizes >= SIZES[0]
    sizes, ranks, scores = sizes[counted], ranks[counted], scores[counted]
    mean_num = float(np.mean([len(found) for found in detections]))
    figures, lines = (
        {
            "num_faces": reports.Figure(len(sizes), "faces"),
            "num_proposals": reports.Figure(mean_num, "proposals in an image, mean"),
            **_recalls(ranks),
        },
        {},
    )
    lines[f"faces ≥ {SIZES[0]} px"] = _curve(ranks)
    for low, high in itertools.pairwise(SIZES):
        band_mask = (sizes >= low) & (sizes < high)
        band, name = (f"{low}–{high} px", f"_{low}to{high}") if np.isfinite(high) else (f"≥ {low} px", f"_min{low}")
        figures[f"num_faces{name}"] = reports.Figure(int(band_mask.sum()), f"{band}: faces")
        figures |= _recalls(ranks[band_mask], name, f"{band}: ")
        lines[band] = _curve(ranks[band_mask])
    if keep_recall is not None:
        threshold = threshold_at(scores, keep_recall)
        num_left = [np.sum(found.scores >= threshold) for found in detections]
        mean_left = float("nan") if np.isnan(threshold) else float(np.mean(num_left))
        figures["score_that_keeps"] = reports.Figure(threshold, f"score that keeps {keep_recall:.1%}")
        figures["num_proposals_above"] = reports.Figure(mean_left, "proposals above it in an image, mean")
    return reports.Report(figures, lines)


def _recalls(ranks: np.ndarray, of: str = "", title: str = "") -> dict[str, reports.Figure]:
    """Recall at each of `NUM_PROPOSALS`; how their names end and their titles begin."""
    return {
        f"recall_at_{num}{of}": reports.Figure(_fraction(ranks <= num), f"{title}recall at {num}")
        for num in NUM_PROPOSALS
    }


def find(
    annotations: list[faces.Annotation], detections: list[faces.Detections]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each face of all images: its shorter side, rank (from 1) and score of the first proposal that covers it.

    Three float arrays [F]. One proposal may cover several faces. Where none covers it, a face has an infinite rank and
    a score of minus infinity.
    """
    sizes: list[np.ndarray] = [np.zeros(0)]
    ranks: list[np.ndarray] = [np.zeros(0)]
    scores: list[np.ndarray] = [np.zeros(0)]
    for annotation, found in zip(annotations, detections, strict=True):
        covers_mask = boxes.iou(annotation.boxes, found.boxes) >= curves.MIN_IOU  # [faces, proposals]
        is_found = covers_mask.any(axis=1)
        first = covers_mask.argmax(axis=1) if len(found) else np.zeros(len(annotation.boxes), int)
        sizes.append(np.min(annotation.boxes[:, 2:] - annotation.boxes[:, :2], axis=1))
        ranks.append(np.where(is_found, first + 1, np.inf))
        scores.append(np.where(is_found, np.append(found.scores, 0)[first], -np.inf))
    return np.concatenate(sizes), np.concatenate(ranks), np.concatenate(scores)


def threshold_at(scores: np.ndarray, recall: float) -> float:
    """The highest threshold that at least the fraction `recall` of the faces' `scores` [F] reaches, or NaN."""
    num_needed = int(np.ceil(recall * len(scores) - 1e-9))
    threshold = rankings.threshold_that_keeps(scores, num_needed)
    return threshold if np.isfinite(threshold) else float("nan")


def _fraction(mask: np.ndarray) -> float:
    return float(np.mean(mask)) if len(mask) else float("nan")


def _curve(ranks: np.ndarray) -> reports.Curve:
    nums = np.unique(np.append(ranks[np.isfinite(ranks)], [1, max(NUM_PROPOSALS)]))
    recall = [_fraction(ranks <= num) for num in nums]
    return reports.Curve(nums, np.array(recall), "proposals in an image", "recall", "log")
