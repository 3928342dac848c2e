import cv2
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf.images import graph_crops


def ramp(width, height):
    """An image whose red is x and green y of each pixel's centre: a sample tells where it was taken."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.float32)


def cut(image, boxes, size):
    """Crops in the order of the boxes."""
    levels = graph_crops.padded(graph_crops.mip_levels(tf.constant(image)[None]))
    pixels, places = graph_crops.cut(levels, tf.constant(boxes, tf.float32), tf.zeros(len(boxes), tf.int32), size)
    return pixels.numpy()[np.argsort(places)]


def centres(box, size):
    """Where the pixels of a crop lie in the image: the definition of a crop."""
    steps = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1]))
    return np.stack([x, y], axis=-1)


@pytest.mark.parametrize("size", [12, 24, 48])
def test_samples_lie_at_the_centres_of_the_crops_pixels(size):
    boxes = [[20, 30, 20 + size, 30 + size], [40.3, 50.7, 140.3, 150.7], [16, 16, 240, 240], [100, 90, 109, 99]]
    for box, crop in zip(boxes, cut(ramp(256, 256), boxes, size), strict=True):
        np.testing.assert_allclose(crop[..., :2], centres(box, size), atol=0.02)


def test_a_crop_of_its_own_size_is_the_image_itself():
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    crop = cut(image, [[5, 7, 17, 19], [35, 19, 47, 31], [0, 0, 12, 12]], 12)
    np.testing.assert_allclose(crop[0], image[7:19, 5:17], atol=1e-3)
    np.testing.assert_allclose(crop[1], image[19:31, 35:47], atol=0.1)
    np.testing.assert_allclose(crop[2], image[:12, :12], atol=0.1)


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_a_crop_shrunk_by_a_power_of_two_is_the_mean_over_areas(factor):
    image = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    side = 12 * factor
    area = image[32 : 32 + side, 16 : 16 + side].astype(np.float32)
    expected = cv2.resize(area, (12, 12), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(cut(image, [[16, 32, 16 + side, 32 + side]], 12)[0], expected, atol=0.5)


def test_fine_stripes_do_not_alias():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = cut(stripes, [[3, 5, 303, 305]], 12)[0]
    np.testing.assert_allclose(crop, 127.5, atol=1)


def test_outside_of_the_image_is_black_and_the_edge_is_not():
    image = np.full((40, 60, 3), 200, np.uint8)
    crop = cut(image, [[-24, -24, 24, 24]], 24)[0]
    assert not crop[:11, :].any() and not crop[:, :11].any()
    np.testing.assert_allclose(crop[12:, 12:], 200, atol=1e-3)
    np.testing.assert_allclose(cut(image, [[0, 0, 6, 6]], 24), 200, atol=1e-3)


def test_crops_keep_the_order_of_the_boxes_and_none_give_none():
    image = ramp(300, 300)
    boxes = np.array([[0, 0, 200, 200], [10, 10, 22, 22], [50, 50, 100, 100], [1, 1, 14, 14]], np.float32)
    together = cut(image, boxes, 12)
    for box, crop in zip(boxes, together, strict=True):
        np.testing.assert_allclose(cut(image, box[None], 12)[0], crop, atol=1e-3)
    assert cut(image, np.zeros((0, 4)), 24).shape == (0, 24, 24, 3)


def test_crops_of_several_images_are_those_of_each_alone():
    images = np.random.default_rng(2).integers(0, 256, (3, 61, 75, 3), dtype=np.uint8)
    boxes = np.array([[0, 0, 12, 12], [-5, 3, 43, 51], [20, 10, 70, 60], [1, 1, 14, 14], [9, 9, 40, 40]], np.float32)
    of_images = np.array([2, 0, 1, 0, 2], np.int32)
    levels = graph_crops.padded(graph_crops.mip_levels(tf.constant(images)))
    pixels, places = graph_crops.cut(levels, tf.constant(boxes), tf.constant(of_images), 12)
    for crop, place in zip(pixels, places, strict=True):
        alone = cut(images[of_images[place]], boxes[place][None], 12)[0]
        np.testing.assert_allclose(crop, alone, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 2)])
def test_tiny_images(shape):
    crop = cut(np.full((*shape, 3), 9, np.uint8), [[0, 0, 1, 1], [-300, -300, 300, 300]], 12)
    np.testing.assert_allclose(crop[0], 9, atol=1e-3)
    assert np.isfinite(crop).all()
