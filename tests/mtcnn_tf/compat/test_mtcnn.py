"""What a program that was written for `mtcnn` 1.0.0 relies on."""

import dataclasses
import json
import warnings

import cv2
import numpy as np
import pytest
import tensorflow as tf

from data_prep.sample_set import sample_scenes
from mtcnn_tf import faces, landmark_sets
from mtcnn_tf.compat import mtcnn

COLLINS, HOPPER = sample_scenes.portraits()
# Below, a fold of her suit is a face to the classic weights, with a score of .56.
COLLINS = dataclasses.replace(COLLINS, pixels=np.ascontiguousarray(COLLINS.pixels[:500]))
EMPTY = np.full((90, 120, 3), 128, np.uint8)
NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


@pytest.fixture(scope="module")
def detector():
    return mtcnn.MTCNN(model="classic")


@pytest.fixture(scope="module")
def of_rpn():
    return mtcnn.MTCNN()


@pytest.mark.parametrize("portrait", [COLLINS, HOPPER])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_names_of_points_are_those_of_the_image(detector, portrait, is_mirrored):
    """`mtcnn` 1.0.0 says of the first portrait: left eye (204, 100), right eye (245, 102)."""
    image, landmarks = portrait.pixels, portrait.landmarks
    if is_mirrored:
        image, landmarks = (
            image[:, ::-1],
            landmarks[list(landmark_sets.FIVE.mirror_order)] * (-1, 1) + (image.shape[1], 0),
        )
    (face,) = detector.detect_faces(image)
    points = np.array([face["keypoints"][name] for name in NAMES])
    assert np.abs(points - landmarks).max() < 0.06 * portrait.height
    x, y, width, height = face["box"]
    assert abs(x + width / 2 - landmarks[:, 0].mean()) < 0.1 * width and y < landmarks[0, 1] < y + height / 2


def test_a_face_is_a_dict_of_plain_numbers(detector):
    (face,) = detector.detect_faces(COLLINS.pixels)
    assert set(face) == {"box", "confidence", "keypoints"}
    assert list(face["keypoints"]) == ["nose", "mouth_right", "right_eye", "left_eye", "mouth_left"]
    assert {type(value) for point in (face["box"], *face["keypoints"].values()) for value in point} == {int}
    assert len(face["box"]) == 4 and 0.9 < face["confidence"] <= 1
    assert json.loads(json.dumps(face)) == face
    assert detector.predict(COLLINS.pixels) == [face]


def test_other_landmarks_have_no_names_there(monkeypatch):
    detector = mtcnn.MTCNN()
    found = faces.Detections(np.ones((1, 4)), np.ones(1), np.ones((1, 68, 2)))
    monkeypatch.setattr(detector._find_faces, "batch", lambda images, **_: [found for _ in images])
    with pytest.raises(ValueError, match="expected a detector of the five landmarks that mtcnn names, got one of 68"):
        detector.detect_faces(EMPTY)


def test_formats_tell_the_same(detector):
    images = [EMPTY, COLLINS.pixels, HOPPER.pixels]
    sizes, corners = (detector.detect_faces(images, box_format=box, output_type="numpy") for box in ("xywh", "xyxy"))
    assert corners.dtype == np.float64 and corners.shape == (2, 16) and corners[:, 0].tolist() == [1, 2]
    np.testing.assert_allclose(sizes[:, 3:5], corners[:, 3:5] - corners[:, 1:3])
    for column in (slice(0, 3), slice(5, 16)):
        np.testing.assert_array_equal(sizes[:, column], corners[:, column])
    for box_format, rows in (("xywh", sizes), ("xyxy", corners)):
        listed = detector.detect_faces(images, box_format=box_format)
        assert [len(each) for each in listed] == [0, 1, 1]
        for (face,), row in zip(listed[1:], rows, strict=True):
            assert face["box"] == np.round(row[1:5]).tolist() and face["confidence"] == row[5]
            points = np.stack([row[6:11], row[11:]], axis=1)
            assert [face["keypoints"][name] for name in NAMES] == np.round(points).tolist()


def test_images_come_as_paths_bytes_arrays_and_tensors(detector, tmp_path):
    encoded = cv2.imencode(".png", COLLINS.pixels[..., ::-1])[1].tobytes()
    (tmp_path / "photo.png").write_bytes(encoded)
    wanted = detector.detect_faces(COLLINS.pixels)
    loaded = COLLINS.pixels.astype(np.float32)  # as mtcnn.utils.images.load_image gives it
    images = [str(tmp_path / "photo.png"), encoded, loaded, tf.constant(COLLINS.pixels), EMPTY]
    assert detector.detect_faces(images) == [*[wanted] * 4, []]
    assert [detector.detect_faces(image) for image in images] == [*[wanted] * 4, []]


