"""Changes of colour against the formulas that they are named after."""

import colorsys

import numpy as np
import pytest

from mtcnn_tf.images import colours


def grey(pixels):
    return pixels @ np.array([0.299, 0.587, 0.114])


def change(pixels, matrix):
    return pixels @ matrix[:, :3].T + matrix[:, 3]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (50, 3))


def test_without_augmentation_nothing_changes():
    drawn = colours.draw(np.random.default_rng(0), np.full((4, 3), 90.0), augment=False)
    image = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    for row in range(4):
        changed = colours.apply(image, *(drawn[name][row] for name in ("colours", "noise", "pattern")))
        np.testing.assert_array_equal(changed, image)


def test_saturation_moves_from_grey_to_colour(pixels):
    for saturation in (0.0, 0.5, 1.0, 1.5):
        (matrix,) = colours._saturate(np.array([saturation]))
        expected = grey(pixels)[:, None] + saturation * (pixels - grey(pixels)[:, None])
        np.testing.assert_allclose(pixels @ matrix.T, expected, atol=1e-3)


def test_hue_rotates_round_the_grey_axis_and_keeps_brightness(pixels):
    for angle in (-0.3, 0.1, 0.3):
        (matrix,) = colours._rotate_hue(np.array([angle]))
        np.testing.assert_allclose(np.full(3, 100) @ matrix.T, np.full(3, 100), atol=1e-3)
        np.testing.assert_allclose(grey(pixels @ matrix.T), grey(pixels), atol=1e-2)
        before, after = (
            np.array([colorsys.rgb_to_yiq(*row) for row in x.tolist()]) for x in (pixels, pixels @ matrix.T)
        )
        turned = np.arctan2(after[:, 2], after[:, 1]) - np.arctan2(before[:, 2], before[:, 1])
        colourful = np.hypot(*before[:, 1:].T) > 20  # of grey an angle says nothing
        # Python's own numbers of the colour space have two digits.
        np.testing.assert_allclose(((turned + np.pi) % (2 * np.pi) - np.pi)[colourful], angle, atol=0.03)


def test_a_drawn_change_is_hue_saturation_contrast_and_brightness_in_this_order(pixels):
    means = np.random.default_rng(1).uniform(50, 200, (200, 3)).astype(np.float32)
    drawn = colours.draw(np.random.default_rng(2), means)
    for matrix, mean in zip(drawn["colours"], means, strict=True):
        # From brightness alone: a grey pixel keeps its hue, so that contrast and brightness can be told.
        low, high = change(np.zeros(3), matrix), change(np.full(3, 100.0), matrix)
        assert np.ptp(low) < 1e-3 and np.ptp(high) < 1e-2
        contrast = (high - low)[0] / 100
        brightness = low[0] - (1 - contrast) * grey(mean)
        assert 0.7 - 1e-4 <= contrast <= 1.3 + 1e-4 and abs(brightness) <= colours.MAX_BRIGHTNESS + 1e-3
        # The image's own brightness is where contrast turns round.
        assert change(np.full(3, grey(mean)), matrix)[0] == pytest.approx(grey(mean) + brightness, abs=1e-2)
        changed_grey = grey(change(pixels, matrix))
        np.testing.assert_allclose(changed_grey, contrast * grey(pixels) + low[0], atol=0.1)


def test_some_lose_all_colour_and_some_get_noise(pixels):
    drawn = colours.draw(np.random.default_rng(0), np.full((3000, 3), 100.0, np.float32))
    linear = drawn["colours"][:, :, :3]
    is_grey = np.ptp(linear, axis=1).max(axis=1) < 1e-4
    assert np.mean(is_grey) == pytest.approx(colours.GREY_FRACTION, abs=0.02)
    assert np.mean(drawn["noise"] > 0) == pytest.approx(colours.NOISY_FRACTION, abs=0.03)
    assert drawn["noise"].max() <= colours.MAX_NOISE and set(drawn["pattern"]) == set(range(colours.NUM_PATTERNS))


def test_noise_is_where_it_is_asked_for_and_as_strong():
    image, same = np.full((64, 64, 3), 128, np.uint8), np.eye(3, 4, dtype=np.float32)
    np.testing.assert_array_equal(colours.apply(image, same, 0.0, 3), image)
    noisy = [colours.apply(image, same, 6.0, pattern).astype(float) - 128 for pattern in (0, 0, 1)]
    assert noisy[0].std() == pytest.approx(6, abs=0.2) and abs(noisy[0].mean()) < 0.2
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert abs(np.corrcoef(noisy[0].ravel(), noisy[2].ravel())[0, 1]) < 0.05


def test_numbers_stay_within_a_byte():
    image = np.array([[[0, 128, 255]] * 8] * 8, np.uint8)
    brighter = np.eye(3, 4, dtype=np.float32)
    brighter[:, 3] = 200
    assert colours.apply(image, brighter, 0.0, 0)[0, 0].tolist() == [200, 255, 255]
    assert colours.apply(image, -brighter, 0.0, 0)[0, 0].tolist() == [0, 0, 0]
    assert colours.apply(image, brighter, 8.0, 0).dtype == np.uint8
