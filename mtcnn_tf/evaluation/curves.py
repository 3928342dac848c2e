"""Which detections are hits, and precision and recall as the score threshold falls."""

import dataclasses

import numpy as np

from mtcnn_tf import rankings

HIT, FALSE_POSITIVE, IGNORED = 1, 0, -1
"""What becomes of a detection."""

MIN_IOU = 0.5
"""From this intersection over union on, a detection has found a face: PASCAL VOC, WIDER FACE and FDDB agree on it."""


def match(iou: np.ndarray, ignored_mask: np.ndarray, min_iou: float = MIN_IOU) -> np.ndarray:
    """What becomes of each detection of an image, int [N] of HIT, FALSE_POSITIVE and IGNORED.

    Each detection takes a face as in `take`. One that takes none is ignored where it covers something to be ignored,
    and otherwise a false positive: a second detection of the same face is one.

    Args:
        iou: Of each detection, best score first, with each face, [N, M].
        ignored_mask: Faces that count neither as found nor as missed, bool [M].
        min_iou: The least that counts as covered.
    """
    covers_ignored_mask = np.any((iou >= min_iou) & ignored_mask, axis=1)
    outcomes = np.where(covers_ignored_mask, IGNORED, FALSE_POSITIVE)
    outcomes[take(np.where(ignored_mask, -1, iou), min_iou) >= 0] = HIT
    return outcomes


def take(iou: np.ndarray, min_iou: float = MIN_IOU) -> np.ndarray:
    """The face that each detection of an image takes, int [N]; -1 where it takes none.

    In the order of their scores, each detection takes the face it covers best of those that are still free.

    Args:
        iou: Of each detection, best score first, with each face, [N, M]; -1 where a face can't be taken.
        min_iou: The least that counts as covered.
    """
    taken = np.full(len(iou), -1)
    free = np.array(iou, float)
    for row in np.flatnonzero(free.max(axis=1, initial=-1) >= min_iou):
        best = np.argmax(free[row])
        if free[row, best] >= min_iou:
            taken[row] = best
            free[:, best] = -1
    return taken


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The detections of a whole run, of which those to be ignored are left out.

    Attributes:
        scores: Float [N], in any order.
        hits: What each adds to the hits above its score, [N]: 0 or 1, or in FDDB's protocol anything.
        num_faces: How many hits there could be.
        false_positives: What each adds to the false positives, [N]; by default 1 where it adds no hit.
    """

    scores: np.ndarray
    hits: np.ndarray
    num_faces: int
    false_positives: np.ndarray | None = None

    @classmethod
    def of(cls, scores: list[np.ndarray], outcomes: list[np.ndarray], num_faces: int) -> "Ranking":
        """The ranking of what `match` says of each image."""
        all_scores, all_outcomes = np.concatenate([[], *scores]), np.concatenate([[], *outcomes])
        counted = all_outcomes != IGNORED
        return cls(all_scores[counted], all_outcomes[counted] == HIT, num_faces)

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of false positives and of hits above each threshold, two arrays [T].

        There is one threshold for each different score, highest first, so that the order of images never matters.
        """
        gains = self.hits == 0 if self.false_positives is None else self.false_positives
        false_positives, hits = rankings.totals(self.scores, gains, self.hits)
        return false_positives, hits

    def recall(self) -> np.ndarray:
        """The fraction of the faces that is found above each threshold of `totals`, [T]; NaN where there is no face."""
        return _fraction(self.totals()[1], self.num_faces)

    def precision(self) -> np.ndarray:
        """The fraction of the detections above each threshold of `totals` that are hits, [T]."""
        false_positives, hits = self.totals()
        return hits / (false_positives + hits)

    def average_precision(self) -> float:
        """See `average_precision`; NaN where there is no face."""
        return average_precision(self.recall(), self.precision()) if self.num_faces else float("nan")

    def recall_at(self, num_false_positives: int) -> float:
        """The largest recall with at most so many false positives in the whole run; NaN where there is no face."""
        false_positives, hits = self.totals()
        return float(_fraction(hits[false_positives <= num_false_positives].max(initial=0), self.num_faces))


def average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """The area under the precision envelope, in 0–1.

    The area of PASCAL VOC since 2010 and of WIDER FACE: precision at a recall is the best at this or a higher recall.

    Args:
        recall: [T], not falling.
        precision: [T].
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _fraction(part: np.ndarray, whole: int) -> np.ndarray:
    return np.divide(part, whole) if whole else np.full(np.shape(part), np.nan)
