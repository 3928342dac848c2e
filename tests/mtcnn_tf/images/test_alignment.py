"""Aligned faces and crops, against scikit-image and OpenCV."""

import cv2
import numpy as np
import pytest
import skimage.data
import skimage.transform

import mtcnn_tf
from mtcnn_tf import faces
from mtcnn_tf.images import alignment


def ramp(width, height):
    """An image whose red is x and green y of each pixel's centre: a sample tells where it was taken."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def faces_at(landmarks, boxes=None):
    landmarks = np.asarray(landmarks, np.float32)
    boxes = np.tile(np.float32([0, 0, 1, 1]), (len(landmarks), 1)) if boxes is None else np.asarray(boxes, np.float32)
    return faces.Detections(boxes, np.ones(len(boxes), np.float32), landmarks)


def placed_template(scale, degrees, shift, size=112):
    """Landmarks of a face that was turned, scaled and shifted from where it lies in an aligned crop."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (alignment.TEMPLATE + 0.5) * size / 112 @ turn.T * scale + shift


def test_similarities_are_those_of_scikit_image_and_opencv():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 200, (50, 5, 2))
    targets = points @ [[0, -0.3], [0.3, 0]] + rng.normal(0, 9, (50, 5, 2)) + 40
    targets[:5] = rng.uniform(0, 200, (5, 5, 2))  # nothing alike
    targets[5:9] = points[5:9] * (-1, 1)  # mirrored
    for found, some, others in zip(alignment.similarities(points, targets), points, targets, strict=True):
        umeyama = skimage.transform.estimate_transform("similarity", some, others)
        np.testing.assert_allclose(found, umeyama.params[:2], atol=1e-6)
    exact = points @ [[0.5, 0.2], [-0.2, 0.5]] + (3, 4)
    for found, some, others in zip(alignment.similarities(points, exact), points, exact, strict=True):
        np.testing.assert_allclose(found, cv2.estimateAffinePartial2D(some, others)[0], atol=1e-4)
    assert alignment.similarities(points[:0], targets[:0]).shape == (0, 2, 3)


def test_a_face_of_the_templates_own_size_is_as_insightface_cuts_it():
    image = skimage.data.astronaut()
    points = np.array([[205, 110], [244, 106], [230, 134], [212, 152], [246, 149]], np.float32)
    points = (points - points.mean(axis=0)) * 1.4 + points.mean(axis=0)  # so that nothing is shrunk
    transform = skimage.transform.estimate_transform("similarity", points - 0.5, alignment.TEMPLATE)
    wanted = cv2.warpAffine(image, transform.params[:2], (112, 112))
    assert transform.scale > 0.5
    found = alignment.align(image, faces_at([points]))
    assert found.shape == (1, 112, 112, 3) and found.dtype == np.uint8
    assert np.abs(found[0].astype(int) - wanted).mean() < 0.5


@pytest.mark.parametrize(("scale", "degrees", "size"), [(1, 0, 112), (0.7, 30, 112), (1.5, -80, 64), (1.9, 175, 50)])
def test_pixels_come_from_where_the_landmarks_say(scale, degrees, size):
    where = placed_template(scale, degrees, (120, 120), size)
    aligned = alignment.align(ramp(250, 250), faces_at([where]), size)[0]
    to_image = alignment.similarities((alignment.TEMPLATE[None] + 0.5) * size / 112, where[None])[0]
    centres = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), axis=-1)
    wanted = centres @ to_image[:, :2].T + to_image[:, 2] - 0.5
    inside_mask = np.all((wanted > 1) & (wanted < 248), axis=-1)
    assert inside_mask.mean() > 0.5
    np.testing.assert_allclose(aligned[inside_mask][:, :2], wanted[inside_mask], atol=0.6)  # half a level of rounding


def test_large_faces_do_not_alias():
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    found = faces_at([placed_template(8, 20, (300, 20))], [[100, 100, 1100, 1100]])
    for crops in (alignment.align(stripes, found), alignment.crop(stripes, found)):
        np.testing.assert_allclose(crops[:, 30:80, 30:80], 127.5, atol=2)


def test_faces_keep_their_order_and_none_give_none():
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    places = [placed_template(scale, 10, (20, 20)) for scale in (2.2, 0.3, 1)]
    found = faces_at(places, [[10, 10, 290, 290], [5, 5, 30, 40], [50, 60, 150, 140]])
    for cut in (alignment.align, alignment.crop):
        together = cut(image, found, size=40)
        assert together.shape == (3, 40, 40, 3)
        for i, crop in enumerate(together):
            np.testing.assert_array_equal(cut(image, found[i : i + 1], size=40)[0], crop)
        assert cut(image, found[:0]).shape == (0, 112, 112, 3)


def test_crop_is_the_square_round_the_box_and_its_margin():
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    found = faces_at(np.zeros((1, 5, 2)), [[40, 30, 60, 70]])
    np.testing.assert_array_equal(alignment.crop(image, found, size=40)[0], image[30:70, 30:70])
    np.testing.assert_array_equal(alignment.crop(image, found, margin=0.25, size=60)[0], image[20:80, 20:80])
    np.testing.assert_array_equal(alignment.crop(image, found, margin=-0.25, size=20)[0], image[40:60, 40:60])
    beyond = alignment.crop(image, found, margin=1, size=120)[0]
    assert not beyond[:9].any() and beyond[20:110, 20:110].any()


def test_the_same_images_as_the_detector_takes(tmp_path):
    image = ramp(200, 180)
    path = tmp_path / "photo.png"
    mtcnn_tf.images.image_files.write(path, image)
    found = faces_at([placed_template(1, 5, (40, 40))], [[40, 40, 150, 150]])
    for cut in (mtcnn_tf.align, mtcnn_tf.crop):
        np.testing.assert_array_equal(cut(path, found), cut(image, found))


def test_what_cannot_be_cut_is_told():
    image, without = ramp(50, 50), faces_at(faces.no_landmarks(1))
    for landmarks in (without.landmarks, np.ones((1, 5, 2))):
        with pytest.raises(ValueError, match="five landmarks of each face"):
            alignment.align(image, faces_at(landmarks))
    with pytest.raises(ValueError, match="five landmarks of each face, got 68: the detector has learnt others; use"):
        alignment.align(image, faces_at(np.ones((1, 68, 2))))
    for margin in (-0.5, float("nan")):
        with pytest.raises(ValueError, match="margin must be one number above -0.5"):
            alignment.crop(image, without, margin)
    assert alignment.crop(image, without).shape == (1, 112, 112, 3)


@pytest.mark.parametrize("cut", [alignment.align, alignment.crop])
def test_wrong_arguments_are_one_sentence(cut):
    image, found = ramp(60, 50), faces_at([placed_template(0.3, 0, (5, 5))])
    for size in (0, -1, 2.5, "112", None, True):
        with pytest.raises(ValueError, match="size must be a whole number of pixels from 1 on, such as 112, got"):
            cut(image, found, size=size)
    for other, what in ((found[0], "one Face"), ([found[0]], "a list"), (found.boxes, "a ndarray")):
        with pytest.raises(ValueError, match=f"expected Detections, such as found.* got {what}$"):
            cut(image, other)
    assert cut(image, found[0:1], size=np.int64(8)).shape == (1, 8, 8, 3)