def test_no_faces_are_empty(detector):
    assert detector.detect_faces(EMPTY) == [] and detector.detect_faces([EMPTY] * 2) == [[], []]
    assert detector.detect_faces([]) == []
    for images in (EMPTY, [EMPTY] * 2, []):
        assert detector.detect_faces(images, output_type="numpy").shape == (0, 16)


def test_a_file_that_is_no_image_has_no_faces_and_a_warning(detector):
    for image in (b"not_an_image", "/nowhere.jpg"):
        with pytest.warns(UserWarning, match="^counted as an image without faces, as mtcnn does: expected") as caught:
            assert detector.detect_faces(image) == []
        assert caught[0].filename == __file__
        with pytest.warns(UserWarning, match="without faces"):
            assert [len(each) for each in detector.detect_faces([image, COLLINS.pixels])] == [0, 1]
    for image in (None, 5, COLLINS.pixels[None]):
        with pytest.raises(ValueError, match="^expected an image"):
            detector.detect_faces(image)


def test_corners_are_pixels_of_the_image(detector):
    """As in `mtcnn`, whose `plot` draws at them."""
    left, top, right, bottom = COLLINS.box.astype(int)
    image = COLLINS.pixels[: bottom - 35, left + 20 : right - 10]
    lax = {"threshold_pnet": 0.3, "threshold_rnet": 0.1, "threshold_onet": 0.05}
    (face,) = detector.detect_faces(image, box_format="xyxy", limit_boundaries_landmarks=True, **lax)[:1]
    corners = np.array([face["box"][:2], face["box"][2:], *face["keypoints"].values()])
    assert corners.min() >= 0 and np.all(corners.max(axis=0) < image.shape[1::-1])
    assert face["box"][2] == image.shape[1] - 1 or face["box"][3] == image.shape[0] - 1


def test_without_keypoints():
    detector = mtcnn.MTCNN("face_detection_only", model="classic")
    (face,) = detector.detect_faces(COLLINS.pixels)
    assert set(face) == {"box", "confidence"}
    assert detector.detect_faces(COLLINS.pixels, output_type="numpy").shape == (1, 6)


@pytest.mark.parametrize("name", ["threshold_pnet", "threshold_rnet", "threshold_onet"])
def test_each_threshold_is_of_its_network(detector, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert detector.detect_faces(COLLINS.pixels, **{name: 1.0}) == []
        assert len(detector.detect_faces(COLLINS.pixels, **{name: 0.3}, scale_factor=0.75, min_face_size=60)) == 1
        assert detector.detect_faces(COLLINS.pixels, min_face_size=400) == []


def test_behind_an_rpn_the_last_threshold_alone_has_a_meaning(of_rpn):
    assert of_rpn.detect_faces(COLLINS.pixels, threshold_onet=1.0) == []
    wanted = of_rpn.detect_faces(COLLINS.pixels)
    assert wanted
    with pytest.warns(UserWarning, match=r"threshold_pnet \(it would with model='classic'\), scale_factor") as caught:
        assert of_rpn.detect_faces(COLLINS.pixels, threshold_pnet=1.0, scale_factor=0.1) == wanted
    assert len(caught) == 1


def test_what_has_no_meaning_is_named_in_one_sentence(detector):
    with pytest.warns(UserWarning, match="^these arguments change nothing in mtcnn_tf: stages, device; docs") as caught:
        mtcnn.MTCNN([object], "GPU:0")
    assert len(caught) == 1 and caught[0].filename == __file__
    arguments = {"fit_to_image": False, "batch_stack_justification": "top", "nms_onet": 0.3, "typo": 1}
    with pytest.warns(UserWarning, match=f": {', '.join(arguments)}; docs") as caught:
        found = detector.detect_faces(COLLINS.pixels, **arguments)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert found == detector.detect_faces(COLLINS.pixels)


def test_wrong_choices_are_refused(detector):
    with pytest.raises(ValueError, match="stages must be one of face_detection_only, face_and_landmarks_detection"):
        mtcnn.MTCNN("everything")
    with pytest.raises(ValueError, match="box_format must be one of xywh, xyxy, got 'yxyx'"):
        detector.detect_faces(EMPTY, box_format="yxyx")
    with pytest.raises(ValueError, match="output_type must be one of json, numpy"):
        detector.detect_faces(EMPTY, output_type="xml")
    with pytest.raises(ValueError, match="thresholds must be 3 numbers in 0–1"):
        detector.detect_faces(EMPTY, threshold_onet=2)
