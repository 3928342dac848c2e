"""Images searched in four rotations: what is found lies where it is."""

import numpy as np
import pytest
import skimage.data

import mtcnn_tf
from mtcnn_tf import faces
from mtcnn_tf.detection import rotations


def detections(boxes, scores, landmarks=None):
    landmarks = faces.no_landmarks(len(scores)) if landmarks is None else landmarks
    return faces.Detections(np.float32(boxes).reshape(-1, 4), np.float32(scores), np.float32(landmarks))


def test_boxes_and_points_are_turned_back():
    """A detector that sees, in each rotation, a bright rectangle and its five pixels of other values."""
    image = np.zeros((40, 70, 3), np.uint8)
    image[10:20, 30:36] = 100
    for value, (x, y) in enumerate([(31, 12), (34, 12), (32, 14), (31, 18), (34, 17)], 101):
        image[y, x] = value

    def look(turned):
        rows, columns = np.nonzero(turned[..., 0])
        points = [np.argwhere(turned[..., 0] == value)[0][::-1] + 0.5 for value in range(101, 106)]
        return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], points

    for num_turns in range(4):
        is_asked = iter(turn == num_turns for turn in range(4))

        def find(turned, is_asked=is_asked):
            box, points = look(turned)
            return detections(box, [0.5], [points]) if next(is_asked) else detections([], [])

        (found,) = rotations.search(find, image)
        assert found.box.tolist() == [30, 10, 36, 20] and found.score == 0.5
        wanted = [[31.5, 12.5], [34.5, 12.5], [32.5, 14.5], [31.5, 18.5], [34.5, 17.5]]
        np.testing.assert_allclose(found.landmarks, wanted)


def test_one_face_is_kept_once_with_its_best_score_and_neighbours_stay():
    scores = iter([(0.6, 0.9), (), (0.8,), ()])
    boxes = iter([[[0, 0, 10, 10], [30, 0, 40, 10]], [], [[90, 91, 101, 100]], []])  # of 100 × 100, upside down
    found = rotations.search(lambda _: detections(next(boxes), next(scores)), np.zeros((100, 100, 3), np.uint8))
    np.testing.assert_allclose(found.scores, [0.9, 0.8])
    assert found.boxes[1].tolist() == [-1, 0, 10, 9]
    nothing = rotations.search(lambda _: detections([], []), np.zeros((9, 9, 3), np.uint8))
    assert nothing.boxes.shape == (0, 4) and nothing.landmarks.shape == (0, 5, 2)


@pytest.mark.slow
def test_a_face_is_found_however_the_image_is_turned_and_is_aligned_upright():
    find, image = mtcnn_tf.load(), skimage.data.astronaut()[:300, 50:350]
    (upright,) = find(image, min_face_size=60).with_score(0.9)
    aligned = mtcnn_tf.align(image, find(image, min_face_size=60).largest())[0].astype(int)
    for num_turns in range(4):
        turned = np.ascontiguousarray(np.rot90(image, num_turns))
        found = find(turned, min_face_size=60, try_rotations=True, max_faces=1)
        assert found.scores[0] == pytest.approx(upright.score, abs=1e-3)
        assert np.abs(mtcnn_tf.align(turned, found)[0] - aligned).mean() < 2
    assert len(find(turned, min_face_size=60).with_score(0.9)) == 0, "without rotations it is not found"
