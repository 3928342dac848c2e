import numpy as np
import pytest

from data_prep import candidates

WIDTH, HEIGHT = 200, 120
FACES = np.array([[30, 20, 70, 80], [150, 60, 190, 110]], np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sides(boxes):
    np.testing.assert_allclose(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1], atol=1e-3)
    return boxes[:, 2] - boxes[:, 0]


def test_anywhere_fills_the_image_with_squares_of_all_sizes(rng):
    boxes = candidates.anywhere(rng, WIDTH, HEIGHT, 2000)
    assert boxes.shape == (2000, 4) and boxes.dtype == np.float32
    assert candidates.inside_mask(boxes, WIDTH, HEIGHT).all()
    assert 12 <= sides(boxes).min() < 13 and 59 < sides(boxes).max() <= 60
    assert boxes[:, 0].min() < 5 and boxes[:, 2].max() > WIDTH - 5
    assert boxes[:, 1].min() < 5 and boxes[:, 3].max() > HEIGHT - 5


@pytest.mark.parametrize("size", [(1, 1), (23, 500), (12, 12)])
def test_a_image_too_small_for_a_square_gives_none(rng, size):
    assert len(candidates.anywhere(rng, *size, 50)) == 0
    assert len(candidates.near(rng, FACES, *size, 5)) == 0


def test_near_squares_touch_the_face_and_stay_inside(rng):
    face = FACES[:1]
    boxes = candidates.near(rng, face, WIDTH, HEIGHT, 1000)
    assert 500 < len(boxes) <= 1000
    assert candidates.inside_mask(boxes, WIDTH, HEIGHT).all()
    assert (boxes[:, 0] <= face[0, 2]).all() and (boxes[:, 1] <= face[0, 3]).all()
    assert (boxes[:, 2] >= face[0, 0] - 1e-3).all() and (boxes[:, 3] >= face[0, 1] - 1e-3).all()


def test_jittered_squares_keep_to_the_recipe(rng):
    boxes = candidates.jittered(rng, np.repeat(FACES, 1000, axis=0), (0.8, 1.25), 0.2)
    assert boxes.shape == (2000, 4)
    for face, jittered in zip(FACES, boxes.reshape(2, 1000, 4), strict=True):
        extent = face[2:] - face[:2]
        assert 0.8 * extent.min() <= sides(jittered).min() < 0.82 * extent.min()
        assert 1.23 * extent.max() < sides(jittered).max() <= 1.25 * extent.max() + 1e-3
        shift = ((jittered[:, :2] + jittered[:, 2:]) - (face[:2] + face[2:])) / 2 / extent
        assert (np.abs(shift) <= 0.2 + 1e-5).all() and (np.abs(shift).max(axis=0) > 0.19).all()


def test_no_faces_no_candidates(rng):
    none = np.zeros((0, 4), np.float32)
    assert candidates.jittered(rng, none, (0.8, 1.25), 0.2).shape == (0, 4)
    assert candidates.near(rng, none, WIDTH, HEIGHT, 5).shape == (0, 4)
