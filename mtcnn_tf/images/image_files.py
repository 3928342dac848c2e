"""Images as RGB arrays. Here and in `videos` alone OpenCV's BGR is turned round."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Sequence
from typing import IO, Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from mtcnn_tf import arguments, files

HeifImageFile: type[Image.Image] | None = None
with contextlib.suppress(ImportError):  # an extra: pip install mtcnn_tf[heif]
    import pillow_heif

    HeifImageFile = pillow_heif.HeifImageFile

Encoded = bytes | bytearray | memoryview
ImageLike = str | os.PathLike | Encoded | IO[bytes] | Image.Image | npt.ArrayLike
"""Whatever an image may come as; see `as_rgb`."""

MAX_PIXELS = 2**28 // 3
"""A file of more pixels (89 million, 256 MB as RGB) is not decoded unless more are allowed: a few kilobytes may hold
any number. Pillow draws the line there, too."""

_HEADERS: tuple[Callable[[IO[bytes]], Image.Image], ...] = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
    BmpImagePlugin.BmpImageFile,
    TiffImagePlugin.TiffImageFile,
    PpmImagePlugin.PpmImageFile,
    AvifImagePlugin.AvifImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    *filter(None, [HeifImageFile]),
)
"""What reads a header without decoding. Other formats that OpenCV knows are not taken, for nobody looks at theirs."""
_BY_PILLOW: tuple[type[Image.Image], ...] = (AvifImagePlugin.AvifImageFile, *filter(None, [HeifImageFile]))
"""Formats with an orientation of their own, beside EXIF's, that OpenCV passes over, or which it can't read."""
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
NEEDS_HEIF = "HEIC is read where pillow-heif is installed (pip install pillow-heif)"

COLORS = ("rgb", "bgr")
"""Orders that an array's channels may come in; the second is OpenCV's."""


def as_rgb(image: ImageLike, color: str = "rgb", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The image as RGB pixels, uint8 [H, W, 3], whatever it comes as.

    Args:
        image: One of

            * an array or tensor: [H, W, 3], grey [H, W] or [H, W, 1], or with alpha [H, W, 4]; uint8, uint16, or float
              in 0–1;
            * the path of an image file, the bytes of one, or one that is open for reading bytes, see `read`;
            * a Pillow image.

            Alpha is dropped. EXIF orientation is respected where there is one: in files, bytes and Pillow images.
        color: Order of an array's channels, "rgb" or "bgr" (OpenCV). All others know their own.
        max_pixels: A file of more is not decoded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, or has no pixels.
    """
    arguments.choice("color", color, COLORS)
    if isinstance(image, str | os.PathLike):
        return read(image, max_pixels)
    if isinstance(image, io.IOBase) or hasattr(image, "read"):
        image = _contents(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(image, max_pixels=max_pixels)
    if isinstance(image, Image.Image):
        image, color = _pixels(image), "rgb"
    pixels = _as_array(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or pixels.size == 0:
        raise ValueError(f"expected an image [H, W, 3] (or grey, or RGBA) with at least one pixel, got {pixels.shape}")
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    return _as_uint8(pixels if color == "rgb" else pixels[..., ::-1])


def _contents(file: Any) -> bytes:
    """What is left to read of an open file."""
    contents = file.read()
    if not isinstance(contents, bytes):
        raise ValueError(
            f"expected an image file opened for bytes, such as open(path, 'rb'), got {type(contents).__name__} of it"
        )
    return contents


def _as_array(image: npt.ArrayLike) -> np.ndarray:
    try:
        return np.asarray(image)
    except Exception as error:  # rows of different lengths, tensors without values: each raises something else
        raise ValueError(
            f"expected an image, an array [H, W, 3], a path, bytes or Pillow's, got {arguments.shown(image)}"
        ) from error


def _pixels(image: Image.Image) -> np.ndarray:
    """A Pillow image, turned upright, as an array that `as_rgb` takes."""
    try:
        image = ImageOps.exif_transpose(image)
        # Pillow would cut these down to 8 bits by leaving out what is above 255.
        is_deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
        return np.asarray(image if is_deep else image.convert("RGB"))
    except Exception as error:  # pixels are decoded only now, and damaged ones may raise anything
        raise ValueError(f"expected a whole image, got an unreadable one from Pillow ({error}); replace it") from error


def _as_uint8(image: np.ndarray) -> np.ndarray:
    """Pixels of uint8, uint16 or float in 0–1 as uint8."""
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:  # of either byte order
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f"expected a float image in 0–1, got {image.min()} to {image.max()}; cast pixels in 0–255 to uint8"
            )
        return np.round(image * 255).astype(np.uint8)
    raise ValueError(f"expected an image of uint8, uint16 or float in 0–1, got {image.dtype}; cast it")


def read(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The image at `path` as RGB pixels, uint8 [H, W, 3].

    Grey and CMYK images become RGB, 16 bits become 8, an alpha channel is dropped, EXIF orientation is respected. Of
    an animation it is the first frame.

    Args:
        path: A file in JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF, JPEG 2000, or HEIC where pillow-heif is installed;
            or the address of one, see `files`.
        max_pixels: An image of more is not decoded.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a whole image in one of these formats, or a larger one.
    """
    return decode(read_bytes(path), os.fspath(path), max_pixels)


def read_bytes(path: str | os.PathLike) -> bytes:
    """The contents of the image file at `path`; see `read` for what is raised."""
    name = os.fspath(path)
    if re.match("https?://", name):
        raise ValueError(f"expected an image's path, got the address {name[:200]!r}; fetch it and give its bytes")
    if not files.is_file(path):
        if name.startswith("data:") or (len(name) > 200 and re.fullmatch(r"[\w+/=\s-]*", name)):
            raise ValueError(
                f"expected an image's path, got what looks like Base64, {name[:20]!r}… of {len(name):,} letters; "
                "give base64.b64decode of it"
            )
        raise FileNotFoundError(f"expected an image at {arguments.shown_path(name)}, found no file; check the path")
    with files.open(path) as file:
        return file.read()


def decode(encoded: Encoded, name: str = "bytes", max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The encoded image (JPEG, PNG, …) as RGB pixels, uint8 [H, W, 3]; see `read`.

    Args:
        encoded: The contents of an image file.
        name: What an error calls it.
        max_pixels: An image of more is not decoded.
    """
    image, header = None, _header(encoded)
    if header is not None:
        width, height = header.size
        if width * height > max_pixels:
            raise ValueError(
                f"expected an image of at most {max_pixels:,} pixels, got {width:,} × {height:,}: {name!r}; "
                "make it smaller, or read it with a higher max_pixels"
            )
        with contextlib.suppress(cv2.error, ValueError):
            image = _pixels(header) if isinstance(header, _BY_PILLOW) else _by_opencv(encoded)
    if image is None or image.ndim != 3:  # OpenCV reads a grey PFM as a map of numbers whatever it is asked for
        is_heif = HeifImageFile is None and encoded[4:8] == b"ftyp" and bytes(encoded[8:12]) in _HEIF_BRANDS
        to_do = NEEDS_HEIF if is_heif else "replace it"
        raise ValueError(f"expected a whole JPEG, PNG or other image, got an unreadable one: {name!r}; {to_do}")
    return image


def is_plain(encoded: bytes) -> bool:
    """Whether this is a JPEG or PNG, grey or RGB, that stands upright: every decoder takes it alike."""
    header = _header(encoded)
    if header is None or header.format not in ("JPEG", "PNG") or header.mode not in ("L", "RGB"):
        return False
    with contextlib.suppress(Exception):  # what a damaged file raises may be anything
        return header.getexif().get(ExifTags.Base.Orientation, 1) == 1
    return False


def size(path: str | os.PathLike) -> tuple[int, int] | None:
    """Width and height that the image at `path` has in `read`, from its header; None where that can't be read."""
    found, orientation = _stored(path)
    return found[::-1] if found and orientation >= 5 else found


def orientation(path: str | os.PathLike) -> int:
    """EXIF orientation of the image at `path`, from 1 (stored upright) to 8, of which 5 to 8 exchange the sides."""
    return _stored(path)[1]


def _stored(path: str | os.PathLike) -> tuple[tuple[int, int] | None, int]:
    """Size as stored, None where it can't be read, and EXIF orientation, 1 where there is none."""
    with files.open(path) as file:
        for header in _HEADERS:
            with contextlib.suppress(Exception):  # of another format, or damaged: then it may raise anything
                file.seek(0)
                image = header(file)
                tag = image.getexif().get(ExifTags.Base.Orientation, 1)
                return image.size, tag if tag in range(1, 9) else 1
    return None, 1


def _by_opencv(encoded: Encoded) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)


def _header(encoded: Encoded) -> Image.Image | None:
    """An image file of which the header alone has been read, None where it can't be."""
    for kind in _HEADERS:
        with contextlib.suppress(Exception):  # of another format, or damaged: then it may raise anything
            header = kind(io.BytesIO(encoded))
            return header if kind is not PngImagePlugin.PngImageFile or _has_whole_chunks(encoded) else None
    return None


def _has_whole_chunks(png: Encoded) -> bool:
    """Whether every chunk of a PNG lies within the file: OpenCV makes room for what its length says, up to 4 GB."""
    start, end = len(b"\x89PNG\r\n\x1a\n"), b""
    while end != b"IEND" and start < len(png):
        end = bytes(png[start + 4 : start + 8])
        start += 12 + int.from_bytes(png[start : start + 4], "big")  # length and type before it, checksum after it
    return end == b"IEND" and start <= len(png)


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """RGB pixels uint8 [H, W, 3] as the bytes of a JPEG file.

    Raises:
        ValueError: They can't be encoded: a side is longer than 65,500 pixels.
    """
    encoded = None
    with contextlib.suppress(cv2.error):
        encoded = _encoded(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if encoded is None:
        raise ValueError(f"expected an image of at most 65,500 pixels a side for a JPEG, got {image.shape}; shrink it")
    return encoded


def shrink(image: np.ndarray, longest_side: int | None) -> np.ndarray:
    """The image, uint8 [H, W, 3], so small that its longer side is at most `longest_side`; None leaves it as it is.

    Its proportions stay but for rounding; each pixel is the mean of those that it stands for.
    """
    scale = 1 if longest_side is None else longest_side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _encoded(ending: str, image: np.ndarray, options: Sequence[int] = ()) -> bytes | None:
    """RGB pixels in the format of a file name's ending; None where it can't hold them.

    Raises:
        cv2.error: There is no such format.
    """
    is_encoded, encoded = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes() if is_encoded else None


def write(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes RGB pixels uint8 [H, W, 3] to `path`; its ending names the format. The file appears whole or not at all.

    Raises:
        ValueError: OpenCV cannot write this format, or it can't hold an image as large.
        OSError: The file could not be written.
    """
    try:
        encoded = _encoded(os.path.splitext(path)[1], image)
    except cv2.error as error:
        raise ValueError(f"expected a file name that ends in .jpg or .png, got {os.fspath(path)!r}") from error
    if encoded is None:
        raise ValueError(f"expected an image that {os.fspath(path)!r} can hold, got one of {image.shape}; shrink it")
    with files.atomic_write(path) as partial:
        partial.write_bytes(encoded)
