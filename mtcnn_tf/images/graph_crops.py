"""Cuts upright square crops out of images, in the graph of the cascade; `array_crops` does the same for training.

A large face shrunk to 12 pixels by plain bilinear sampling is full of aliasing, and not the image that the cascade's
pyramid shows. Crops are therefore sampled from the nearest mip level of the image, in which a crop is between one
and two times its final size; the cascade builds its pyramid from the same copies.
"""

import tensorflow as tf

from mtcnn_tf.images import array_crops


def mip_levels(images: tf.Tensor, count: int = array_crops.NUM_MIP_LEVELS) -> list[tf.Tensor]:
    """Images of one size and their mip levels, each the 2×2 mean of the one before.

    Args:
        images: uint8 [B, H, W, 3], at least one pixel each.
        count: How many of them are wanted.

    Returns:
        `count` tensors, the k-th [B, ceil(H / 2^k), ceil(W / 2^k), 3]: first the images themselves, then
        float32. One of their pixels covers 2^k pixels of the image in each direction, counted from the top left
        corner.
    """
    with tf.name_scope("pyramid"):
        levels = [images]
        while len(levels) < count:
            last = levels[-1]
            levels.append(_halve_bytes(last) if len(levels) == 1 else tf.nn.avg_pool2d(last, 2, 2, "SAME"))
        return levels


def mip_level(images: tf.Tensor, k: int) -> tf.Tensor:
    """The k-th of `mip_levels`, where the others are of no use."""
    return mip_levels(images, k + 1)[k]


def _halve_bytes(images: tf.Tensor) -> tf.Tensor:
    """The 2×2 mean of uint8 pixels, without the copy of all images in float32 that pooling would need."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]

    def repeat_last():
        taller = tf.concat([images, images[:, height // 2 * 2 :]], axis=1)  # of an odd height, the last row again
        return tf.concat([taller, taller[:, :, width // 2 * 2 :]], axis=2)

    even = tf.cond(tf.bitwise.bitwise_or(height, width) % 2 == 0, lambda: images, repeat_last)
    # Half the size of an even one: bilinear samples lie in the middle of four pixels.
    return tf.ensure_shape(tf.image.resize(even, [(height + 1) // 2, (width + 1) // 2]), [None, None, None, 3])


def padded(levels: list[tf.Tensor]) -> list[tf.Tensor]:
    """`mip_levels`, each with a rim of one mirrored pixel: what `cut` takes.

    In the outermost half pixel of an image a sample lies between a pixel and its mirror image.
    """
    with tf.name_scope("crops"):  # tf.pad(…, "SYMMETRIC") takes thirty times as long
        tall = [tf.concat([level[:, :1], level, level[:, -1:]], axis=1) for level in levels]
        return [tf.concat([level[:, :, :1], level, level[:, :, -1:]], axis=2) for level in tall]


def nearest_mip_level(shrinkage: tf.Tensor) -> tf.Tensor:
    """Index, int32, of the mip level to sample from where a pixel of the result covers `shrinkage` pixels."""
    level = tf.math.floor(tf.math.log(tf.maximum(shrinkage, 1.0)) / tf.math.log(2.0) + 1e-6)
    return tf.minimum(tf.cast(level, tf.int32), array_crops.NUM_MIP_LEVELS - 1)


def cut(
    levels: list[tf.Tensor], boxes: tf.Tensor, images: tf.Tensor, size: int | tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Crops of `size` × `size` pixels, float32 [N, size, size, 3] in 0–255, and the places of their boxes, int32 [N].

    Crops from one mip level stand together, because boxes are moved more cheaply than pixels.

    Args:
        levels: What `padded` returns.
        boxes: float32 [N, 4] in pixels of their images. What lies outside of an image is black.
        images: int32 [N], the index of the image of each box.
        size: Side of the crops.
    """
    with tf.name_scope("crops"):
        level_of_box = nearest_mip_level(_shrinkage(boxes, size))
        fractions = _fractions(tf.shape(levels[0])[1:3] - 2, level_of_box, boxes, size)
        # A level at a time, because a function of the graph samples from one map; all else is done at once.
        fractions, images, places = (
            tf.dynamic_partition(values, level_of_box, len(levels))
            for values in (fractions, images, tf.range(tf.shape(boxes)[0]))
        )
        crops = [
            tf.image.crop_and_resize(level, *part, [size, size])
            for level, *part in zip(levels, fractions, images, strict=True)
        ]
        return tf.concat(crops, axis=0), tf.concat(places, axis=0)


def _shrinkage(boxes: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """How many pixels of the image one pixel of a box's crop covers: float32 [N]."""
    return tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1) / tf.cast(size, tf.float32)


def _fractions(shape: tf.Tensor, level_of_box: tf.Tensor, boxes: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """What `tf.image.crop_and_resize` takes for the samples at the centres of `size` × `size` cells of each box.

    That is `y1, x1, y2, x2` of the first and last sample, as fractions of height − 1 and width − 1 of the padded level;
    here alone xyxy pixels become that.

    Args:
        shape: Height and width of the image.
        level_of_box: int32 [N].
        boxes: float32 [N, 4] in pixels of the image.
        size: Side of the crops.
    """
    steps = tf.bitwise.left_shift(1, level_of_box)[:, None]  # pixels of the image in one of the level
    extents = tf.cast((shape[None] + steps - 1) // steps + 1, tf.float32)  # [N, 2] in y, x
    half_cells = (boxes[:, 2:] - boxes[:, :2]) / (2 * tf.cast(size, tf.float32))  # [N, 2] in x, y
    centres = tf.stack([boxes[:, :2] + half_cells, boxes[:, 2:] - half_cells], axis=1)  # [N, first or last, 2]
    # Pixel centres are at .5, and the rim shifts by 1.
    places = centres[..., ::-1] / tf.cast(steps, tf.float32)[:, None] + 0.5
    return tf.reshape(places / extents[:, None], [-1, 4])
