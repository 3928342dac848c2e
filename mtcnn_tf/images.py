"""Pictures as RGB arrays. OpenCV's BGR is turned round here and nowhere else."""

import os

import cv2
import numpy as np


def read(path: str | os.PathLike) -> np.ndarray:
    """The picture at `path` as RGB pixels, uint8 [H, W, 3].

    Grey and CMYK pictures become RGB, 16 bits become 8, an alpha channel is dropped, EXIF orientation is respected.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a whole picture in a format that OpenCV reads.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"expected a picture at {os.fspath(path)!r}, found no file; check the path")
    with open(path, "rb") as file:
        return decode(file.read(), os.fspath(path))


def decode(encoded: bytes, name: str = "bytes") -> np.ndarray:
    """The encoded picture (JPEG, PNG, …) as RGB pixels, uint8 [H, W, 3]; see `read`.

    Args:
        encoded: The contents of a picture file.
        name: What an error calls it.
    """
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # an empty file, or more pixels than OpenCV takes
        image = None
    if image is None:
        raise ValueError(f"expected a whole JPEG, PNG or other picture, got an unreadable one: {name!r}; replace it")
    return image


def write(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes RGB pixels uint8 [H, W, 3] to `path`; its ending names the format. The file appears whole or not at all.

    Raises:
        ValueError: OpenCV cannot write this format.
        OSError: The file could not be written.
    """
    ending = os.path.splitext(path)[1]
    try:
        encoded = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    except cv2.error as error:
        raise ValueError(f"expected a file name that ends in .jpg or .png, got {os.fspath(path)!r}") from error
    partial = f"{os.fspath(path)}.{os.getpid()}.part"
    with open(partial, "wb") as file:
        file.write(encoded.tobytes())
    os.replace(partial, path)
