"""Images rotated about their middle, with the boxes of their faces."""

import cv2
import numpy as np

from mtcnn_tf.geometry import boxes as box_geometry


def rotate(image: np.ndarray, degrees: float) -> np.ndarray:
    """The image rotated clockwise, on a black ground just large enough to show all of it, uint8 [H', W', 3]."""
    if degrees == 0:
        return image
    matrix, size = _motion(image.shape[1], image.shape[0], degrees)
    # OpenCV counts from the middle of the first pixel, half a pixel inside the image's edge.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)


def rotate_boxes(boxes: np.ndarray, width: int, height: int, degrees: float) -> np.ndarray:
    """Boxes [N, 4] of faces in an image of this size after `rotate`: upright, round the oval that fills each."""
    matrix, _ = _motion(width, height, degrees)
    centres = box_geometry.centres(boxes) @ matrix[:, :2].T + matrix[:, 2]
    angles = np.full(len(boxes), np.radians(degrees))
    return box_geometry.round_ellipses((boxes[:, 2:] - boxes[:, :2]) / 2, angles, centres)


def _motion(width: int, height: int, degrees: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The matrix [2, 3] from a place in the image to that in the rotated one, and its width and height."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]])  # y points down: a positive angle rotates clockwise
    size = np.round(np.abs(matrix) @ (width, height))
    shift = size / 2 - matrix @ (width / 2, height / 2)
    return np.column_stack([matrix, shift]), (int(size[0]), int(size[1]))
