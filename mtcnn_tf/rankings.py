"""What lies above a threshold as it falls, where equal scores come together."""

import numpy as np


def totals(scores: np.ndarray, *gains: np.ndarray) -> list[np.ndarray]:
    """Sums of `gains` above each threshold, as many arrays [T].

    There is one threshold for each different score, highest first, so that the order of rows never matters.

    Args:
        scores: [N], in any order.
        gains: What each row adds, [N] each.
    """
    order = np.argsort(-scores, kind="stable")
    last_mask = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    return [np.cumsum(gain[order])[last_mask] for gain in gains]


def threshold_that_keeps(scores: np.ndarray, count: int) -> float:
    """The highest threshold that at least `count` of the scores [N] reach; minus infinity where there are fewer."""
    return float(np.sort(scores)[::-1][count - 1]) if 0 < count <= len(scores) else -np.inf
