import hypothesis
import numpy as np
from hypothesis import strategies

from mtcnn_tf import rankings

SCORES = strategies.lists(strategies.integers(0, 6), max_size=20).map(lambda values: np.array(values, float) / 6)


@hypothesis.given(SCORES, strategies.integers(0, 2**20))
def test_totals_are_sums_over_all_that_reach_each_score(scores, seed):
    gains = np.random.default_rng(seed).integers(0, 3, (2, len(scores)))
    found = rankings.totals(scores, *gains)
    thresholds = np.unique(scores)[::-1]
    for gain, totals in zip(gains, found, strict=True):
        assert totals.tolist() == [gain[scores >= threshold].sum() for threshold in thresholds]


@hypothesis.given(SCORES, strategies.integers(1, 25))
def test_the_highest_threshold_that_keeps_so_many(scores, count):
    threshold = rankings.threshold_that_keeps(scores, count)
    if count > len(scores):
        assert threshold == -np.inf
    else:
        assert threshold in scores and np.sum(scores >= threshold) >= count > np.sum(scores > threshold)
