"""Cuts square crops out of pictures: the same cutter trains and serves.

A large face shrunk to 12 pixels by plain bilinear sampling is full of aliasing, and not the picture that the cascade's
pyramid shows. Crops are therefore sampled from the nearest *halved* copy of the picture, in which a crop is between one
and two times its final size; the cascade builds its pyramid from the same copies.
"""

import cv2
import numpy as np
import tensorflow as tf

NUM_HALVINGS = 6


def halvings(image: tf.Tensor) -> list[tf.Tensor]:
    """The picture and its halved copies, each the 2×2 mean of the one before.

    Args:
        image: [H, W, 3] in 0–255, at least one pixel.

    Returns:
        `NUM_HALVINGS` tensors, the k-th [ceil(H / 2^k), ceil(W / 2^k), 3]: first the picture itself, then float32.
        One of their pixels covers 2^k pixels of the picture in each direction, counted from the top left corner.
    """
    levels = [image]
    while len(levels) < NUM_HALVINGS:
        levels.append(tf.nn.avg_pool2d(tf.cast(levels[-1], tf.float32)[None], 2, 2, "SAME")[0])
    return levels


def nearest_halving(shrinkage: tf.Tensor) -> tf.Tensor:
    """Index, int32, of the halved copy to sample from where a pixel of the result covers `shrinkage` pixels."""
    level = tf.math.floor(tf.math.log(tf.maximum(shrinkage, 1.0)) / tf.math.log(2.0) + 1e-6)
    return tf.minimum(tf.cast(level, tf.int32), NUM_HALVINGS - 1)


def cut(levels: list[tf.Tensor], boxes: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Crops of `size` × `size` pixels, float32 [N, size, size, 3] in 0–255.

    Args:
        levels: What `halvings` returns.
        boxes: float32 [N, 4] in pixels of the picture. What lies outside of the picture is black.
        size: Side of the crops.
    """
    shrinkage = _shrinkage(boxes, size)
    level_of_box = nearest_halving(shrinkage)
    rows = [tf.where(level_of_box == k)[:, 0] for k in range(NUM_HALVINGS)]
    crops = [_sample(level, tf.gather(boxes, rows[k]) / 2**k, size) for k, level in enumerate(levels)]
    order = tf.concat(rows, axis=0)
    return tf.scatter_nd(tf.cast(order, tf.int32)[:, None], tf.concat(crops, axis=0), [tf.size(order), size, size, 3])


def _shrinkage(boxes: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """How many pixels of the picture one pixel of a box's crop covers: float32 [N]."""
    return tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1) / tf.cast(size, tf.float32)


def _sample(image: tf.Tensor, boxes: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Bilinear samples at the centres of a grid of `size` × `size` cells over each box: [N, size, size, 3].

    `tf.image.crop_and_resize` takes `y1, x1, y2, x2` of the first and last sample as fractions of height − 1 and
    width − 1; here alone xyxy pixels become that. A rim of one mirrored pixel keeps samples in the outermost half
    pixel inside.
    """
    image = tf.concat([image[:1], image, image[-1:]], axis=0)  # tf.pad(…, "SYMMETRIC") takes thirty times as long
    image = tf.concat([image[:, :1], image, image[:, -1:]], axis=1)
    half_cells = (boxes[:, 2:] - boxes[:, :2]) / (2 * tf.cast(size, tf.float32))  # [N, 2] in x, y
    first = boxes[:, :2] + half_cells + 0.5  # pixel centres are at .5, and the rim shifts by 1
    last = boxes[:, 2:] - half_cells + 0.5
    extent = tf.cast(tf.shape(image)[:2] - 1, tf.float32)
    fractions = tf.concat([first[:, ::-1] / extent, last[:, ::-1] / extent], axis=1)
    return tf.image.crop_and_resize(image[None], fractions, tf.zeros_like(boxes[:, 0], tf.int32), [size, size])


def as_pixels(crops: np.ndarray) -> np.ndarray:
    """Crops of any shape, in about 0–255, as uint8."""
    return np.rint(crops).clip(0, 255).astype(np.uint8)


def cut_rotated(
    levels: list[np.ndarray], boxes: np.ndarray, angles: np.ndarray, pivots: np.ndarray, size: int
) -> np.ndarray:
    """Crops of the picture after it has been rotated, each by its own angle: float32 [N, size, size, 3] in 0–255.

    Args:
        levels: What `halvings` returns, as arrays.
        boxes: float32 [N, 4] in pixels of the rotated picture. What lies outside of the picture is black.
        angles: [N] in radians, clockwise as seen on the screen.
        pivots: [N, 2], the points round which the picture is rotated.
        size: Side of the crops.
    """
    turns_back = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    pixels = (boxes[:, 2:] - boxes[:, :2]) / size
    origins = (turns_back @ (boxes[:, :2] - pivots)[..., None])[..., 0] + pivots
    return warp(levels, np.concatenate([turns_back * pixels[:, None], origins[..., None]], axis=2), size)


def warp(levels: list[np.ndarray], to_picture: np.ndarray, size: int) -> np.ndarray:
    """Crops that lie in the picture in any way, float32 [N, size, size, 3] in 0–255.

    Args:
        levels: What `halvings` returns, as arrays.
        to_picture: [N, 2, 3], affine maps that take points of each crop to points of the picture. What lies outside of
            it is black.
        size: Side of the crops.
    """
    shrinkages = np.linalg.norm(to_picture[:, :, :2], axis=1).max(axis=1, initial=0)
    level_of_crop = nearest_halving(tf.constant(shrinkages, tf.float32)).numpy()
    crops = np.empty((len(to_picture), size, size, 3), np.float32)
    for crop, map_to_picture, k in zip(crops, to_picture, level_of_crop, strict=True):
        linear = map_to_picture[:, :2] / 2**k
        # Points are counted from the corner, OpenCV's from the centre of the first pixel.
        origin = map_to_picture[:, 2] / 2**k + linear.sum(axis=1) / 2 - 0.5
        grid = np.concatenate([linear, origin[:, None]], axis=1)
        crop[:] = cv2.warpAffine(levels[k], grid, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return crops
