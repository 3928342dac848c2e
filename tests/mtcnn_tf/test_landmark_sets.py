import json

import numpy as np
import pytest

from mtcnn_tf import landmark_sets
from mtcnn_tf.geometry import mirroring

SEVEN = landmark_sets.LandmarkSet(7, ((0, 3), (1, 2), (5, 6)), ((0, 1), (3, 2)))
"""Corners of both eyes, the nose, the corners of the mouth."""
SETS = {
    "five": landmark_sets.FIVE,
    "68": landmark_sets.IBUG,
    "seven": SEVEN,
    "one": landmark_sets.LandmarkSet(1, ()),
    "no eyes": landmark_sets.LandmarkSet(4, ((3, 0),)),
}
SOUND = {"num_points": 7, "mirror_pairs": [[0, 3], [1, 2], [5, 6]], "eyes": [[0, 1], [2, 3]]}


@pytest.mark.parametrize("landmark_set", SETS.values(), ids=SETS)
def test_mirrored_twice_every_point_is_itself_again(landmark_set):
    order = np.array(landmark_set.mirror_order)
    np.testing.assert_array_equal(order[order], np.arange(landmark_set.num_points))
    values = np.random.default_rng(0).random((6, 2 * landmark_set.num_points)).astype(np.float32)
    twice = mirroring.landmarks(mirroring.landmarks(values, landmark_set), landmark_set)
    np.testing.assert_allclose(twice, values, atol=1e-6)


@pytest.mark.parametrize("landmark_set", SETS.values(), ids=SETS)
def test_there_and_back_as_plain_values_and_as_a_file(landmark_set, tmp_path):
    described = json.loads(json.dumps(landmark_set.to_dict()))
    assert landmark_sets.from_dict(described) == landmark_set
    (tmp_path / "points.json").write_text(json.dumps(described), encoding="utf-8-sig")
    assert landmark_sets.named(tmp_path / "points.json") == landmark_set


def test_names():
    assert landmark_sets.named("5") == landmark_sets.FIVE and landmark_sets.named("68") == landmark_sets.IBUG
    assert landmark_sets.FIVE.mirror_order == (1, 0, 2, 4, 3)


def test_a_face_that_is_its_own_mirror_image_keeps_its_68_points():
    """In 300-W's order: on a symmetric face the mirror image of each point is the point of that name."""
    jaw = [(x, -1 + x * x / 50) for x in range(-8, 9)]
    brows = [(x, 9) for x in (-7, -6, -5, -4, -3, 3, 4, 5, 6, 7)]
    nose = [(0, y) for y in (6, 5, 4, 3)] + [(x, 2) for x in (-2, -1, 0, 1, 2)]
    left_eye = [(-6, 6), (-5, 7), (-4, 7), (-3, 6), (-4, 5), (-5, 5)]
    right_eye = [(3, 6), (4, 7), (5, 7), (6, 6), (5, 5), (4, 5)]
    outer = [
        (-3, 0),
        (-2, 1),
        (-1, 1.5),
        (0, 1),
        (1, 1.5),
        (2, 1),
        (3, 0),
        (2, -1),
        (1, -2),
        (0, -2),
        (-1, -2),
        (-2, -1),
    ]
    inner = [(-2, 0), (-1, 0.5), (0, 0.5), (1, 0.5), (2, 0), (1, -0.5), (0, -0.5), (-1, -0.5)]
    points = np.array([*jaw, *brows, *nose, *left_eye, *right_eye, *outer, *inner])
    assert len(points) == 68
    np.testing.assert_allclose(points[list(landmark_sets.IBUG.mirror_order)] * (-1, 1), points)
    (left,), (right,) = landmark_sets.IBUG.eyes
    assert (points[left] == (-6, 6)).all() and (points[right] == (6, 6)).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mirror_pairs": [[0, 3], [1, 3]]}, "mirror_pairs with each point once, got 3 twice"),
        ({"mirror_pairs": [[2, 2]]}, "mirror_pairs with each point once, got 2 twice"),
        ({"mirror_pairs": [[0, 7]]}, "mirror_pairs of points from 0 to 6, got 7; count from 0"),
        ({"mirror_pairs": [[-1, 3]]}, "mirror_pairs of points from 0 to 6, got -1"),
        ({"mirror_pairs": [[0, 3, 1]]}, r"mirror_pairs of two points each, got \[\[0, 3, 1\]\]"),
        ({"mirror_pairs": [[0], [3]]}, "mirror_pairs of two points each"),
        ({"mirror_pairs": [[0, 3.0]]}, "mirror_pairs as lists of whole numbers"),
        ({"mirror_pairs": [[True, 3]]}, "mirror_pairs as lists of whole numbers"),
        ({"mirror_pairs": [0, 3]}, "mirror_pairs as lists of whole numbers"),
        ({"mirror_pairs": None}, "mirror_pairs as lists of whole numbers, got null"),
        ({"num_points": 0}, "num_points of at least 1, got 0"),
        ({"num_points": "7"}, "num_points as a whole number, got '7'"),
        ({"eyes": [[0, 1]]}, "eyes as points of the left and of the right one"),
        ({"eyes": [[0, 1], []]}, "eyes as points of the left and of the right one"),
        ({"eyes": [[0], [2]]}, "eyes that mirror_pairs turn into each other"),
        ({"eyes": [[0], [9]]}, "eyes of points from 0 to 6, got 9"),
        ({"eyes": [[0], [0]]}, "eyes with each point once, got 0 twice"),
        (
            {"mirror": []},
            "expected num_points, mirror_pairs and perhaps eyes, got num_points, mirror_pairs, eyes, mirror",
        ),
    ],
)
def test_a_file_that_describes_no_set_is_one_sentence(change, sentence, tmp_path):
    path = tmp_path / "points.json"
    path.write_text(json.dumps({**SOUND, **change}))
    with pytest.raises(ValueError, match=sentence) as raised:
        landmark_sets.named(path)
    assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", "null", '{"num_points": 3}', "{", "[" * 100_000])
def test_a_file_of_something_else_is_one_sentence(text, tmp_path):
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"points\.json: ") as raised:
        landmark_sets.named(path)
    assert "\n" not in str(raised.value)


def test_what_is_no_name_and_no_file_is_told():
    with pytest.raises(FileNotFoundError, match="landmarks are 5, 68 or a file that describes them, got 'six'"):
        landmark_sets.named("six")
