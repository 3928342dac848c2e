"""What a program that was written for `facenet_pytorch` 2.6 relies on, with torch and without."""

import dataclasses
import sys
import types

import numpy as np
import PIL.Image
import pytest

from data_prep.sample_set import sample_scenes
from mtcnn_tf.compat import facenet_pytorch
from mtcnn_tf.images import image_files

COLLINS, HOPPER = sample_scenes.portraits()
# Below, a fold of her suit is a face to the classic weights, with a score of .56.
COLLINS = dataclasses.replace(COLLINS, pixels=np.ascontiguousarray(COLLINS.pixels[:500]))
BOTH = np.hstack([COLLINS.pixels, HOPPER.pixels[: len(COLLINS.pixels)]])
"""Hopper, at the right, has the larger face."""
EMPTY = np.full((90, 120, 3), 128, np.uint8)


def build(**arguments):
    return facenet_pytorch.MTCNN(model="classic", **arguments)


@pytest.fixture(scope="module")
def detector():
    return build()


@pytest.fixture(scope="module")
def of_all():
    return build(keep_all=True, select_largest=False, image_size=64, post_process=False)


def test_one_image_has_arrays_of_its_faces(detector):
    boxes, scores, landmarks = detector.detect(PIL.Image.fromarray(BOTH), landmarks=True)
    assert [each.shape for each in (boxes, scores, landmarks)] == [(2, 4), (2,), (2, 5, 2)]
    assert {each.dtype for each in (boxes, scores, landmarks)} == {np.dtype(np.float32)}
    wanted = [HOPPER.landmarks + (COLLINS.pixels.shape[1], 0), COLLINS.landmarks]  # eyes first, the left one in front
    assert np.abs(landmarks - wanted).max() < 0.06 * HOPPER.height
    assert np.all(boxes[:, :2] < landmarks.min(axis=1)) and np.all(boxes[:, 2:] > landmarks.max(axis=1))
    assert len(detector.detect(BOTH)) == 2


def test_the_largest_or_the_best_comes_first(detector, of_all):
    boxes, scores = of_all.detect(BOTH)
    assert scores[0] > scores[1]
    areas = np.prod(detector.detect(BOTH)[0][:, 2:] - detector.detect(BOTH)[0][:, :2], axis=1)
    assert areas[0] > areas[1]


def test_no_face_is_none(detector, of_all):
    assert detector.detect(EMPTY, landmarks=True) == (None, [None], None)
    assert detector(EMPTY) is None and detector(EMPTY, return_prob=True) == (None, None)
    assert of_all(EMPTY, return_prob=True) == (None, [None])
    boxes, scores, landmarks = detector.detect([EMPTY, COLLINS.pixels], landmarks=True)
    assert boxes[0] is None and scores[0] == [None] and landmarks[0] is None and boxes[1].shape == (1, 4)
    found, scores = detector([EMPTY, COLLINS.pixels], return_prob=True)
    assert found[0] is None and found[1].shape == (3, 160, 160) and scores[1].shape == (1,)


@pytest.mark.parametrize("images", [np.stack([BOTH] * 2), [BOTH, COLLINS.pixels], (PIL.Image.fromarray(BOTH),)])
def test_several_images_are_each_as_one(of_all, images):
    batch = of_all.detect(images, landmarks=True)
    assert all(column.shape == (len(images),) and column.dtype == object for column in batch)
    for i, image in enumerate(images):
        for column, wanted in zip(batch, of_all.detect(image, landmarks=True), strict=True):
            np.testing.assert_allclose(column[i], wanted, atol=1e-3)  # images of one size are computed together
    for found, image in zip(of_all(images), images, strict=True):
        np.testing.assert_array_equal(found, of_all(image))


def test_a_face_is_standardised_pixels_with_channels_first(detector):
    face, score = detector(COLLINS.pixels, return_prob=True)
    assert face.shape == (3, 160, 160) and face.dtype == np.float32 and np.ndim(score) == 0 and score > 0.9
    raw = build(post_process=False)(COLLINS.pixels)
    assert raw.min() >= 0 and 200 < raw.max() <= 255
    np.testing.assert_allclose(face, (raw - 127.5) / 128, atol=1e-6)
    left, top, right, bottom = detector.detect(COLLINS.pixels)[0][0].astype(int)
    np.testing.assert_allclose(raw.mean(axis=(1, 2)), COLLINS.pixels[top:bottom, left:right].mean(axis=(0, 1)), atol=2)


def test_all_faces_or_the_selected_one(detector, of_all):
    found, scores = of_all(BOTH, return_prob=True)
    assert found.shape == (2, 3, 64, 64) and scores.shape == (2,)
    largest = build(image_size=64, post_process=False)(BOTH)
    best = build(image_size=64, post_process=False, select_largest=False)(BOTH)
    np.testing.assert_array_equal(best, found[0])
    boxes = of_all.detect(BOTH)[0]
    np.testing.assert_array_equal(largest, found[np.argmax(boxes[:, 2] - boxes[:, 0])])


