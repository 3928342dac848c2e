import numpy as np
import pytest

from data_prep import mining


def test_best_scores():
    wanted = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [90, 90, 99, 99]], np.float32)
    proposals = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 54], [0, 0, 9, 10]], np.float32)
    scores = np.array([0.3, 0.2, 0.9, 0.8], np.float32)
    np.testing.assert_allclose(mining.best_scores(proposals, scores, wanted), [0.8, 0, 0])
    assert mining.best_scores(np.zeros((0, 4)), np.zeros(0), wanted).tolist() == [0, 0, 0]


@pytest.mark.parametrize("recall", [0.5, 0.9, 0.955, 0.97, 1.0])
def test_threshold_is_the_highest_that_keeps_the_recall(recall):
    best = np.random.default_rng(0).uniform(0.1, 1, 1000)
    threshold = mining.threshold_for_recall(best, recall)
    assert np.mean(best >= threshold) >= recall
    assert np.mean(best >= threshold + 0.003) < recall


def test_a_recall_out_of_reach_gives_the_lowest_threshold():
    assert mining.threshold_for_recall(np.array([0.9, 0.0, 0.0, 0.0]), 0.97) == mining.LOWEST_THRESHOLD
