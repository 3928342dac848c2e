import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcnn_tf.images import array_crops, graph_crops


def noise_image(width, height, blur=0.0, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(image, (0, 0), blur) if blur else image


def cut(image, boxes, size):
    return array_crops.warp(array_crops.mip_levels(image), array_crops.upright(np.array(boxes, np.float32), size), size)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130))
def test_mip_levels_are_those_of_the_graph_rounded(width, height):
    image = noise_image(width, height)
    levels = array_crops.mip_levels(image)
    assert len(levels) == array_crops.NUM_MIP_LEVELS
    for k, (level, of_graph) in enumerate(zip(levels, graph_crops.mip_levels(tf.constant(image)[None]), strict=True)):
        assert level.dtype == np.uint8
        assert level.shape == of_graph[0].shape
        np.testing.assert_allclose(level, of_graph[0], atol=0.5 * k + 1e-3)  # each mip_level may round by a half


@pytest.mark.parametrize("size", [12, 24, 48])
def test_crops_are_those_of_the_graph(size):
    image = noise_image(301, 203)
    rng = np.random.default_rng(1)
    corners, sides = rng.uniform(-60, 280, (200, 2)), np.exp(rng.uniform(np.log(5), np.log(300), (200, 1)))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    levels = graph_crops.padded(graph_crops.mip_levels(tf.constant(image)[None]))
    of_graph, places = graph_crops.cut(levels, boxes, tf.zeros(len(boxes), tf.int32), size)
    difference = cut(image, boxes[places], size) - of_graph
    # Rounded at each halving and at the end; OpenCV's weights are rounded, too.
    assert np.mean(np.abs(difference)) < 1
    assert np.max(np.abs(difference)) < 4


@pytest.mark.parametrize("is_high", [False, True])
def test_an_image_longer_than_opencv_samples_is_cut_like_any_other(is_high):
    short = noise_image(300, 60)
    long = np.concatenate([np.zeros((60, 40_000, 3), np.uint8), short, np.zeros((60, 100, 3), np.uint8)], axis=1)
    boxes = np.float32([[40, 10, 70, 40], [150.5, -20, 250.5, 80], [120, 5, 132, 17]])
    there = boxes + np.float32([40_000, 0, 40_000, 0])
    if is_high:
        short, long = (image.transpose(1, 0, 2) for image in (short, long))
        boxes, there = (some[:, [1, 0, 3, 2]] for some in (boxes, there))
    difference = cut(long, there, 24).astype(int) - cut(short, boxes, 24)
    assert np.abs(difference).max() <= 2  # float32 knows places so far off to a 256th of a pixel
    assert not cut(long, boxes, 24).any() and not cut(long, there + 90_000, 24).any()


def test_a_crop_of_its_own_size_is_the_image_itself():
    image = noise_image(47, 31)
    crop = cut(image, [[5, 7, 17, 19], [35, 19, 47, 31]], 12)
    np.testing.assert_array_equal(crop, [image[7:19, 5:17], image[19:31, 35:47]])


def test_more_crops_than_opencv_takes_rows():
    image = noise_image(40, 40)
    crop = cut(image, np.tile([[5, 7, 17, 19]], (40_000, 1)), 12)
    np.testing.assert_array_equal(crop[[0, -1]], [image[7:19, 5:17]] * 2)
    assert cut(image, np.zeros((0, 4)), 24).shape == (0, 24, 24, 3)


def test_rotation_by_nothing_is_upright():
    boxes = np.array([[20, 30, 120, 130], [50, 60, 70, 80]], np.float32)
    maps = array_crops.rotated(boxes, np.zeros(2), np.full((2, 2), 77.0), 24)
    np.testing.assert_allclose(maps, array_crops.upright(boxes, 24), atol=1e-9)


@pytest.mark.parametrize("degrees", [-30, 5, 90])
def test_rotation_takes_points_where_it_says(degrees):
    # An image whose red is x and green y of each pixel's centre: a sample tells where it was taken.
    x, y = np.meshgrid(np.arange(200), np.arange(200))
    image = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    angle, pivot = np.deg2rad(degrees), np.array([100.0, 110.0])
    box = np.array([[60, 70, 140, 150]], np.float32)
    maps = array_crops.rotated(box, np.array([angle]), pivot[None], 24)
    crop = array_crops.warp(array_crops.mip_levels(image), maps, 24)[0, ..., :2] + 0.5
    # A pixel of the crop shows the point that the rotation takes to the pixel's place.
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    steps = (np.arange(24) + 0.5) / 24 * 80
    places = np.stack(np.meshgrid(60 + steps, 70 + steps), axis=-1)
    np.testing.assert_allclose((crop - pivot) @ turn.T + pivot, places, atol=1.5)
