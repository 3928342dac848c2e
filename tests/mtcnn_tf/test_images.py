import io

import cv2
import numpy as np
import pytest
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
