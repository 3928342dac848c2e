"""Cuts crops and windows on an accelerator, out of images that lie in its memory: the twin of `windows.cut`.

Written in `keras.ops`, so that it becomes a part of the training's step on TensorFlow and on JAX.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from mtcnn_tf.images import array_crops, colours, covering, image_store

HOW_IT_IS_CUT = ("image_index", "to_image", "colours", "noise", "pattern", "covered", "cover", "shown")
"""What of a drawn batch tells how its pixels are cut and changed; all else are targets."""


def held(store: image_store.ImageStore, size: int) -> dict[str, Any]:
    """What `cut` needs of the images, as arrays to keep on the accelerator.

    Args:
        store: The images.
        size: Side of the crops or windows, for the patterns of noise.
    """
    places = {"sizes": store.sizes, "first_tiles": store.first_tiles, "starts": store.starts}
    arrays = {"pixels": store.packed(), **places, "patterns": colours.patterns(size)}
    if keras.backend.backend() == "jax":
        import jax

        return {name: jax.device_put(values) for name, values in arrays.items()}
    return {name: ops.convert_to_tensor(values) for name, values in arrays.items()}


def cut(held: dict[str, Any], image_index: Any, to_image: Any, size: int) -> Any:
    """Crops float32 [N, size, size, 3] in 0–255 by bilinear interpolation; what lies outside of an image is black.

    Args:
        held: What the function `held` returned.
        image_index: int32 [N], of which image each is.
        to_image: float32 [N, 2, 3], affine maps from points of each crop to points of its image.
        size: Side of the crops.
    """
    centres = ops.arange(size, dtype="float32") + 0.5
    linear = to_image[:, :, :2]
    shrinkage = ops.sqrt(ops.max(ops.sum(ops.square(linear), axis=1), axis=1))
    level = ops.floor(ops.log2(ops.maximum(shrinkage, 1.0)) + 1e-6)
    level = ops.cast(ops.minimum(level, array_crops.NUM_MIP_LEVELS - 1), "int32")
    step = 2.0 ** ops.cast(level, "float32")[:, None, None]
    along, down, origin = (to_image[:, :, k, None, None] for k in (0, 1, 2))
    places = (along * centres + down * centres[:, None] + origin) / step[:, None] - 0.5  # from the first pixel's centre
    x, y = places[:, 0], places[:, 1]  # [N, size, size]
    extent = (ops.take(held["sizes"], image_index, axis=0) + 2 ** level[:, None] - 1) // 2 ** level[:, None]
    height, width = (extent[:, k, None, None] for k in (0, 1))
    start = ops.take_along_axis(ops.take(held["starts"], image_index, axis=0), level[:, None], axis=1)[..., None]
    tile = ops.take(held["first_tiles"], image_index)[:, None, None]

    def pixels_at(column: Any, row: Any):
        place = start + ops.clip(row, 0, height - 1) * width + ops.clip(column, 0, width - 1)
        packed = _gather(held["pixels"], tile + place // image_store.TILE, place % image_store.TILE)
        return ops.stack([ops.cast(packed // unit % 256, "float32") for unit in (1, 2**8, 2**16)], axis=-1)

    left, top = ops.floor(x), ops.floor(y)
    right_part, lower_part = (x - left)[..., None], (y - top)[..., None]
    column, row = ops.cast(left, "int32"), ops.cast(top, "int32")
    upper = pixels_at(column, row) * (1 - right_part) + pixels_at(column + 1, row) * right_part
    lower = pixels_at(column, row + 1) * (1 - right_part) + pixels_at(column + 1, row + 1) * right_part
    is_inside = (x >= -1) & (y >= -1) & (x <= ops.cast(width, "float32")) & (y <= ops.cast(height, "float32"))
    return ops.where(is_inside[..., None], upper * (1 - lower_part) + lower * lower_part, 0.0)


def _gather(pixels: Any, tile: Any, place: Any) -> Any:
    """`pixels[tile, place]` as int32."""
    if keras.backend.backend() == "jax":
        return pixels.at[tile, place].get(mode="promise_in_bounds").astype("int32")
    import tensorflow as tf

    return tf.cast(tf.gather_nd(pixels, tf.stack([tile, place], axis=-1)), tf.int32)


def change_colours(held: dict[str, Any], pixels: Any, drawn: dict[str, Any]) -> Any:
    """The changed pixels, float32 [N, S, S, 3] in 0–255; see `colours.draw`."""
    matrix = drawn["colours"]
    changed = ops.einsum("nhwc,ndc->nhwd", pixels, matrix[:, :, :3]) + matrix[:, None, None, :, 3]
    noise = ops.take(held["patterns"], drawn["pattern"], axis=0) * drawn["noise"][:, None, None, None]
    return ops.clip(ops.clip(changed, 0.0, 255.0) + noise, 0.0, 255.0)  # the host's pixels are bytes in between


class OnAccelerator:
    """Turns what was drawn for a batch into the batch, within the step of a training.

    Attributes:
        held: The images, as arrays on the accelerator.
    """

    def __init__(self, store: image_store.ImageStore, size: int, label: Callable[[dict], dict]):
        """Moves the images to the accelerator.

        Args:
            store: The images.
            size: Side of the crops or windows.
            label: What else of the drawn batch makes the targets of it.
        """
        self.held, self._size, self._label = held(store, size), size, label

    def __call__(self, drawn: dict[str, Any], held: dict[str, Any] | None = None) -> dict[str, Any]:
        """The batch: `image` float32 [B, S, S, 3] and its targets."""
        held = held or self.held
        pixels = change_colours(held, cut(held, drawn["image_index"], drawn["to_image"], self._size), drawn)
        if "covered" in drawn:
            pixels = covering.apply(ops, pixels, drawn)
        return {"image": pixels, **self._label(drawn)}
