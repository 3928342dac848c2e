"""What a server decodes, and what it leaves alone."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mtcnn_tf.images import graph_decoding
from tests import mutations

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (77, 300, 3), dtype=np.uint8))
EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0"
FORMATS = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "exif": EXIF}),
    ("PNG", {}),
    ("BMP", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"exif": EXIF}),  # the extended format
]


@pytest.fixture(scope="module")
def decode():
    @tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)], autograph=False)
    def decode(encoded, max_pixels):
        return graph_decoding.decode(encoded, max_pixels)

    return lambda encoded, max_pixels=10**6: [values.numpy() for values in decode(encoded, max_pixels)]


@pytest.mark.parametrize(("file_format", "options"), FORMATS)
def test_headers_tell_the_size(file_format, options, decode):
    encoded = mutations.encoded(IMAGE, file_format, **options)
    assert graph_decoding.num_pixels(encoded) == 300 * 77
    image, is_unreadable = decode(encoded, 300 * 77)
    assert image.shape == (77, 300, 3) and not is_unreadable
    if file_format in ("PNG", "BMP") or options.get("lossless"):
        np.testing.assert_array_equal(image, IMAGE)
    image, is_unreadable = decode(encoded, 300 * 77 - 1)
    assert image.shape == (1, 1, 3) and is_unreadable and not image.any()


def test_of_a_bomb_nothing_but_the_header_is_read():
    """Most pixels that a header can claim; decoding would fail otherwise, or take gigabytes."""
    png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + b"\x7f\xff\xff\xff" * 2
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6
    lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\xff\xff\xff\x0f"
    plain = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\xff\xff\xff\xff"
    bmp = b"BM" + bytes(16) + b"\xff\xff\xff\x7f" + b"\x01\0\0\x80"
    expected = {png: (2**31 - 1) ** 2, extended: 2**48, lossless: 2**28, plain: (2**14 - 1) ** 2}
    for header, num_pixels in (expected | {bmp: (2**31 - 1) ** 2}).items():
        assert graph_decoding.num_pixels(header) == num_pixels


@pytest.mark.parametrize("encoded", [b"", b"B", b"BM", b"no image", b"RIFF", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_said_to_be_unreadable(encoded, decode):
    image, is_unreadable = decode(encoded)
    assert image.shape == (1, 1, 3) and is_unreadable


def test_gifs_and_animations_are_not_taken(decode):
    assert decode(mutations.encoded(IMAGE, "GIF"))[1]
    assert decode(mutations.encoded(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(180)]))[1]
    animated_png = mutations.encoded(IMAGE, "PNG", save_all=True, append_images=[IMAGE.rotate(180)])
    np.testing.assert_array_equal(decode(animated_png)[0], IMAGE)  # to the decoder it is its first frame
