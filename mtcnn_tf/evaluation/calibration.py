"""Chooses the thresholds of a cascade on annotated images that it was not trained with.

What counts are the faces that the whole cascade finds; a stage's own recall says little, for a face has many proposals.

1. How much the first stage counts in the final score is decided by the average precision at `LOWEST`.
2. All the faces that can be found are those that come out at `LOWEST`.
3. O-Net's threshold is the one with the best F1 score, the harmonic mean of precision and recall.
4. The first stage's threshold, on which most of the time depends, is then the highest that loses at most half of what
   may be lost, and R-Net's, beside it, the highest that loses at most the rest. Without R-Net, the first stage may
   lose all of it.

O-Net's suppression is greedy by score, so that its threshold may be raised afterwards: what goes never kept another
face away. Of the others every candidate is tried out.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from mtcnn_tf import faces, stages
from mtcnn_tf.evaluation import curves, reports, wider_face

LOWEST = {"rpn": 0.05, "pnet": 0.2, "rnet": 0.1, "onet": 0.05}
"""Below these, proposals are countless and hardly one becomes a face."""
STEPS = 100
"""Thresholds are whole hundredths."""

FIRST_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Of the first stage's logit in the final one; see `cascade.Cascade`."""

Find = Callable[[tuple[float, ...], float], list[faces.Detections]]
"""Thresholds and the weight of the first stage → what is found in each image."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Thresholds and what they cost.

    Attributes:
        thresholds: Scores to exceed after each network.
        first_weight: How much the first stage counts in the final score, one of `FIRST_WEIGHTS`.
        reports: Name of a setting → its figures, to lay side by side.
    """

    thresholds: tuple[float, ...]
    first_weight: float
    reports: dict[str, reports.Report]


def choose(
    find: Find, annotations: list[faces.Annotation], min_size: float, keep_recall: float, names: Sequence[str]
) -> Choice:
    """The thresholds for a cascade, and the weight of its first stage.

    Args:
        find: The cascade on the images.
        annotations: What is in them.
        min_size: Faces with a shorter side in pixels count neither way.
        keep_recall: The fraction of the faces found at `LOWEST`, and at O-Net's threshold, that must still be found.
        names: The stages of the cascade, in order; the last is O-Net.

    Raises:
        ValueError: The cascade finds none of the faces.
    """
    *lowest, last_lowest = (LOWEST[name] for name in names)
    rankings = {
        weight: wider_face.rank(annotations, find((*lowest, last_lowest), weight), min_size) for weight in FIRST_WEIGHTS
    }
    first_weight = max(rankings, key=lambda weight: rankings[weight].average_precision())
    everything = rankings[first_weight]
    last = best_threshold(everything)
    num_findable = _num_hits(everything, last)
    if not num_findable:
        raise ValueError(
            f"expected a cascade that finds some of the {everything.num_faces} faces of at least {min_size:g} pixels, "
            "got one that finds none; train it further or take other images"
        )
    tried = {tuple(lowest): everything}

    def keeps_with(before: tuple[float, ...], after: tuple[float, ...], fraction: float, threshold: float) -> bool:
        these = (*before, threshold, *after)
        tried[these] = wider_face.rank(annotations, find((*these, last_lowest), first_weight), min_size)
        return _num_hits(tried[these], last) >= fraction * num_findable

    chosen: list[float] = []
    for i, start in enumerate(lowest):
        fraction = 1 - (1 - keep_recall) * (i + 1) / len(lowest)
        keeps_at = functools.partial(keeps_with, tuple(chosen), tuple(lowest[i + 1 :]), fraction)
        chosen.append(highest(keeps_at, start))
    return Choice(
        (*chosen, last),
        first_weight,
        {
            "O-Net alone": _report(rankings[0.0], names, (*lowest, last_lowest)),
            "lowest": _report(everything, names, (*lowest, last_lowest)),
            "O-Net's chosen": _report(everything, names, (*lowest, last)),
            "all chosen": _report(tried[tuple(chosen)], names, (*chosen, last)),
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


def _report(ranking: curves.Ranking, names: Sequence[str], thresholds: tuple[float, ...]) -> reports.Report:
    """What is found at the thresholds, of a ranking that holds everything above those before the last."""
    above_mask = ranking.scores > thresholds[-1]
    above = curves.Ranking(ranking.scores[above_mask], ranking.hits[above_mask], ranking.num_faces)
    num_hits, num_above = int(above.hits.sum()), len(above.hits)
    figures = {
        f"threshold_{name}": reports.Figure(value, f"threshold of {stages.BY_NAME[name].title}")
        for name, value in zip(names, thresholds, strict=True)
    }
    figures |= {
        "num_faces": reports.Figure(above.num_faces, "faces"),
        "num_found": reports.Figure(num_hits, "faces found"),
        "num_fp": reports.Figure(num_above - num_hits, "false positives"),
        "recall": reports.Figure(num_hits / max(above.num_faces, 1), "recall"),
        "precision": reports.Figure(num_hits / max(num_above, 1), "precision"),
        "ap": reports.Figure(above.average_precision(), "AP"),
        "ap_without_last": reports.Figure(ranking.average_precision(), "AP without O-Net's threshold"),
    }
    return reports.Report(figures)
