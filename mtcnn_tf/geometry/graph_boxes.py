"""The formulas of `boxes` as TensorFlow operations, for the graph of the cascade; tests hold the two together."""

from collections.abc import Callable

import tensorflow as tf


def decode(boxes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """`boxes.decode` in TensorFlow: boxes [N, 4] and offsets [N, 4] to boxes [N, 4]."""
    return boxes + offsets * tf.tile(boxes[:, 2:] - boxes[:, :2], [1, 2])


def decode_points(boxes: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """`boxes.decode_points` in TensorFlow: boxes [N, 4] and relative points [N, P, 2] to points [N, P, 2]."""
    return points * (boxes[:, None, 2:] - boxes[:, None, :2]) + boxes[:, None, :2]


def square(boxes: tf.Tensor) -> tf.Tensor:
    """`boxes.square` in TensorFlow: [N, 4] to [N, 4]."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half_sides = tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2
    return tf.concat([centres - half_sides, centres + half_sides], axis=1)


def clip(boxes: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """`boxes.clip` in TensorFlow, to an image of `shape` (H, W, …): [N, 4] to [N, 4]."""
    height, width = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    return tf.clip_by_value(boxes, 0.0, tf.stack([width, height, width, height]))


def rows_of_each(images: tf.Tensor, num_images: tf.Tensor, choose: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The rows that are chosen of each image, int32 [M]: first those of image 0.

    Args:
        images: int32 [N], the index of the image that each row is about.
        num_images: int32 [].
        choose: Called with the rows of one image, int32 [n], to return some of them, in any order.
    """

    def add(i: tf.Tensor, chosen: tf.Tensor):
        own = tf.where(images == i)[:, 0]
        return i + 1, tf.concat([chosen, choose(tf.cast(own, tf.int32))], axis=0)

    shapes = (tf.TensorShape([]), tf.TensorShape([None]))
    start = (tf.constant(0), tf.zeros([0], tf.int32))
    return tf.while_loop(lambda i, _: i < num_images, add, start, shape_invariants=shapes)[1]


def best(scores: tf.Tensor, rows: tf.Tensor, count: int) -> tf.Tensor:
    """Of `rows`, int32 [n], the `count` whose scores [N] are best, best first."""
    return tf.gather(rows, tf.math.top_k(tf.gather(scores, rows), tf.minimum(count, tf.size(rows))).indices)


def suppressed(boxes: tf.Tensor, scores: tf.Tensor, rows: tf.Tensor, count: int, max_iou: float) -> tf.Tensor:
    """Of `rows`, int32 [n], at most `count` whose boxes [N, 4] survive non-maximum suppression, best first."""
    chosen = (tf.gather(values, rows) for values in (boxes, scores))
    return tf.gather(rows, tf.image.non_max_suppression(*chosen, count, max_iou))


def suppress_overlap(boxes: tf.Tensor, max_overlap: float, images: tf.Tensor | None = None) -> tf.Tensor:
    """Mask [N] of the boxes that survive greedy suppression by intersection over the smaller.

    Greedy suppression is the one mask in which a box survives just if no surviving box before it covers it. Applying
    that rule to all boxes at once settles at least one more box each time, and in practice all of them in a few rounds.

    Args:
        boxes: float32 [N, 4], best first.
        max_overlap: Larger overlaps, in 0–1, are suppressed.
        images: int32 [N], the index of the image of each box; boxes of two images don't overlap. None for one image.
    """
    top_left = tf.maximum(boxes[:, None, :2], boxes[None, :, :2])
    bottom_right = tf.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = tf.reduce_prod(tf.maximum(bottom_right - top_left, 0), axis=-1)
    areas = tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    is_covered = shared > max_overlap * tf.minimum(areas[:, None], areas[None])  # [better, worse]
    is_covered &= tf.range(tf.size(areas))[:, None] < tf.range(tf.size(areas))[None]
    if images is not None:
        is_covered &= images[:, None] == images[None]

    def apply_rule(keep: tf.Tensor, _: tf.Tensor | None):
        return ~tf.reduce_any(is_covered & keep[:, None], axis=0), keep

    start = apply_rule(tf.ones_like(areas, tf.bool), None)
    keep, _ = tf.while_loop(lambda keep, before: tf.reduce_any(keep != before), apply_rule, start)
    return keep


def enlarge(boxes: tf.Tensor, factor: float) -> tf.Tensor:
    """Boxes with sides `factor` times as long round the same centres: [N, 4] to [N, 4]."""
    if factor == 1:
        return boxes
    rim = (boxes[:, 2:] - boxes[:, :2]) * ((factor - 1) / 2)
    return boxes + tf.concat([-rim, rim], axis=1)


def drop_empty(boxes: tf.Tensor, *others: tf.Tensor) -> list[tf.Tensor]:
    """`boxes` and what belongs to them, without those that have no area: a wild regression turns boxes inside out."""
    keep = tf.where(tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1))[:, 0]
    return [tf.gather(values, keep) for values in (boxes, *others)]
