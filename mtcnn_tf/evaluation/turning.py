"""Pictures turned about their middle, with the boxes of their faces."""

import cv2
import numpy as np


def turn(image: np.ndarray, degrees: float) -> np.ndarray:
    """The picture turned clockwise, on a black ground just large enough to show all of it, uint8 [H', W', 3]."""
    if degrees == 0:
        return image
    matrix, size = _motion(image.shape[1], image.shape[0], degrees)
    # OpenCV counts from the middle of the first pixel, half a pixel inside the picture's edge.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)


def turn_boxes(boxes: np.ndarray, width: int, height: int, degrees: float) -> np.ndarray:
    """Boxes of faces in a picture of this size after `turn`, [N, 4]: upright, round the turned oval that fills each."""
    matrix, _ = _motion(width, height, degrees)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half_sides = (boxes[:, 2:] - boxes[:, :2]) / 2
    reach = np.sqrt(half_sides**2 @ matrix[:, :2].T ** 2)
    return np.concatenate([centres - reach, centres + reach], axis=1)


def _motion(width: int, height: int, degrees: float) -> tuple[np.ndarray, tuple[int, int]]:
    """The matrix [2, 3] from a place in the picture to that in the turned one, and its width and height."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.array([[cos, -sin], [sin, cos]])  # y points down: a positive angle turns clockwise
    size = np.round(np.abs(rotation) @ (width, height))
    shift = size / 2 - rotation @ (width / 2, height / 2)
    return np.column_stack([rotation, shift]), (int(size[0]), int(size[1]))
