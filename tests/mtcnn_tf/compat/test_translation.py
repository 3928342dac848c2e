"""Images in the words of other libraries."""

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from mtcnn_tf.compat import translation

PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


@pytest.mark.parametrize(
    "image",
    [
        *(PIXELS, PIXELS.astype(np.int64), PIXELS.astype(np.float32), PIXELS - 0.4),
        *(PIXELS / np.float32(255), PIL.Image.fromarray(PIXELS)),
    ],
)
def test_numbers_are_colours_in_0_to_255(image):
    pixels = translation.as_pixels(image)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, PIXELS)


def test_what_exceeds_a_colour_is_cut():
    assert translation.as_pixels(PIXELS * 10.0 - 9).max() == 255
    with pytest.raises(ValueError, match="float image in 0–1"):
        translation.as_pixels(np.where(PIXELS == 7, np.nan, PIXELS))


def test_a_pillow_image_stays_as_its_pixels_lie():
    image = PIL.Image.fromarray(PIXELS)
    image.getexif()[0x0112] = 6  # to be rotated by a quarter
    np.testing.assert_array_equal(translation.as_pixels(image), PIXELS)


def test_importing_is_light():
    program = (
        "import sys, mtcnn_tf.compat.mtcnn, mtcnn_tf.compat.facenet_pytorch; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
