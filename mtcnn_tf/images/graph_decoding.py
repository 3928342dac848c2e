"""Image files decoded by TensorFlow's operations alone: what a server does, which has no Python.

A damaged file fails the operation that decodes it, and with it everything that is asked for in the same call. Only a
`tf.data.Dataset` can go on after an error.
"""

import tensorflow as tf

_HEADER_SIZE = 30
_UNKNOWN = tf.int64.max


def decode(encoded: tf.Tensor, max_pixels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """RGB pixels, uint8 [H, W, 3], of an image file, and whether there are none: then it is a single black pixel.

    There are none in a file that is damaged, is no JPEG, PNG, BMP or WebP, or has more pixels than allowed. Neither an
    animated WebP is taken nor any GIF, of which the header doesn't tell how large its frames are.

    Args:
        encoded: The file's contents, string [].
        max_pixels: An image of more is not decoded.
    """
    nothing = tf.data.Dataset.from_tensors((tf.zeros([1, 1, 3], tf.uint8), True))
    image = tf.data.Dataset.from_tensors(encoded)
    image = image.filter(lambda contents: num_pixels(contents) <= max_pixels).map(_pixels).ignore_errors()
    return image.concatenate(nothing).take(1).get_single_element()


def _pixels(encoded: tf.Tensor) -> tuple[tf.Tensor, bool]:
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3]), False


def num_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Width times height as the header of an image file says, int64 []; the largest number for other formats.

    A JPEG whose header is damaged fails the operation.
    """
    start = tf.strings.substr(encoded, 0, _HEADER_SIZE)
    header = tf.cast(tf.io.decode_raw(start, tf.uint8), tf.int64)
    header = tf.pad(header, [[0, _HEADER_SIZE - tf.size(header)]])

    def starts(text: bytes, at: int = 0):
        return tf.reduce_all(header[at : at + len(text)] == list(text))

    def number(at: int, size: int):  # least byte first
        return tf.reduce_sum(header[at : at + size] * [256**power for power in range(size)])

    def of_jpeg():
        return tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64))

    def of_png():
        width, height = (tf.reduce_sum(header[at : at + 4] * [2**24, 2**16, 2**8, 1]) for at in (16, 20))
        return width * height

    def of_bmp():  # rows run downwards where the height is negative
        height = number(22, 4)
        return number(18, 4) * tf.minimum(height, 2**32 - height)

    def of_webp():
        bits = number(21, 4)
        lossless = (1 + bits % 2**14) * (1 + bits // 2**14 % 2**14)
        plain = number(26, 2) % 2**14 * (number(28, 2) % 2**14)
        extended = (1 + number(24, 3)) * (1 + number(27, 3))
        sizes = [(starts(b"VP8 ", 12), plain), (starts(b"VP8L", 12), lossless), (starts(b"VP8X", 12), extended)]
        return tf.case([(is_it, lambda size=size: size) for is_it, size in sizes], lambda: _UNKNOWN)

    formats = {b"\xff\xd8\xff": of_jpeg, b"\x89PNG\r\n\x1a\n": of_png, b"BM": of_bmp, b"RIFF": of_webp}
    return tf.case([(starts(magic), size) for magic, size in formats.items()], lambda: tf.constant(_UNKNOWN))
