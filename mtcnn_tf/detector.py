"""The detector: a picture in, `faces.Detections` out; how it is saved and loaded."""

import os

import numpy as np
import tensorflow as tf

from mtcnn_tf import cascade, faces, stages


class Detector:
    """Finds faces in pictures.

    One detector may be called from several threads at once.
    """

    def __init__(self, cascade_functions: tf.Module):
        """Holds the cascade, and by this its variables.

        Args:
            cascade_functions: A `cascade.Cascade`, or one that was saved and loaded again.
        """
        self._cascade = cascade_functions
        self.thresholds = tuple(float(threshold) for threshold in cascade_functions.thresholds.numpy())

    def __call__(
        self,
        image: np.ndarray | tf.Tensor,
        min_face_size: float = cascade.MIN_FACE_SIZE,
        thresholds: tuple[float, float, float] | None = None,
        scale_factor: float = cascade.SCALE_FACTOR,
        max_faces: int | None = None,
        until: str = "onet",
    ) -> faces.Detections:
        """The faces in a picture, best score first.

        Args:
            image: RGB, grey or RGBA (its alpha is dropped), [H, W, 3], [H, W], [H, W, 1] or [H, W, 4]; uint8, uint16, or
                float in 0–1.
            min_face_size: Side of the smallest face looked for, in pixels; see `cascade.Cascade`.
            thresholds: Scores in 0–1 that a box must exceed after each of the three networks; by default those that were
                calibrated for them.
            scale_factor: Ratio of neighbouring scales of the pyramid, in (0, 1).
            max_faces: At most that many.
            until: "pnet" or "rnet" stops there. Their boxes have no landmarks (NaN) and may reach out of the picture;
                those of "onet" are clipped to it.

        Raises:
            ValueError: An argument is not as described.
        """
        image = as_rgb(image)
        thresholds = _checked_thresholds(self.thresholds if thresholds is None else thresholds)
        if not 0 < min_face_size < np.inf:
            raise ValueError(f"min_face_size must be a number of pixels above 0, got {min_face_size}")
        if not 0 < scale_factor < 1:
            raise ValueError(f"scale_factor must lie between 0 and 1, got {scale_factor}")
        if max_faces is not None and max_faces < 0:
            raise ValueError(f"max_faces must be None or at least 0, got {max_faces}")
        if until not in stages.BY_NAME:
            raise ValueError(f"until must be one of {', '.join(stages.BY_NAME)}, got {until!r}")
        run = getattr(self._cascade, f"until_{until}")
        found = run(image, np.float32(min_face_size), thresholds, np.float32(scale_factor))
        found = {name: tensor.numpy()[:max_faces] for name, tensor in found.items()}
        landmarks = found.get("landmarks", faces.no_landmarks(len(found["scores"])))
        return faces.Detections(found["boxes"], found["scores"], landmarks)


def as_rgb(image: np.ndarray | tf.Tensor) -> np.ndarray:
    """The picture as RGB pixels, uint8 [H, W, 3]; see `Detector.__call__` for what it may be.

    Raises:
        ValueError: It is no picture, or has no pixels.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise ValueError(f"expected a picture [H, W, 3] (or grey, or RGBA) with at least one pixel, got {image.shape}")
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return ((image + 128.0) / 257).astype(np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(
                f"expected a float picture in 0–1, got {image.min()} to {image.max()}; cast pixels in 0–255 to uint8"
            )
        return np.round(image * 255).astype(np.uint8)
    raise ValueError(f"expected a picture of uint8, uint16 or float in 0–1, got {image.dtype}; cast it")


def _checked_thresholds(thresholds) -> np.ndarray:
    thresholds = np.asarray(thresholds, np.float32)
    if thresholds.shape != (3,) or not np.all((thresholds >= 0) & (thresholds <= 1)):
        raise ValueError(f"thresholds must be three numbers in 0–1, one for each network, got {thresholds.tolist()}")
    return thresholds


def from_workdir(workdir: str | os.PathLike, until: str = "onet", **kwargs) -> Detector:
    """The detector of the networks trained in `workdir`, up to and with stage `until`; see `cascade.Cascade`."""
    return Detector(cascade.Cascade.from_workdir(workdir, until, **kwargs))