@pytest.mark.parametrize(
    ("method", "wanted"),
    [("probability", 0), ("largest", 1), ("largest_over_threshold", 2), ("center_weighted_size", 3)],
)
def test_each_method_selects_its_face(detector, method, wanted):
    boxes = np.float32([[0, 0, 9, 9], [0, 0, 40, 40], [60, 60, 90, 90], [40, 40, 60, 60]])
    scores = np.float32([0.99, 0.6, 0.95, 0.8])
    landmarks = np.arange(40, dtype=np.float32).reshape(4, 5, 2)
    image = np.zeros((100, 100, 3), np.uint8)
    found = detector.select_boxes(boxes, scores, landmarks, image, method=method)
    np.testing.assert_array_equal(found[0], boxes[[wanted]])
    assert found[1] == scores[wanted]
    np.testing.assert_array_equal(found[2], landmarks[[wanted]])
    batch = detector.select_boxes([boxes, None], [scores, [None]], [landmarks, None], [image] * 2, method=method)
    np.testing.assert_array_equal(batch[0][0], boxes[[wanted]])
    assert batch[0][1] is None and batch[1][1] == [None] and batch[2][1] is None
    if method == "largest_over_threshold":
        assert detector.select_boxes(boxes, scores, landmarks, image, method, threshold=1) == (None, None, None)


def test_a_margin_is_counted_in_pixels_of_the_result():
    wide = facenet_pytorch.extract_face(BOTH, [100, 100, 180, 260], image_size=100)
    narrow = facenet_pytorch.extract_face(BOTH, [108, 116, 172, 244], image_size=100, margin=20)
    np.testing.assert_array_equal(wide, narrow)
    at_edge = facenet_pytorch.extract_face(BOTH, [-5, 0, 80, 80], image_size=80, margin=10)
    np.testing.assert_array_equal(at_edge, facenet_pytorch.extract_face(BOTH, [0, 0, 86, 85], image_size=80))
    with pytest.raises(ValueError, match="margin must be smaller than image_size, 80, got 80"):
        facenet_pytorch.extract_face(BOTH, [0, 0, 9, 9], image_size=80, margin=80)
    with pytest.raises(ValueError, match="a box that holds pixels of the image"):
        facenet_pytorch.extract_face(BOTH, [-9, 0, -2, 9])


def test_faces_are_written_where_they_are_wanted(of_all, tmp_path):
    path = str(tmp_path / "new" / "face.png")
    found = of_all(BOTH, save_path=path)
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == ["face.png", "face_2.png"]
    np.testing.assert_array_equal(image_files.read(path).transpose(2, 0, 1), found[0])
    build(image_size=64)([COLLINS.pixels, EMPTY], save_path=[str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    assert (tmp_path / "a.png").is_file() and not (tmp_path / "b.png").exists()
    with pytest.raises(ValueError, match="expected a save_path for each of 2 images"):
        of_all([BOTH, BOTH], save_path=path)


class Tensor:
    """As much of a tensor of torch as is needed."""

    def __init__(self, array):
        self.array = array
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, f"torch.{array.dtype}"

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __iter__(self):
        return map(Tensor, self.array)


def test_with_torch_faces_are_tensors(detector, of_all, monkeypatch):
    wanted = detector(COLLINS.pixels)
    assert isinstance(wanted, np.ndarray)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(from_numpy=Tensor))
    for image in (COLLINS.pixels, Tensor(COLLINS.pixels), Tensor(COLLINS.pixels.astype(np.float32))):
        face = detector(image)
        assert isinstance(face, Tensor) and face.array.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(face, wanted)
    several = of_all(Tensor(np.stack([BOTH] * 2)))
    assert [type(each) for each in several] == [Tensor] * 2 and several[0].shape == (2, 3, 64, 64)
    assert isinstance(facenet_pytorch.extract_face(BOTH, [0, 0, 9, 9]), Tensor)
    assert isinstance(detector.detect(BOTH)[0], np.ndarray)


def test_thresholds_and_scales_reach_the_networks():
    for thresholds in ([1, 0.4, 0.4], [0.4, 1, 0.4], [0.4, 0.4, 1]):
        assert build(thresholds=thresholds, factor=0.75).detect(COLLINS.pixels)[0] is None
    assert build(min_face_size=400).detect(COLLINS.pixels)[0] is None


def test_what_has_no_meaning_is_named_in_one_sentence():
    with pytest.warns(
        UserWarning, match="^these arguments change nothing .*: device, thresholds of P-Net.*factor"
    ) as w:
        detector = facenet_pytorch.MTCNN(thresholds=[1, 1, 0.5], factor=0.7, device="cuda:0")
    assert len(w) == 1 and w[0].filename == __file__
    np.testing.assert_array_equal(
        detector.detect(COLLINS.pixels)[0],
        facenet_pytorch.MTCNN().detect(COLLINS.pixels)[0],
    )


def test_a_derived_class_may_override_forward():
    class Boxes(facenet_pytorch.MTCNN):
        def forward(self, img, save_path=None, return_prob=False):
            return self.detect(img)[0]

    detector = Boxes(model="classic").eval().to("cpu")
    assert detector(COLLINS.pixels).shape == (1, 4)


def test_wrong_arguments_are_refused(detector):
    with pytest.raises(ValueError, match="selection_method must be one of probability, largest"):
        build(selection_method="smallest")
    with pytest.raises(ValueError, match="thresholds must be 3 numbers"):
        build(thresholds=[0.5, 0.5])
    with pytest.raises(ValueError, match="^expected an image"):
        detector.detect(None)
