"""Parts of crops that are hidden behind other crops."""

import numpy as np
import pytest
from keras import ops

from mtcnn_tf.images import covering

SIZE, COUNT = 48, 2000


@pytest.fixture
def drawn() -> dict[str, np.ndarray]:
    return covering.draw(np.random.default_rng(0), COUNT, SIZE)


def test_what_is_covered_is_of_the_announced_size(drawn):
    sides = drawn["covered"][:, 2:] - drawn["covered"][:, :2]
    is_covered = sides.any(axis=1)
    assert is_covered.mean() == pytest.approx(covering.FRACTION, abs=0.04)
    assert (drawn["covered"] >= 0).all() and (drawn["covered"] <= SIZE).all()
    width, height = sides[is_covered].T
    area, least = width * height / SIZE**2, min(covering.AREA)
    assert area.min() > 0.8 * least and area.max() < max(covering.AREA) + 0.03  # whole pixels
    aspect = width / height
    assert aspect.min() > 0.8 / covering.MAX_ASPECT and aspect.max() < covering.MAX_ASPECT / 0.8
    assert np.median(aspect) == pytest.approx(1, abs=0.1)


def test_every_place_is_covered_as_often_as_its_mirror_image(drawn):
    rows = np.flatnonzero(drawn["covered"].any(axis=1))
    middles = (drawn["covered"][rows, :2] + drawn["covered"][rows, 2:]) / 2
    np.testing.assert_allclose(middles.mean(axis=0), SIZE / 2, atol=1.5)


@pytest.mark.parametrize("xp", [np, ops], ids=["numpy", "keras.ops"])
def test_the_part_shows_another_crop_and_the_rest_what_it_did(xp):
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype(np.float32)
    covered = np.array([[1, 2, 4, 8], [0, 0, 0, 0], [0, 0, 8, 8]], np.int32)
    found = covering.apply(xp, xp.asarray(pixels) if xp is np else xp.convert_to_tensor(pixels), {
        "covered": covered,
        "cover": np.array([2, 0, 1], np.int32),
        "shown": np.array([[0, 0, 8, 8], [2, 0, 8, 7], [0, 0, 8, 8]], np.int32),
    })  # fmt: skip
    expected = pixels.copy()
    expected[0, 2:8, 1:4] = pixels[2, 2:8, 1:4]
    expected[1, :, :2] = expected[1, 7:] = 0
    expected[2] = pixels[1]
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_nothing_is_covered_where_nothing_is_to_be_changed():
    drawn = covering.draw(np.random.default_rng(0), COUNT, SIZE, augment=False)
    assert not drawn["covered"].any() and (drawn["shown"] == [0, 0, SIZE, SIZE]).all()


def test_every_side_is_beyond_an_edge_as_often_as_the_others(drawn):
    beyond = np.abs(drawn["shown"] - [0, 0, SIZE, SIZE])
    np.testing.assert_allclose((beyond > 0).mean(axis=0), covering.EDGE_FRACTION, atol=0.02)
    assert 0.8 * covering.MAX_BEYOND < beyond.max() / SIZE < covering.MAX_BEYOND + 0.02
