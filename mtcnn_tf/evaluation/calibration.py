"""Chooses the thresholds of a cascade, and what its scores mean, on annotated images that it was not trained with.

What counts are the faces that the whole cascade finds; a stage's own recall says little, for a face has many proposals.

1. How much the first stage counts in the final score is decided by the average precision at `LOWEST`, and then how
   much a face's size does.
2. The final logit is stretched and shifted so that a score is the chance that its box is a face's (`chances`).
3. All the faces that can be found are those that come out at `LOWEST`.
4. O-Net's threshold is the one with the best F1 score, the harmonic mean of precision and recall.
5. The first stage's threshold, on which most of the time depends, is then the highest that loses at most half of what
   may be lost, and R-Net's, beside it, the highest that loses at most the rest. Without R-Net, the first stage may
   lose all of it.

O-Net's suppression is greedy by score, so that its threshold may be raised afterwards: what goes never kept another
face away. Of the others every candidate is tried out.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import optimize, special

from mtcnn_tf import faces, stages
from mtcnn_tf.detection.final_scores import ScoreWeights
from mtcnn_tf.evaluation import curves, reports, wider_face

LOWEST = {"rpn": 0.05, "pnet": 0.2, "rnet": 0.1, "onet": 0.05}
"""Below these, proposals are countless and hardly one becomes a face. O-Net's is of scores not yet calibrated."""
_NEARLY = 2**-24
"""Scores this near to 0 or 1 are no other than 0 and 1 in float32."""
STEPS = 100
"""Thresholds are whole hundredths."""

FIRST_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Of the first stage's logit in the final one, of which O-Net's has the rest."""
SIZE_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4)
"""Added for each octave of size."""

Find = Callable[[tuple[float, ...], ScoreWeights], list[faces.Detections]]
"""Thresholds and what the final score is made of → what is found in each image."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Thresholds and what they cost.

    Attributes:
        thresholds: Scores to exceed after each network.
        score_weights: What the final score is made of.
        reports: Name of a setting → its figures, to lay side by side.
    """

    thresholds: tuple[float, ...]
    score_weights: ScoreWeights
    reports: dict[str, reports.Report]


def choose(
    find: Find, annotations: list[faces.Annotation], min_size: float, keep_recall: float, names: Sequence[str]
) -> Choice:
    """The thresholds for a cascade, and what its final score is made of.

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

    def rank(before: Sequence[float], weights: ScoreWeights) -> curves.Ranking:
        return wider_face.rank(annotations, find((*before, last_lowest), weights), min_size)

    by_weights = _tried_weights(functools.partial(rank, lowest))
    plain = _best(by_weights)
    if not by_weights[plain].hits.any():
        raise ValueError(
            f"expected a cascade that finds some of the {by_weights[plain].num_faces} faces of at least {min_size:g} "
            "pixels, got one that finds none; train it further or take other images"
        )
    scale, bias = chances(by_weights[plain])
    everything = _calibrated(by_weights[plain], scale, bias)
    last = best_threshold(everything)
    num_findable = _num_hits(everything, last)
    tried = {tuple(lowest): everything}

    def keeps_with(before: tuple[float, ...], after: tuple[float, ...], fraction: float, threshold: float) -> bool:
        these = (*before, threshold, *after)
        tried[these] = _calibrated(rank(these, plain), scale, bias)
        return _num_hits(tried[these], last) >= fraction * num_findable

    chosen: list[float] = []
    for i, start in enumerate(lowest):
        fraction = 1 - (1 - keep_recall) * (i + 1) / len(lowest)
        keeps_at = functools.partial(keeps_with, tuple(chosen), tuple(lowest[i + 1 :]), fraction)
        chosen.append(highest(keeps_at, start))
    return Choice(
        (*chosen, last),
        ScoreWeights(scale * plain.onet, scale * plain.first, scale * plain.size, bias),
        {
            "O-Net's logit alone": _report(by_weights[ScoreWeights()], names, (*lowest, last_lowest)),
            "lowest": _report(everything, names, (*lowest, float(_chance(last_lowest, scale, bias)))),
            "O-Net's chosen": _report(everything, names, (*lowest, last)),
            "all chosen": _report(tried[tuple(chosen)], names, (*chosen, last)),
        },
    )


def _tried_weights(rank: Callable[[ScoreWeights], curves.Ranking]) -> dict[ScoreWeights, curves.Ranking]:
    """What comes of each weight of the first stage, and then of each weight of the size beside the best of these."""
    tried = {weights: rank(weights) for weights in (ScoreWeights(1 - first, first) for first in FIRST_WEIGHTS)}
    with_sizes = [_best(tried)._replace(size=size) for size in SIZE_WEIGHTS]
    return tried | {weights: rank(weights) for weights in with_sizes if weights not in tried}


def _best(tried: dict[ScoreWeights, curves.Ranking]) -> ScoreWeights:
    return max(tried, key=lambda weights: tried[weights].average_precision())


def chances(ranking: curves.Ranking) -> tuple[float, float]:
    """By what logits are multiplied, and what is added then, to make scores the chances of hits.

    The logistic regression of hits on logits, with targets a little within 0 and 1 so that it is finite whatever there
    is to learn from (Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.2).

    Raises:
        ValueError: Hits have no higher scores than false positives.
    """
    logits, num_hits = _logits(ranking.scores), np.sum(ranking.hits)
    targets = np.where(ranking.hits, (num_hits + 1) / (num_hits + 2), 1 / (len(logits) - num_hits + 2))

    def loss(weights: np.ndarray) -> float:
        values = weights[0] * logits + weights[1]
        return float(np.mean(np.logaddexp(0, values) - targets * values))

    scale, bias = (float(weight) for weight in optimize.minimize(loss, [1.0, 0.0]).x)
    if scale <= 0:
        raise ValueError(
            "expected a cascade that gives faces higher scores than other boxes, got one whose scores say nothing; "
            "train it further or take other images"
        )
    return scale, bias


def _logits(scores: Any) -> np.ndarray:
    return special.logit(np.clip(scores, _NEARLY, 1 - _NEARLY))


def _chance(scores: Any, scale: float, bias: float) -> np.ndarray:
    return special.expit(scale * _logits(scores) + bias)


def _calibrated(ranking: curves.Ranking, scale: float, bias: float) -> curves.Ranking:
    return dataclasses.replace(ranking, scores=_chance(ranking.scores, scale, bias))


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
