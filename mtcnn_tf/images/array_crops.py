"""Cuts crops that lie in an image in any way, on arrays: for training examples and aligned faces.

The graph of the cascade has its own cutter for upright squares, `crops`. Both take samples at the same places of the
nearest mip level, so that networks are trained on what they will be shown; tests hold the two against each other.
"""

import cv2
import numpy as np

NUM_MIP_LEVELS = 6
_MOST_OF_OPENCV = (1 << 15) - 2
"""OpenCV samples images of at most so many rows and columns."""


def mip_levels(image: np.ndarray) -> list[np.ndarray]:
    """The image and its mip levels, each the rounded 2×2 mean of the one before: see `graph_crops.mip_levels`.

    Args:
        image: uint8 [H, W, 3], at least one pixel.

    Returns:
        `NUM_MIP_LEVELS` arrays, the k-th uint8 [ceil(H / 2^k), ceil(W / 2^k), 3].
    """
    levels = [image]
    while len(levels) < NUM_MIP_LEVELS:
        height, width = levels[-1].shape[:2]
        even = levels[-1]
        if height % 2 or width % 2:  # OpenCV is fast where areas are whole pixels
            even = cv2.copyMakeBorder(even, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        half = ((width + 1) // 2, (height + 1) // 2)
        levels.append(cv2.resize(even, half, interpolation=cv2.INTER_AREA))
    return levels


def upright(boxes: np.ndarray, size: int) -> np.ndarray:
    """Maps [N, 2, 3] from crops of `size` × `size` pixels to the square boxes [N, 4] that they show."""
    pixels = (boxes[:, 2:] - boxes[:, :2]) / size
    return np.concatenate([np.eye(2) * pixels[:, None], boxes[:, :2, None]], axis=2)


def rotated(boxes: np.ndarray, angles: np.ndarray, pivots: np.ndarray, size: int) -> np.ndarray:
    """Maps [N, 2, 3] from crops of the image after it has been rotated, each by its own angle.

    Args:
        boxes: [N, 4] in pixels of the rotated image, square.
        angles: [N] in radians, clockwise as seen on the screen.
        pivots: [N, 2], the points round which the image is rotated.
        size: Side of the crops.
    """
    rotates_back = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    linear, origins = np.split(upright(boxes, size), [2], axis=2)
    origins = rotates_back @ (origins - pivots[..., None]) + pivots[..., None]
    return np.concatenate([rotates_back @ linear, origins], axis=2)


def mirrored(to_image: np.ndarray, size: int) -> np.ndarray:
    """Maps [N, 2, 3] of the mirrored crops of `size` × `size` pixels."""
    return to_image @ np.array([[-1, 0, size], [0, 1, 0], [0, 0, 1]], np.float64)


def warp(levels: list[np.ndarray], to_image: np.ndarray, size: int) -> np.ndarray:
    """Crops uint8 [N, size, size, C] by bilinear interpolation; what lies outside of the image is black.

    Args:
        levels: What `mip_levels` returns.
        to_image: [N, 2, 3], affine maps that take points of each crop to points of the image, both counted from
            the top left corner.
        size: Side of the crops.
    """
    x, y = np.meshgrid(*[np.arange(size, dtype=np.float32) + 0.5] * 2)
    centres = np.stack([x.ravel(), y.ravel(), np.ones(size * size, np.float32)])  # [3, S · S]
    places = to_image.astype(np.float32) @ centres  # [N, 2, S · S], of the crops' pixels in the image
    shrinkages = np.linalg.norm(to_image[:, :, :2], axis=1).max(axis=1, initial=0)
    mip_level = np.minimum(np.log2(np.maximum(shrinkages, 1)) + 1e-6, NUM_MIP_LEVELS - 1).astype(int)
    channels = levels[0].shape[2]
    crops = np.empty((len(to_image), size, size, channels), np.uint8)
    for k in np.unique(mip_level):
        rows = np.flatnonzero(mip_level == k)
        crops[rows] = _sample(levels[k], places[rows] / np.float32(2**k)).reshape(-1, size, size, channels)
    return crops


def _sample(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The image at `places` float32 [N, 2, P], counted from its corner: uint8 [N, P, 3].

    As in `crops`, the edge goes on for half a pixel, and beyond is black.
    """
    x, y = (np.ascontiguousarray(places[:, axis] - 0.5) for axis in (0, 1))  # OpenCV counts from the pixels' centres
    height, width = image.shape[:2]
    outside = (x < -1) | (y < -1) | (x > width) | (y > height)
    most = 1 << 14  # nor does it take more rows of places at a time than of an image
    if max(height, width) > _MOST_OF_OPENCV:
        pixels = np.stack([_sample_of_large(image, *place) for place in zip(x, y, strict=True)])
    else:
        starts = range(0, len(x), most)
        pixels = np.concatenate([_remap(image, x[i : i + most], y[i : i + most]) for i in starts])
    pixels[outside] = 0
    return pixels


def _remap(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _sample_of_large(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What `_remap` would return for one crop, x and y [P], of an image with more rows or columns than it takes."""
    (left, right), (top, bottom) = _needed(x, image.shape[1]), _needed(y, image.shape[0])
    shown = np.ascontiguousarray(image[top:bottom, left:right])
    return _remap(shown, (x - np.float32(left))[None], (y - np.float32(top))[None])[0]


def _needed(places: np.ndarray, length: int) -> tuple[int, int]:
    """Where the rows or columns begin and end that samples at `places` along their axis look at."""
    low, high = (int(np.clip(place, 0, length - 1)) for place in (places.min() - 1, places.max() + 2))
    return low, min(high + 1, low + _MOST_OF_OPENCV)
