import numpy as np
import pytest

from mtcnn_tf.evaluation import turning


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_quarter_turns_are_exact(degrees, quarters):
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(turning.turn(image, degrees), np.rot90(image, quarters))


def test_a_box_turned_by_a_quarter_lies_on_the_same_pixels():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 5:15] = 255
    (box,) = turning.turn_boxes(np.array([[5, 10, 15, 30]]), 60, 40, 90).round().astype(int)
    turned = turning.turn(image, 90)
    assert turned[box[1] : box[3], box[0] : box[2]].all() and turned.sum() == image.sum()


@pytest.mark.parametrize("degrees", [15, 30, 45, 100])
def test_a_box_is_drawn_round_the_turned_oval(degrees):
    y, x = np.mgrid[:120, :160] + 0.5
    box = np.array([20, 50, 60, 110])
    oval = np.hypot((x - 40) / 20, (y - 80) / 30) <= 1
    turned = turning.turn(np.repeat(oval[..., None], 3, axis=2).astype(np.uint8) * 255, degrees)[..., 0] > 127
    rows, columns = np.flatnonzero(turned.any(axis=1)), np.flatnonzero(turned.any(axis=0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(turning.turn_boxes(box[None], 160, 120, degrees)[0], found, atol=1.01)
    assert abs(int(turned.sum()) - oval.sum()) < 0.02 * oval.sum(), "the whole oval is in the turned picture"
