"""Chooses the three thresholds of a cascade on annotated pictures that it was not trained with.

What counts are the faces that the whole cascade finds; a stage's own recall says little, for a face has many proposals.

1. All the faces that can be found are those that come out at `LOWEST`.
2. O-Net's threshold is the one with the best F1 score, the harmonic mean of precision and recall.
3. P-Net's threshold, on which most of the time depends, is then the highest that loses at most half of what may be
   lost, and R-Net's, beside it, the highest that loses at most the rest.

O-Net's suppression is greedy by score, so that its threshold may be raised afterwards: what goes never kept another
face away. Of the two others every candidate is tried out.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.evaluation import curves, reports, wider_face

LOWEST = (0.2, 0.1, 0.05)
"""Below these, proposals are countless and hardly one becomes a face."""
STEPS = 100
"""Thresholds are whole hundredths."""
_TITLES = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}

Find = Callable[[tuple[float, float, float]], list[faces.Detections]]
"""Thresholds → what is found in each picture."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Thresholds and what they cost.

    Attributes:
        thresholds: Scores to exceed after P-Net, R-Net and O-Net.
        reports: Name of a setting → its figures, to lay side by side.
    """

    thresholds: tuple[float, float, float]
    reports: dict[str, reports.Report]


def choose(find: Find, annotations: list[faces.Annotation], min_size: float, keep_recall: float) -> Choice:
    """The thresholds for a cascade.

    Args:
        find: The cascade on the pictures.
        annotations: What is in them.
        min_size: Faces with a shorter side in pixels count neither way.
        keep_recall: The share of the faces found at `LOWEST`, and at O-Net's threshold, that must still be found.

    Raises:
        ValueError: The cascade finds none of the faces.
    """
    everything = wider_face.rank(annotations, find(LOWEST), min_size)
    onet = best_threshold(everything)
    num_findable = _num_hits(everything, onet)
    if not num_findable:
        raise ValueError(
            f"expected a cascade that finds some of the {everything.num_faces} faces of at least {min_size:g} pixels, "
            "got one that finds none; train it further or take other pictures"
        )
    tried = {LOWEST[:2]: everything}

    def keeps(pnet: float, rnet: float, share: float) -> bool:
        tried[pnet, rnet] = wider_face.rank(annotations, find((pnet, rnet, LOWEST[2])), min_size)
        return _num_hits(tried[pnet, rnet], onet) >= share * num_findable

    pnet = highest(lambda threshold: keeps(threshold, LOWEST[1], (1 + keep_recall) / 2), LOWEST[0])
    rnet = highest(lambda threshold: keeps(pnet, threshold, keep_recall), LOWEST[1])
    return Choice(
        (pnet, rnet, onet),
        {
            "lowest": _report(everything, LOWEST),
            "O-Net's chosen": _report(everything, (*LOWEST[:2], onet)),
            "all chosen": _report(tried[pnet, rnet], (pnet, rnet, onet)),
        },
    )


def best_threshold(ranking: curves.Ranking) -> float:
    """The threshold with the best F1 score, the lowest of them where there are several."""
    thresholds = np.arange(STEPS) / STEPS
    num_above = np.array([np.sum(ranking.scores > threshold) for threshold in thresholds])
    num_hits = np.array([_num_hits(ranking, threshold) for threshold in thresholds])
    return float(thresholds[np.argmax(2 * num_hits / np.maximum(num_above + ranking.num_faces, 1))])


def highest(is_fine: Callable[[float], bool], lowest: float) -> float:
    """The highest threshold that is fine, if all below one that is are; `lowest` is taken to be."""
    low, high = round(lowest * STEPS), STEPS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_fine(middle / STEPS) else (low, middle)
    return low / STEPS


def _num_hits(ranking: curves.Ranking, threshold: float) -> int:
    return int(np.sum(ranking.hits[ranking.scores > threshold]))


def _report(ranking: curves.Ranking, thresholds: tuple[float, float, float]) -> reports.Report:
    """What is found at the thresholds, of a ranking that holds everything above those of P-Net and R-Net."""
    above_mask = ranking.scores > thresholds[2]
    above = curves.Ranking(ranking.scores[above_mask], ranking.hits[above_mask], ranking.num_faces)
    num_hits, num_above = int(above.hits.sum()), len(above.hits)
    figures = {
        f"threshold_{name}": reports.Figure(value, f"threshold of {title}")
        for (name, title), value in zip(_TITLES.items(), thresholds, strict=True)
    }
    figures |= {
        "num_faces": reports.Figure(above.num_faces, "faces"),
        "num_found": reports.Figure(num_hits, "faces found"),
        "num_fp": reports.Figure(num_above - num_hits, "false alarms"),
        "recall": reports.Figure(num_hits / max(above.num_faces, 1), "recall"),
        "precision": reports.Figure(num_hits / max(num_above, 1), "precision"),
        "ap": reports.Figure(above.average_precision(), "AP"),
        "ap_without_last": reports.Figure(ranking.average_precision(), "AP without O-Net's threshold"),
    }
    return reports.Report(figures)
