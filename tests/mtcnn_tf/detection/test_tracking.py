"""Identities of moving faces."""

import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.detection import tracking


def at(*corners, side=20):
    boxes = np.array([[x, y, x + side, y + side] for x, y in corners], np.float32).reshape(-1, 4)
    return faces.Detections(boxes, np.ones(len(boxes), np.float32), faces.no_landmarks(len(boxes)))


def test_faces_keep_their_identity_in_whatever_order_they_come():
    tracker = tracking.Tracker()
    assert tracker.update(at((0, 0), (50, 0), (100, 0))).tolist() == [1, 2, 3]
    for step in range(1, 30):  # the first goes down, the second up, the third stands still
        assert tracker.update(at((100, 0), (0, 4 * step), (50, -4 * step))).tolist() == [3, 1, 2]


def test_the_best_pairs_together_are_chosen():
    """Greedily 1 would take the box between, and 2 would be nobody's."""
    tracker = tracking.Tracker()
    tracker.update(at((0, 0), (10, 0)))
    assert tracker.update(at((-8, 0), (2, 0))).tolist() == [1, 2]


def test_a_face_may_be_missed_for_a_while():
    tracker = tracking.Tracker(max_missed=2)
    assert tracker.update(at((0, 0))).tolist() == [1]
    for _ in range(2):
        assert tracker.update(at()).tolist() == []
    assert tracker.update(at((1, 1), (60, 0))).tolist() == [1, 2]
    for _ in range(3):
        tracker.update(at((60, 0)))
    assert tracker.update(at((1, 1), (60, 0))).tolist() == [3, 2]


@pytest.mark.parametrize(("shift", "identity"), [(10, 1), (12, 2)])  # overlaps of 1/3 and 1/4
def test_who_overlaps_too_little_is_someone_else(shift, identity):
    tracker = tracking.Tracker()
    tracker.update(at((0, 0)))
    assert tracker.update(at((shift, 0))).tolist() == [identity]
