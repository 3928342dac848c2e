import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.evaluation import box_maps

HABIT = np.array([0.05, -0.1, 1.1, 1.3])


def detections_of(boxes):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    return faces.Detections(boxes, np.linspace(0.9, 0.5, len(boxes)), faces.no_landmarks(len(boxes)))


def some_boxes(rng, count=3):
    corners = rng.uniform(0, 40, (count, 2)) + 200 * np.arange(count)[:, None]
    return np.concatenate([corners, corners + rng.uniform(30, 90, (count, 2))], axis=1)


def test_a_habit_is_found_again_and_undone():
    rng = np.random.default_rng(0)
    found = [detections_of(some_boxes(rng)) for _ in range(6)]
    annotated = [box_maps.apply(HABIT, one).boxes for one in found]
    np.testing.assert_allclose(box_maps.fit(annotated, found), HABIT, atol=1e-5)
    mapped, maps = box_maps.apply_crosswise(annotated, found)
    np.testing.assert_allclose(maps, [HABIT, HABIT], atol=1e-5)
    for one, boxes in zip(mapped, annotated, strict=True):
        np.testing.assert_allclose(one.boxes, boxes, atol=1e-3)


def test_no_image_is_mapped_by_what_was_fitted_on_it():
    rng = np.random.default_rng(1)
    found = [detections_of(some_boxes(rng)) for _ in range(4)]
    annotated = [box_maps.apply(HABIT, found[i]).boxes if i % 2 else found[i].boxes for i in range(4)]
    _, (of_even, of_odd) = box_maps.apply_crosswise(annotated, found)
    np.testing.assert_allclose(of_even, HABIT, atol=1e-5)
    np.testing.assert_allclose(of_odd, box_maps.IDENTITY, atol=1e-5)


@pytest.mark.parametrize("far", [np.zeros((0, 4)), [[500, 500, 540, 540]]])
def test_nothing_that_fits_changes_nothing(far):
    annotated = [np.array([[0, 0, 30, 30.0]])] * 2
    mapped, maps = box_maps.apply_crosswise(annotated, [detections_of(far)] * 2)
    np.testing.assert_array_equal(maps, [box_maps.IDENTITY] * 2)
    np.testing.assert_allclose(mapped[0].boxes, np.reshape(far, (-1, 4)))


def test_the_best_score_that_covers_a_face_counts_and_others_do_not():
    face = np.array([[0, 0, 100, 100.0]])
    found = detections_of([[10, 0, 110, 100], [0, 0, 100, 100], [300, 0, 400, 100]])
    np.testing.assert_allclose(box_maps.fit([face], [found]), [-0.1, 0, 1, 1])
