import numpy as np
import pytest

from mtcnn_tf import faces, landmark_sets
from mtcnn_tf.evaluation import landmarks

POINTS = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)  # eyes 40 px apart
BOX = np.array([10, 10, 90, 110], np.float32)


def annotation(points=POINTS, box=BOX):
    return faces.Annotation("a", [box], [points], is_complete=False)


def found(*pairs):
    boxes, points = (np.array(values, np.float32) for values in zip(*pairs, strict=True))
    return faces.Detections(boxes, np.linspace(0.9, 0.5, len(boxes)).astype(np.float32), points)


NOTHING = faces.Detections(faces.no_boxes(), np.zeros(0, np.float32), faces.no_landmarks(0))


def test_errors_by_hand():
    moved = POINTS + [[4, 0], [0, 0], [0, -6], [3, 4], [0, 0]]  # of 40 px: 0.1, 0, 0.15, 0.125, 0
    errors = landmarks.find_errors([annotation(), annotation()], [found((BOX, moved)), NOTHING])
    np.testing.assert_allclose(errors, [[0.1, 0, 0.15, 0.125, 0], [np.inf] * 5], atol=1e-6)


def test_report_by_hand():
    annotations = [annotation()] * 4
    runs = [found((BOX, POINTS)), found((BOX, POINTS + [2, 0])), found((BOX, POINTS + [0, 8])), NOTHING]
    figures = landmarks.report(annotations, runs).figures
    assert (figures["num_faces"], figures["num_found"]) == (4, 3)
    assert figures["failure_rate"] == 1 / 2  # an error of 0.2, and the missed face
    assert figures["failure_rate_of_found"] == pytest.approx(1 / 3)
    assert figures["error_of_found"] == pytest.approx((0 + 5 + 20) / 3, rel=1e-5)
    assert figures["error_of_found_nose"] == pytest.approx((0 + 5 + 20) / 3, rel=1e-5)
    assert figures["auc"] == pytest.approx((1 + 0.5 + 0 + 0) / 4, rel=1e-5)


def test_curve_is_the_share_of_faces_up_to_an_error():
    curve = landmarks.report([annotation()] * 2, [found((BOX, POINTS + [2.22, 0])), NOTHING]).curves["all faces"]
    np.testing.assert_array_equal(curve.y, np.where(curve.x > 5.52, 0.5, 0))


def test_the_detection_that_covers_the_face_best_is_taken():
    wrong = POINTS + 30
    beside, wide, without = BOX + 85, BOX + [-40, -40, 40, 40], found((BOX, POINTS * np.nan))
    assert landmarks.choose(BOX, POINTS, found((beside, wrong), (wide, wrong), (BOX + 5, POINTS))) == 2
    assert landmarks.choose(BOX, POINTS, found((beside, wrong))) is None  # does not hold the face's middle
    assert landmarks.choose(BOX, POINTS, without) is None  # a detector that gives no landmarks
    assert landmarks.choose(BOX, POINTS, NOTHING) is None


def test_perfect_whatever_the_scale_and_other_faces():
    for scale in (0.5, 1, 7):
        run = found((BOX * scale + 500, POINTS), (BOX * scale, POINTS * scale))
        figures = landmarks.report([annotation(POINTS * scale, BOX * scale)], [run]).figures
        assert figures["error_of_found"] == 0
        assert figures["auc"] == 1


def test_other_points_are_measured_by_their_eyes_and_by_the_box_round_them():
    rectangle = np.float32([[30, 40], [70, 40], [30, 130], [70, 130]])  # 40 × 90: the square with its area has side 60
    moved = rectangle + np.float32([6, 0])
    eyes = landmark_sets.LandmarkSet(4, ((0, 1), (2, 3)), ((0,), (1,)))
    figures = landmarks.report([annotation(rectangle)], [found((BOX, moved))], eyes).figures
    assert figures["error_of_found"] == pytest.approx(15) and figures["error_of_found_by_size"] == pytest.approx(10)
    assert figures["failure_rate"] == 1 and "error_of_found_nose" not in figures
    without_eyes = landmark_sets.LandmarkSet(4, ((0, 1), (2, 3)))
    figures = landmarks.report([annotation(rectangle)], [found((BOX, moved - [3, 0]))], without_eyes).figures
    assert figures["error_of_found"] == figures["error_of_found_by_size"] == pytest.approx(5)
    assert figures["failure_rate"] == 0


def test_a_detector_of_other_points_is_refused():
    with pytest.raises(ValueError, match="expected a detector of 5 landmarks, as these faces have, got one of 3; give"):
        landmarks.report([annotation()], [found((BOX, POINTS[:3]))])


def test_faces_without_all_points_are_left_out():
    points = POINTS.copy()
    points[2] = np.nan
    report = landmarks.report([annotation(points)], [found((BOX, POINTS))])
    assert report.figures["num_faces"] == 0 and np.isnan(report.figures["error_of_found"])
