import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcnn_tf.evaluation import curves

HIT, FALSE_POSITIVE, IGNORED = curves.HIT, curves.FALSE_POSITIVE, curves.IGNORED


@pytest.mark.parametrize(
    ("iou", "ignored", "expected"),
    [
        ([[0.9], [0.8]], [0], [HIT, FALSE_POSITIVE]),  # the second detection of a face
        ([[0.5], [0.49]], [0], [HIT, FALSE_POSITIVE]),
        ([[0.9], [0.5]], [1], [IGNORED, IGNORED]),  # an ignored region takes any number
        ([[0.6, 0.9], [0.7, 0.8]], [0, 0], [HIT, HIT]),  # the first takes the face it covers best
        ([[0.6, 0.9], [0.1, 0.8]], [0, 0], [HIT, FALSE_POSITIVE]),
        ([[0.6, 0.9]], [0, 1], [HIT]),  # a face goes before a region to ignore
        ([[0.9, 0.6], [0.8, 0.6]], [0, 1], [HIT, IGNORED]),
        ([[], []], [], [FALSE_POSITIVE, FALSE_POSITIVE]),
        (np.zeros((0, 2)), [0, 0], []),
    ],
)
def test_match(iou, ignored, expected):
    iou = np.reshape(np.array(iou, np.float32), (-1, len(ignored))) if len(ignored) else np.zeros((2, 0))
    np.testing.assert_array_equal(curves.match(iou, np.array(ignored, bool)), expected)


def test_ranking_by_hand():
    # Best first: hit, false positive, ignored, hit; then two more with one score; 4 faces, of which one is never found.
    scores = [np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.5, 0.5])]
    outcomes = [np.array([HIT, FALSE_POSITIVE, IGNORED, HIT]), np.array([FALSE_POSITIVE, HIT])]
    ranking = curves.Ranking.of(scores, outcomes, num_faces=4)
    np.testing.assert_array_equal(ranking.totals(), [[0, 1, 1, 2], [1, 1, 2, 3]])
    np.testing.assert_allclose(ranking.recall(), [1 / 4, 1 / 4, 2 / 4, 3 / 4])
    np.testing.assert_allclose(ranking.precision(), [1, 1 / 2, 2 / 3, 3 / 5])
    assert ranking.average_precision() == pytest.approx(1 / 4 * (1 + 2 / 3 + 3 / 5))
    assert [ranking.recall_at(num) for num in (0, 1, 2, 100)] == [1 / 4, 2 / 4, 3 / 4, 3 / 4]


def test_nothing_found_and_nothing_to_find():
    nothing = curves.Ranking.of([np.zeros(0)], [np.zeros(0)], num_faces=3)
    assert nothing.average_precision() == 0 and nothing.recall_at(10) == 0
    no_faces = curves.Ranking.of([np.ones(2)], [np.zeros(2)], num_faces=0)
    assert np.isnan(no_faces.average_precision()) and np.isnan(no_faces.recall_at(10))


def test_recall_at_takes_the_best_where_false_positives_go_down_again():
    ranking = curves.Ranking(np.array([3, 2, 1]), np.array([1, -1, 2]), 2, np.array([0, 2, -1]))
    assert [ranking.recall_at(num) for num in (0, 1, 2)] == [0.5, 1, 1]


def slow_average_precision(scores, hits, num_faces):
    """VOC's definition, point by point: the mean over the faces of the best precision at a recall that includes it."""
    points = []
    for threshold in set(scores):
        above = [hit for score, hit in zip(scores, hits, strict=True) if score >= threshold]
        points.append((sum(above), sum(above) / len(above)))
    wanted = range(1, num_faces + 1)
    return sum(max((p for found, p in points if found >= k), default=0) for k in wanted) / num_faces


runs_of_detections = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40)


@given(runs_of_detections, st.integers(0, 5), st.randoms())
def test_average_precision_and_its_invariances(detections, num_missed, random):
    scores, hits = np.array(detections, float).T
    num_faces = max(1, int(hits.sum()) + num_missed)
    expected = slow_average_precision(scores, hits, num_faces)
    order = list(range(len(scores)))
    random.shuffle(order)
    for some_scores, some_hits in (
        (scores, hits),
        (scores[order], hits[order]),
        (np.exp(scores / 3) - 5, hits),
    ):
        ranking = curves.Ranking(some_scores, some_hits, num_faces)
        assert ranking.average_precision() == pytest.approx(expected)
        assert ranking.recall_at(3) == curves.Ranking(scores, hits, num_faces).recall_at(3)


def test_perfect():
    ranking = curves.Ranking(np.linspace(0, 1, 7), np.ones(7), 7)
    assert ranking.average_precision() == pytest.approx(1) and ranking.recall_at(0) == 1
