"""Random changes of a batch of examples: dict → dict, each with a stateless seed.

A batch is what `crop_records.parse` returns. Colour is changed on pixels in 0–255, before the networks' first layer
rescales them. All changes are made on whole batches, because a 12-pixel crop costs less to change than an op costs to
start. How far they go is said in `colours`, which changes windows and crops that are cut in the step.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mtcnn_tf import landmark_sets
from mtcnn_tf.geometry import mirroring
from mtcnn_tf.images import colours

SOFTENED_FRACTION = 0.2
"""Fraction of a batch's crops that are blurred."""

Batch = dict[str, tf.Tensor]


def augment(batch: Batch, seed: tf.Tensor, landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE) -> Batch:
    """The batch, each crop mirrored by chance, changed in colour, some softened and some made noisy.

    Args:
        batch: See `crop_records.parse`.
        seed: int64 [2]; the same seed gives the same changes.
        landmark_set: The points of the faces.

    Returns:
        The batch with `image` as float32 in 0–255.
    """
    seeds = tf.random.split(seed, 4)
    batch = mirror(batch, tf.random.stateless_uniform(tf.shape(batch["kind"]), seeds[0]) < 0.5, landmark_set)
    image = colour(tf.cast(batch["image"], tf.float32), seeds[1])
    image = _on_some(image, SOFTENED_FRACTION, seeds[2], lambda crops, _: soften(crops))
    image = _on_some(image, colours.NOISY_FRACTION, seeds[3], add_noise)
    return {**batch, "image": image}


def mirror(
    batch: Batch, mirrored_mask: tf.Tensor, landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE
) -> Batch:
    """The batch with the crops of `mirrored_mask` [B] mirrored: pixels, offsets and landmarks together."""
    image, offsets, landmarks = batch["image"], batch["offsets"], batch["landmarks"]
    return {
        **batch,
        "image": _choose_rows(mirrored_mask, _mirror_pixels(image), image),
        "offsets": tf.where(mirrored_mask[:, None], mirroring.offsets(offsets), offsets),
        "landmarks": tf.where(mirrored_mask[:, None], mirroring.landmarks(landmarks, landmark_set), landmarks),
    }


def _mirror_pixels(image: tf.Tensor) -> tf.Tensor:
    """All crops mirrored. Reversing the middle axis of three takes a tenth of the time of `image[:, :, ::-1]`."""
    num_crops, size, channels = tf.shape(image)[0], image.shape[1], image.shape[3]
    return tf.reshape(tf.reverse(tf.reshape(image, [num_crops * size, size, channels]), [1]), tf.shape(image))


def _choose_rows(mask: tf.Tensor, if_true: tf.Tensor, if_false: tf.Tensor) -> tf.Tensor:
    """`tf.where` for whole rows: `mask` is [B]. Gathering them is ten times faster than a mask of every pixel."""
    num_rows = tf.size(mask)
    rows = tf.where(mask, tf.range(num_rows), tf.range(num_rows, 2 * num_rows))
    return tf.gather(tf.concat([if_true, if_false], axis=0), rows)


def colour(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Crops float32 [B, S, S, 3] with brightness, contrast, saturation and hue changed, each crop by its own amounts.

    The four changes are linear in the pixels, so that together they are one 3×3 matrix and one shift for each crop.
    """
    num_crops = tf.shape(image)[0]
    chance = tf.random.stateless_uniform([4, num_crops], seed, -1.0, 1.0)
    brightness = chance[0] * colours.MAX_BRIGHTNESS
    contrast = _between(colours.CONTRAST, chance[1])
    matrix = _saturate(_between(colours.SATURATION, chance[2])) @ _rotate_hue(chance[3] * colours.MAX_HUE)
    matrix *= contrast[:, None, None]
    mean = tf.linalg.matvec(tf.reduce_mean(image, axis=[1, 2]), colours.LUMA)
    shift = (1 - contrast) * mean + brightness
    pixels = tf.reshape(image, [num_crops, -1, 3]) @ tf.transpose(matrix, [0, 2, 1]) + shift[:, None, None]
    return tf.reshape(tf.clip_by_value(pixels, 0.0, 255.0), tf.shape(image))


def soften(image: tf.Tensor) -> tf.Tensor:
    """Crops [B, S, S, 3] blurred by the 3×3 binomial kernel (1, 2, 1) / 4 in both directions; edges are mirrored.

    As two products with a matrix this takes a third of the time of adding shifted copies.
    """
    size = image.shape[1]
    blur = np.eye(size) / 2 + (np.eye(size, k=1) + np.eye(size, k=-1)) / 4
    blur[0, 0] = blur[-1, -1] = 3 / 4  # half of the edge itself, and a quarter of its mirror image
    rows = tf.constant(blur, tf.float32) @ tf.reshape(image, [-1, size, size * 3])
    columns = tf.reshape(rows, [-1, size * 3]) @ tf.constant(np.kron(blur, np.eye(3)), tf.float32)
    return tf.reshape(columns, tf.shape(image))


def add_noise(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Crops [B, S, S, 3] with normal noise, each crop of its own strength up to `colours.MAX_NOISE`; in 0–255.

    The crops of a batch share `colours.NUM_PATTERNS` patterns: to draw numbers costs more than all else together.
    """
    num_crops, seeds = tf.shape(image)[0], tf.random.split(seed, 3)
    strength = tf.random.stateless_uniform([num_crops, 1, 1, 1], seeds[0], -colours.MAX_NOISE, colours.MAX_NOISE)
    patterns = tf.random.stateless_normal(tf.concat([[colours.NUM_PATTERNS], tf.shape(image)[1:]], axis=0), seeds[1])
    chosen = tf.random.stateless_uniform([num_crops], seeds[2], 0, colours.NUM_PATTERNS, tf.int32)
    return tf.clip_by_value(image + strength * tf.gather(patterns, chosen), 0.0, 255.0)


def _on_some(
    image: tf.Tensor, fraction: float, seed: tf.Tensor, change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """The crops with `change(crops, seed)` made on a random `fraction` of them."""
    num_crops = tf.shape(image)[0]
    order = tf.argsort(tf.random.stateless_uniform([num_crops], seed))
    rows = order[: tf.cast(fraction * tf.cast(num_crops, tf.float32), tf.int32)]
    return tf.tensor_scatter_nd_update(image, rows[:, None], change(tf.gather(image, rows), seed))


def _between(limits: tuple[float, float], chance: tf.Tensor) -> tf.Tensor:
    """`chance` in −1–1 stretched to lie between the limits."""
    low, high = limits
    return (low + high) / 2 + chance * (high - low) / 2


def _saturate(saturation: tf.Tensor) -> tf.Tensor:
    """Matrices [B, 3, 3] that move colours away from grey (above 1) or towards it."""
    grey = tf.ones([3, 1]) * colours.LUMA
    return saturation[:, None, None] * tf.eye(3) + (1 - saturation[:, None, None]) * grey


def _rotate_hue(angle: tf.Tensor) -> tf.Tensor:
    """Matrices [B, 3, 3] that turn colours by `angle` [B] round the grey axis."""
    cosine, sine, zero, one = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle), tf.ones_like(angle)
    turn = tf.reshape(tf.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], axis=1), [-1, 3, 3])
    return tf.linalg.inv(colours.YIQ) @ turn @ colours.YIQ
