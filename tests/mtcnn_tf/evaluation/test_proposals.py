import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.evaluation import proposals


def run(boxes, scores):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return faces.Detections(boxes, np.array(scores, np.float32), faces.no_landmarks(len(boxes)))


def square(x, side):
    return [x, 0, x + side, side]


def test_find_by_hand():
    annotations = [
        faces.Annotation("a", [square(0, 30), square(100, 40), square(300, 24)]),
        faces.Annotation("b", [[0, 0, 23, 50]]),
        faces.Annotation("c"),
    ]
    # The second proposal covers the first two... faces are told apart: 15 of 45 px shared is too little.
    runs = [run([square(200, 30), square(100, 40), square(5, 30), square(0, 30)], [0.9, 0.8, 0.6, 0.5]), run([], [])]
    sizes, ranks, scores = proposals.find(annotations, [*runs, run([square(0, 9)], [0.4])])
    np.testing.assert_array_equal(sizes, [30, 40, 24, 23])
    np.testing.assert_array_equal(ranks, [3, 2, np.inf, np.inf])
    np.testing.assert_allclose(scores, [0.6, 0.8, -np.inf, -np.inf], rtol=1e-6)


def test_one_proposal_may_cover_two_faces():
    _, ranks, _ = proposals.find([faces.Annotation("a", [square(0, 30), square(3, 30)])], [run([square(1, 30)], [1])])
    np.testing.assert_array_equal(ranks, [1, 1])


def test_report_by_hand():
    # A face each of 24, 50 and 200 px, covered by proposals 41, 100 and none; a smaller face is left out.
    annotation = faces.Annotation("a", [square(0, 24), square(1000, 50), square(2000, 200), square(3000, 20)])
    boxes = [square(5000 + 50 * i, 30) for i in range(120)]
    boxes[40], boxes[99] = square(0, 24), square(1000, 50)
    scores = np.linspace(0.9, 0.1, 120)
    report = proposals.report([annotation], [run(boxes, scores)], keep_recall=0.6)
    figures = report.figures
    assert figures["num_faces"] == 3 and figures["num_proposals"] == 120
    expected = {40: 0, 80: 1 / 3, 100: 2 / 3, 3000: 2 / 3}
    assert {num: figures[f"recall_at_{num}"] for num in expected} == pytest.approx(expected)
    assert figures["recall_at_80_24to32"] == 1 and figures["recall_at_80_32to64"] == 0
    assert figures["recall_at_100_32to64"] == 1 and figures["recall_at_3000_min128"] == 0
    assert figures["num_faces_64to128"] == 0 and np.isnan(figures["recall_at_40_64to128"])
    assert figures["score_that_keeps"] == pytest.approx(scores[99], rel=1e-6)
    assert figures["num_proposals_above"] == 100
    curve = report.curves["faces ≥ 24 px"]
    assert dict(zip(curve.x, curve.y, strict=True)) == pytest.approx({1: 0, 41: 1 / 3, 100: 2 / 3, 3000: 2 / 3})


@pytest.mark.parametrize(
    ("recall", "expected"), [(0.25, 0.9), (0.26, 0.7), (0.5, 0.7), (0.75, 0.2), (0.76, np.nan), (1, np.nan)]
)
def test_threshold_at(recall, expected):
    scores = np.array([0.2, 0.9, -np.inf, 0.7])
    threshold = proposals.threshold_at(scores, recall)
    np.testing.assert_equal(threshold, expected)
    assert np.isnan(threshold) or np.mean(scores >= threshold) >= recall


def test_nothing_to_find():
    figures = proposals.report([faces.Annotation("a")], [run([], [])], keep_recall=0.97).figures
    assert np.isnan(figures["recall_at_40"]) and np.isnan(figures["score_that_keeps"])
    assert np.isnan(proposals.threshold_at(np.zeros(0), 0.97))
