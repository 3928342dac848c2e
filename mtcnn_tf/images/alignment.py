"""Crops of the faces that were found, of one size, ready for whatever comes next: recognition, age, a contact sheet."""

import numpy as np

from mtcnn_tf import arguments, faces
from mtcnn_tf.geometry import boxes
from mtcnn_tf.images import array_crops, image_files

SIZE = 112
"""Side of the crops that face recognition networks commonly take."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the landmarks of an aligned face lie in a crop of 112 × 112 pixels, counted from the centre of the first pixel.

The points of ArcFace (Deng et al. 2019, arXiv 1801.07698), from `face_align.py` of the authors' InsightFace.
"""


def align(image: image_files.ImageLike, detections: faces.Detections, size: int = SIZE) -> np.ndarray:
    """The faces turned upright, with eyes, nose and mouth always at the same places: RGB, uint8 [N, size, size, 3].

    Each face is shifted, rotated and scaled, and by this alone, so that its landmarks come as near to `TEMPLATE` as
    they can. What lies outside of the image is black.

    Args:
        image: The image in which they were found; see `image_files.as_rgb`.
        detections: The faces, with all of their five landmarks.
        size: Side of the crops; the template grows with it.

    Raises:
        ValueError: A face lacks landmarks, or has others than the five, or all of them are one point; or an argument is
            not as described.
    """
    size = _checked(detections, size)
    template = (TEMPLATE + 0.5) * size / SIZE  # counted from the corner, as everywhere here
    if detections.landmarks.shape[1:] != TEMPLATE.shape:
        raise ValueError(
            f"expected the five landmarks of each face, got {detections.landmarks.shape[1]}: the detector has learnt "
            "others; use `crop` instead"
        )
    if not np.all(np.isfinite(detections.landmarks)) or np.any(np.ptp(detections.landmarks, axis=1).max(axis=1) <= 0):
        raise ValueError(
            "expected five landmarks of each face, got faces without: the detector stopped before O-Net or was trained "
            "without landmarks; use `crop` instead"
        )
    # Distances are made small in the crop, where all faces count alike; then the map is turned round.
    to_crop = similarities(detections.landmarks, np.broadcast_to(template, detections.landmarks.shape))
    linear = np.linalg.inv(to_crop[:, :, :2])
    to_image = np.concatenate([linear, -linear @ to_crop[:, :, 2:]], axis=2)
    return array_crops.warp(array_crops.mip_levels(image_files.as_rgb(image)), to_image, size)


def crop(
    image: image_files.ImageLike, detections: faces.Detections, margin: float = 0.0, size: int = SIZE
) -> np.ndarray:
    """The smallest squares round the faces' boxes, as they stand: RGB, uint8 [N, size, size, 3].

    Args:
        image: The image in which they were found; see `image_files.as_rgb`.
        detections: The faces.
        margin: What to add on each of the four sides, as a fraction of the square's side. What lies outside of the
            image is black.
        size: Side of the crops.

    Raises:
        ValueError: Nothing would be left with this margin, or an argument is not as described.
    """
    size = _checked(detections, size)
    margin = arguments.number("margin", margin, "one number above -0.5, at which nothing is left", above=-0.5)
    squares = boxes.square(detections.boxes)
    added = margin * (squares[:, 2:] - squares[:, :2])
    squares = np.concatenate([squares[:, :2] - added, squares[:, 2:] + added], axis=1).astype(np.float32)
    return array_crops.warp(array_crops.mip_levels(image_files.as_rgb(image)), array_crops.upright(squares, size), size)


def _checked(detections: faces.Detections, size: int) -> int:
    """The size, after both were found to be what they should be."""
    if not isinstance(detections, faces.Detections):
        what = "one Face" if isinstance(detections, faces.Face) else f"a {type(detections).__name__}"
        raise ValueError(f"expected Detections, such as found[i : i + 1] for one face of them, got {what}")
    return arguments.whole_number("size", size, "a whole number of pixels from 1 on, such as 112", at_least=1)


def similarities(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Maps [N, 2, 3] that shift, turn and scale `points` [N, P, 2] as near to `targets` [N, P, 2] as can be.

    Least squares; the same as Umeyama 1991 ("Least-squares estimation of transformation parameters between two point
    patterns") finds without mirroring. With points of the plane as complex numbers it needs no decomposition: turning
    and scaling is one multiplication, and its factor is a linear regression's slope.
    """
    points, targets = (np.asarray(each, np.float64) @ (1, 1j) for each in (points, targets))  # [N, P]
    centres, target_centres = (each.mean(axis=1, keepdims=True) for each in (points, targets))
    spread = np.sum(np.abs(points - centres) ** 2, axis=1)
    factor = np.sum((points - centres).conj() * (targets - target_centres), axis=1) / spread
    shift = target_centres[:, 0] - factor * centres[:, 0]
    rows = [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    return np.moveaxis(np.array(rows), -1, 0)
