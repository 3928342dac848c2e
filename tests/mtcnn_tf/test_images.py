import io

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mtcnn_tf import images


@pytest.fixture
def photo():
    """A smooth picture, so that compression changes little: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, 90), np.linspace(0, 255, 60))
    return np.stack([x, y, np.full_like(x, 40)], axis=-1).astype(np.uint8)


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_rgb_comes_back_as_rgb(photo, file_format):
    decoded = images.decode(encoded(Image.fromarray(photo), file_format))
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - photo).mean() < 4


def test_grey_cmyk_and_alpha_become_rgb(photo):
    picture = Image.fromarray(photo)
    grey = images.decode(encoded(picture.convert("L"), "JPEG"))
    assert grey.shape == photo.shape and (grey[..., 0] == grey[..., 2]).all()
    cmyk = images.decode(encoded(picture.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(cmyk.astype(int) - photo).mean() < 6
    transparent = np.dstack([photo, np.zeros(photo.shape[:2], np.uint8)])
    np.testing.assert_array_equal(images.decode(encoded(Image.fromarray(transparent), "PNG")), photo)


def test_sixteen_bits_become_eight(photo):
    sixteen = cv2.imencode(".png", photo[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_allclose(images.decode(sixteen), photo, atol=1)


def test_exif_orientation_is_respected(photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise to look at it
    turned = images.decode(encoded(Image.fromarray(photo), "JPEG", exif=exif, quality=95))
    assert np.abs(turned.astype(int) - np.rot90(photo, -1)).mean() < 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.95])
def test_truncated_pictures_are_refused(photo, file_format, share):
    noisy = np.random.default_rng(0).integers(0, 256, photo.shape, dtype=np.uint8)
    whole = encoded(Image.fromarray(noisy), file_format)
    with pytest.raises(ValueError, match="cut.jpg"):
        images.decode(whole[: int(len(whole) * share)], "cut.jpg")


def test_files(photo, tmp_path):
    path = tmp_path / "photo with späces.png"
    images.write(path, photo)
    np.testing.assert_array_equal(images.read(path), photo)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(FileNotFoundError, match="nothing.jpg"):
        images.read(tmp_path / "nothing.jpg")
    with pytest.raises(ValueError, match="photo.txt"):
        images.write(tmp_path / "photo.txt", photo)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ValueError, match="text.jpg"):
        images.read(tmp_path / "text.jpg")


def test_arrays_of_many_sorts_are_the_same_picture():
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    for same in (
        image,
        tf.constant(image),
        np.concatenate([image, image[..., :1]], axis=2),
        image.astype(np.uint16) * 257,
        image.astype(">u2") * 257,
        image / 255,
        (image / 255).astype(np.float32),
        image[:, ::-1][:, ::-1],
    ):
        np.testing.assert_array_equal(images.as_rgb(same), image)
    for same in (image[..., ::-1], np.concatenate([image[..., ::-1], image[..., :1]], axis=2)):
        np.testing.assert_array_equal(images.as_rgb(same, color="bgr"), image)
    grey = image[..., 0]
    for same in (grey, grey[..., None]):
        np.testing.assert_array_equal(images.as_rgb(same), np.stack([grey] * 3, axis=2))
    assert images.as_rgb(np.array([[0, 128, 129, 65535]], np.uint16))[0, :, 0].tolist() == [0, 0, 1, 255]


def test_files_bytes_and_pillow_pictures_are_the_same_picture(photo, tmp_path):
    path = tmp_path / "photo.png"
    images.write(path, photo)
    contents = path.read_bytes()
    picture = Image.fromarray(photo)
    for same in (str(path), path, contents, bytearray(contents), memoryview(contents), picture, Image.open(path)):
        for color in images.COLORS:  # is asked of arrays alone
            np.testing.assert_array_equal(images.as_rgb(same, color), photo)
    transparent = picture.copy()
    transparent.putalpha(0)
    np.testing.assert_array_equal(images.as_rgb(transparent), photo)
    np.testing.assert_array_equal(images.as_rgb(picture.convert("P")), np.array(picture.convert("P").convert("RGB")))
    np.testing.assert_array_equal(images.as_rgb(picture.convert("L"))[..., 1], np.array(picture.convert("L")))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_of_pillow_are_not_cut_off(mode):
    deep = np.array([[0, 257, 65535]], "<u2" if mode == "I;16" else ">u2")
    picture = Image.frombytes(mode, (3, 1), deep.tobytes())
    assert images.as_rgb(picture)[0, :, 0].tolist() == [0, 1, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_respected_by_files_and_pillow(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    contents = encoded(Image.fromarray(photo), "JPEG", exif=exif, quality=95)
    upright = {1: photo, 2: photo[:, ::-1], 3: np.rot90(photo, 2), 4: photo[::-1]}
    upright |= {5: photo.transpose(1, 0, 2), 6: np.rot90(photo, -1)}
    upright |= {7: np.rot90(photo, 2).transpose(1, 0, 2), 8: np.rot90(photo)}
    for same in (contents, Image.open(io.BytesIO(contents))):
        assert np.abs(images.as_rgb(same).astype(int) - upright[orientation]).mean() < 4


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), "at least one pixel"),
        (np.zeros((5, 5, 2), np.uint8), r"got \(5, 5, 2\)"),
        (np.zeros((1, 5, 5, 3), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((5, 5, 3), np.int64), "got int64"),
        (np.full((5, 5, 3), 255.0), "0–1"),
        (np.full((5, 5, 3), np.nan), "0–1"),
        (None, r"got \(\)"),
        (b"", "whole JPEG"),
        (b"no picture", "whole JPEG"),
        (Image.new("RGB", (0, 5)), "at least one pixel"),
        (Image.new("F", (5, 5), 255), "0–1"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        images.as_rgb(image)


def test_a_truncated_file_in_pillow_is_refused(photo):
    contents = encoded(Image.fromarray(photo), "PNG")
    with pytest.raises(ValueError, match="whole picture"):
        images.as_rgb(Image.open(io.BytesIO(contents[: len(contents) // 2])))
