import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageOps

from mtcnn_tf import faces
from mtcnn_tf.datasets import sizes
from mtcnn_tf.images import image_files

BOX = (30, 20, 70, 60)
"""Where the drawn face lies in the upright image of 120 × 80 pixels."""
POINTS = np.float32([[40, 34], [60, 34], [50, 42], [43, 50], [57, 50]])
STORED_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def upright(size=(120, 80)):
    """A bright face on black, with marks of a grey of their own for the points."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    for number, (x, y) in enumerate(POINTS.astype(int)):
        pixels[y - 1 : y + 1, x - 1 : x + 1] = 40 * (number + 1)
    return Image.fromarray(pixels)


def write(path, orientation, size=(120, 80)):
    """A file that is shown upright; its pixels as they are stored."""
    image = upright(size)
    stored = image.transpose(STORED_BY[orientation]) if orientation in STORED_BY else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif)
    assert np.array_equal(ImageOps.exif_transpose(Image.open(path)), image)
    return np.asarray(stored)[..., 0]


def drawn(path, pixels):
    """What somebody writes down who sees these pixels."""
    rows, columns = np.nonzero(pixels)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    points = [np.mean(np.argwhere(pixels == 40 * (number + 1)), axis=0)[::-1] + 0.5 for number in range(5)]
    size = (pixels.shape[1], pixels.shape[0])
    return faces.Annotation(str(path), [box], [points], ignored=[box], is_complete=True, size=size)


def fit(annotation, **options):
    height, width = image_files.read(annotation.image_path).shape[:2]
    return sizes.fit(annotation, width, height, **options)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_boxes_of_the_stored_pixels_are_turned_with_the_image(tmp_path, orientation, ending):
    stored = write(tmp_path / "a.png", orientation)
    path = tmp_path / f"b.{ending}"
    with Image.open(tmp_path / "a.png") as image:
        image.save(path, exif=image.getexif())
    fitted, problems = fit(drawn(path, stored))
    np.testing.assert_array_equal(fitted.boxes, [BOX])
    np.testing.assert_array_equal(fitted.ignored, [BOX])
    np.testing.assert_array_equal(fitted.landmarks, [POINTS])
    assert fitted.is_complete and [problem.what for problem in problems] == [sizes.TURNED]


@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
def test_boxes_of_the_upright_image_stay(tmp_path, orientation):
    write(tmp_path / "a.png", orientation)
    annotation = drawn(tmp_path / "a.png", np.asarray(upright())[..., 0])
    fitted, problems = fit(annotation)
    np.testing.assert_array_equal(fitted.boxes, annotation.boxes)
    np.testing.assert_array_equal(fitted.landmarks, annotation.landmarks)
    assert not problems


@pytest.mark.parametrize(
    ("orientation", "size"), [(2, (120, 80)), (3, (120, 80)), (4, (120, 80)), (6, (90, 90)), (5, (90, 90))]
)
def test_where_the_size_tells_nothing_the_image_is_left_out(tmp_path, orientation, size):
    stored = write(tmp_path / "a.png", orientation, size)
    annotation = drawn(tmp_path / "a.png", stored)
    fitted, problems = fit(annotation)
    assert fitted is None and [problem.what for problem in problems] == [sizes.UNCLEAR]
    assert fit(dataclasses.replace(annotation, size=None))[0].boxes.tolist() == annotation.boxes.tolist()


def test_another_size_of_the_same_proportions_is_scaled_where_that_is_allowed(tmp_path):
    write(tmp_path / "a.png", 1)
    annotation = faces.Annotation(str(tmp_path / "a.png"), [[60, 40, 140, 120]], [POINTS * 2], size=(241, 160))
    fitted, problems = fit(annotation)
    assert fitted is None and problems[0].what == sizes.OTHER_SIZE
    assert "241×160 stated, 120×80 here; --scale_boxes" in problems[0].detail
    fitted, problems = fit(annotation, scale_boxes=True)
    assert not problems
    np.testing.assert_allclose(fitted.boxes, [BOX], atol=0.3)
    np.testing.assert_allclose(fitted.landmarks, [POINTS], atol=0.3)


def test_boxes_may_have_to_be_turned_and_scaled(tmp_path):
    stored = write(tmp_path / "a.png", 6)
    annotation = drawn(tmp_path / "a.png", np.repeat(np.repeat(stored, 2, axis=0), 2, axis=1))
    assert fit(annotation)[0] is None
    fitted, problems = fit(annotation, scale_boxes=True)
    np.testing.assert_array_equal(fitted.boxes, [BOX])
    assert [problem.what for problem in problems] == [sizes.TURNED]


@pytest.mark.parametrize("stated", [(80, 120), (120, 90), (100, 100)])
def test_other_proportions_are_left_out(tmp_path, stated):
    write(tmp_path / "a.png", 1)
    fitted, problems = fit(faces.Annotation(str(tmp_path / "a.png"), [BOX], size=stated), scale_boxes=True)
    assert fitted is None and [problem.what for problem in problems] == [sizes.OTHER_SIZE]


def test_a_pixel_more_or_less_is_how_some_round_and_without_faces_nothing_is_compared(tmp_path):
    write(tmp_path / "a.png", 1)
    fitted, problems = fit(faces.Annotation(str(tmp_path / "a.png"), [BOX], size=(121, 80)))
    assert not problems and np.abs(fitted.boxes - [BOX]).max() < 1
    assert fit(faces.Annotation(str(tmp_path / "a.png"), size=(7, 7)))[0].is_complete


def test_annotations_of_many_images_are_compared_by_their_headers(tmp_path):
    raw = [drawn(tmp_path / f"{number}.png", write(tmp_path / f"{number}.png", number)) for number in (1, 3, 6)]
    missing = faces.Annotation(str(tmp_path / "missing.png"), [BOX], size=(5, 5))
    fitted, problems = sizes.fit_all([*raw, missing])
    assert [annotation.boxes.tolist() for annotation in fitted] == [[list(BOX)]] * 3
    assert [problem.what for problem in problems] == [sizes.UNCLEAR, sizes.TURNED]
