import numpy as np
import pytest

from mtcnn_tf.evaluation import rotation


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_quarter_turns_are_exact(degrees, quarters):
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(rotation.rotate(image, degrees), np.rot90(image, quarters))


def test_a_box_rotated_by_a_quarter_lies_on_the_same_pixels():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 5:15] = 255
    (box,) = rotation.rotate_boxes(np.array([[5, 10, 15, 30]]), 60, 40, 90).round().astype(int)
    rotated = rotation.rotate(image, 90)
    assert rotated[box[1] : box[3], box[0] : box[2]].all() and rotated.sum() == image.sum()


@pytest.mark.parametrize("degrees", [15, 30, 45, 100])
def test_a_box_is_drawn_round_the_rotated_oval(degrees):
    y, x = np.mgrid[:120, :160] + 0.5
    box = np.array([20, 50, 60, 110])
    oval = np.hypot((x - 40) / 20, (y - 80) / 30) <= 1
    rotated = rotation.rotate(np.repeat(oval[..., None], 3, axis=2).astype(np.uint8) * 255, degrees)[..., 0] > 127
    rows, columns = np.flatnonzero(rotated.any(axis=1)), np.flatnonzero(rotated.any(axis=0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(rotation.rotate_boxes(box[None], 160, 120, degrees)[0], found, atol=1.01)
    assert abs(int(rotated.sum()) - oval.sum()) < 0.02 * oval.sum(), "the whole oval is in the rotated image"
