"""What `Detections` knows of itself."""

import json

import numpy as np
import pytest

from mtcnn_tf import faces


@pytest.fixture
def found():
    """Three faces: the best, the largest, the one in the middle of 100 × 80 pixels."""
    boxes = np.array([[0, 0, 10, 10], [60, 0, 100, 50], [40, 30, 58, 52]], np.float32)
    return faces.Detections(
        boxes, np.array([0.9, 0.8, 0.7], np.float32), np.arange(30, dtype=np.float32).reshape(3, 5, 2) / 7
    )


def nothing():
    return faces.Detections(faces.no_boxes(), np.zeros(0, np.float32), faces.no_landmarks(0))


def assert_same(some, others):
    assert isinstance(some, faces.Detections)
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_array_equal(getattr(some, name), getattr(others, name), strict=True)


def test_iteration_gives_each_face(found):
    every = list(found)
    assert len(every) == len(found) == 3
    for i, face in enumerate(every):
        assert isinstance(face, faces.Face) and isinstance(face.score, float)
        np.testing.assert_array_equal(face.box, found.boxes[i])
        np.testing.assert_array_equal(face.landmarks, found.landmarks[i])
        assert face.score == found.scores[i]
    assert list(nothing()) == [] and not nothing()
    assert found[-1].score == every[-1].score
    with pytest.raises(IndexError):
        found[3]


def test_slices_masks_and_indices_give_detections(found):
    for index in (slice(1, None), np.array([False, True, True]), np.array([1, 2]), [1, 2]):
        assert_same(found[index], faces.Detections(found.boxes[1:], found.scores[1:], found.landmarks[1:]))


def test_choices(found):
    assert_same(found.largest(), found[1:2])
    assert_same(found.most_central(100, 80), found[2:])
    assert_same(found.most_central(0, 0), found[:1])
    assert_same(found.most_central(200, 40), found[1:2])  # width is told from height
    assert_same(found.with_score(found.scores[1]), found[:2])
    for chosen in (found.with_score(1.0), nothing().largest(), nothing().most_central(9, 9)):
        assert_same(chosen, nothing())


def test_of_equals_the_better_one_is_chosen(found):
    twins = found[[1, 1]]
    twins.scores[:] = 0.9, 0.1
    assert twins.largest()[0].score == twins.most_central(5, 5)[0].score == np.float32(0.9)


def test_there_and_back_through_json(found):
    found.landmarks[1, 2:] = np.nan
    for some in (found, nothing(), found[:1]):
        text = json.dumps(some.to_dict(), allow_nan=False)
        assert_same(faces.Detections.from_dict(json.loads(text)), some)
    assert found.to_dict()["landmarks"][1][2] == [None, None]
    assert_same(faces.Detections.from_dict({"image": "a.jpg", **found.to_dict()}), found)


@pytest.mark.parametrize(
    "change", [{"scores": [0.5]}, {"boxes": None}, {"landmarks": [[1, 2]] * 3}, {"boxes": [["a", 0, 0, 0]] * 3}]
)
def test_other_dictionaries_are_refused(found, change):
    with pytest.raises(ValueError, match="expected boxes, scores and landmarks"):
        faces.Detections.from_dict({**found.to_dict(), **change})
    with pytest.raises(ValueError, match="KeyError"):
        faces.Detections.from_dict({})


def test_a_problem_is_one_line_whatever_a_list_holds():
    problem = faces.Problem("a\nb\x1b[31m.xml", "a bad line", "x\u2028y\0")
    assert str(problem) == r"a\nb\x1b[31m.xml: a bad line (x\u2028y\x00)"


def test_choosing_by_what_is_no_number_is_refused():
    found = faces.Detections(faces.no_boxes(), np.zeros(0, np.float32), faces.no_landmarks(0))
    with pytest.raises(ValueError, match="min_score must be one number, such as 0.9, got '0.9'"):
        found.with_score("0.9")
    with pytest.raises(ValueError, match=r"height must be one number of pixels, got \(1, 2\)"):
        found.most_central(640, (1, 2))
