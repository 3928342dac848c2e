"""What the classes of both libraries share: images, thresholds and arguments in their words, told to a `Detector`."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mtcnn_tf.images import image_files

if TYPE_CHECKING:  # importing it loads TensorFlow
    from mtcnn_tf.detection import detector


def as_pixels(image: Any) -> np.ndarray:
    """RGB pixels, uint8 [H, W, 3], of an image as the two libraries take it.

    Whole numbers, and floats of which one is above 1, are colours in 0–255. A Pillow image stays as its pixels lie,
    whatever its EXIF orientation says, for so its owner will cut it. All else is as in `image_files.as_rgb`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image.
    """
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if hasattr(image, "dtype"):
        array = np.asarray(image)
        if array.size and (array.dtype.kind == "i" or (array.dtype.kind == "f" and array.max() > 1)):
            image = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    return image_files.as_rgb(image)


def thresholds(find_faces: "detector.Detector", wanted: Mapping[str, float]) -> tuple[float, ...]:
    """A score for each network of the detector: the one that is wanted of its stage, or the one chosen for it.

    Args:
        find_faces: The detector.
        wanted: Scores in 0–1 by the stages' names; those of stages that the detector lacks are left out.
    """
    chosen = zip(find_faces.stages, find_faces.thresholds, strict=True)
    return tuple(wanted.get(stage, threshold) for stage, threshold in chosen)


def warn(names: Sequence[str]) -> None:
    """Warns the caller's caller in one sentence of arguments that were given and change nothing; of none not at all."""
    if names:
        warnings.warn(
            f"these arguments change nothing in mtcnn_tf: {', '.join(names)}; docs/coming_from.md says why",
            stacklevel=3,
        )
