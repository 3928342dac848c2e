"""The figures against the geometry in NumPy, against brute force, and on cases that one can work out by hand."""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtcnn_tf import landmark_sets
from mtcnn_tf.geometry import boxes
from mtcnn_tf.models import metrics

score_lists = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1, max_size=30)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(hnp.arrays(np.float32, (2, 5, 4), elements=st.floats(-0.5, 0.5, width=32)))
def test_box_ious_are_those_of_the_decoded_boxes(offsets):
    box = np.array([[10, 20, 50, 60]], np.float32)
    decoded = [boxes.decode(np.repeat(box, 5, axis=0), x) for x in offsets]
    expected = np.diag(boxes.iou(*decoded))
    np.testing.assert_allclose(metrics.box_ious(*offsets).numpy(), expected, atol=1e-3)


def test_landmark_error_is_in_percent_of_the_distance_between_the_eyes():
    true = np.array([[0.2, 0.3, 0.7, 0.3, 0.5, 0.5, 0.3, 0.8, 0.7, 0.8]], np.float32)
    shifted = true + np.tile(np.array([0.03, 0.04], np.float32), 5)  # 0.05 away, the eyes are 0.5 apart
    assert metrics.landmark_errors(shifted, true).numpy() == pytest.approx(10.0, rel=1e-4)


def test_landmark_error_of_other_points_is_measured_by_their_eyes_or_by_the_square():
    eyes = landmark_sets.LandmarkSet(4, ((0, 1), (2, 3)), ((0, 2), (1, 3)))  # the middle of two points each
    true = np.array([[0.2, 0.2, 0.7, 0.2, 0.2, 0.4, 0.7, 0.4]], np.float32)
    shifted = true + np.tile(np.array([0.03, 0.04], np.float32), 4)
    assert metrics.landmark_errors(shifted, true, eyes).numpy() == pytest.approx(10.0, rel=1e-4)
    assert metrics.landmark_errors(shifted, true, dataclasses.replace(eyes, eyes=None)).numpy() == pytest.approx(5.0)


def test_landmark_error_of_a_profile_stays_finite():
    true = np.full((1, 10), 0.5, np.float32)
    assert np.isfinite(metrics.landmark_errors(true + 0.01, true).numpy()).all()


def test_masked_means_is_the_mean_over_all_rows_that_counted():
    means = metrics.MaskedMeans(("a", "b", "never"))
    nothing = (np.zeros(3, np.float32), np.zeros(3, bool))
    for seed in range(2):
        a = np.arange(3, dtype=np.float32) + 10 * seed
        means.update_state(
            metrics.sum_rows({"a": (a, np.ones(3, bool)), "b": (a, a == 11), "never": (a * np.nan, nothing[1])})
        )
    assert {name: float(x) for name, x in means.result().items()} == {"a": 6.0, "b": 11.0, "never": 0.0}
    assert means.known() == {"a": 6.0, "b": 11.0}
    means.reset_state()
    assert means.known() == {}


@hypothesis.given(score_lists)
def test_face_figures_are_those_of_brute_force(rows):
    scores = np.array([score for score, _ in rows], np.float32)
    is_face = np.array([face for _, face in rows])
    figures = metrics.face_figures(scores, is_face)
    if is_face.all() or not is_face.any():
        assert figures == {}
        return
    pairs = [(a > b) + (a == b) / 2 for a in scores[is_face] for b in scores[~is_face]]
    assert figures["auc"] == pytest.approx(np.mean(pairs))
    recalls = [0.0]
    for threshold in scores:
        called = scores >= threshold
        if is_face[called].mean() >= metrics.FIXED_PRECISION:
            recalls.append((called & is_face).sum() / is_face.sum())
    assert figures["recall_at_precision"] == pytest.approx(max(recalls))


def test_precision_and_recall_take_rows_of_one_score_together():
    precision, recall = metrics.precision_and_recall(
        np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    )
    np.testing.assert_allclose(precision, [1, 2 / 3, 1 / 2])
    np.testing.assert_allclose(recall, [1 / 2, 1, 1])
