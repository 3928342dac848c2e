"""What the networks are put together from: layers of their own, and the usual ones as the networks use them."""

from typing import Any

import keras
from keras import layers

PIXEL_MEAN = 127.5
PIXEL_SCALE = 128.0

HEADS = {"face": 2, "offsets": 4, "landmarks": 10}
"""How many numbers each head gives."""
PAPER = "paper"
"""The name of the P-Net of the paper, among the variants of `pnet.VARIANTS`."""


@keras.saving.register_keras_serializable(package="mtcnn_tf")
class Pixels(layers.Rescaling):
    """The first layer of every network: pixels in 0–255 to numbers round 0. It keeps what the file must tell.

    Args:
        scale: What pixels are multiplied with.
        offset: What is added then.
        margin: See `networks.build`.
        pnet_variant: See `networks.build`.
    """

    def __init__(
        self,
        scale: float = 1 / PIXEL_SCALE,
        offset: float = -PIXEL_MEAN / PIXEL_SCALE,
        margin: float = 1.0,
        pnet_variant: str = PAPER,
        **kwargs: Any,
    ):
        super().__init__(scale, offset, **kwargs)
        self.margin = float(margin)
        self.pnet_variant = pnet_variant

    def get_config(self) -> dict:
        """The arguments that make the same layer."""
        return {**super().get_config(), "margin": self.margin, "pnet_variant": self.pnet_variant}


@keras.saving.register_keras_serializable(package="mtcnn_tf")
class CReLU(layers.Layer):
    """Concatenated ReLU: [..., C] to [..., 2 C], max(x, 0) and max(−x, 0) (Shang et al. 2016, arXiv 1603.05201).

    First layers learn filters in pairs of opposite sign; here one filter serves as both.
    """

    def call(self, x: Any) -> Any:
        """See the class."""
        return keras.ops.relu(keras.ops.concatenate([x, -x], axis=-1))


def inputs(size: int | None, stage_name: str, margin: float = 1.0, pnet_variant: str = PAPER) -> tuple[Any, Any]:
    """The input of a network that takes images of `size` × `size` pixels, or of any size, and its pixels round 0."""
    image = keras.Input((size, size, 3), name="image")
    return image, pixels(image, stage_name, margin, pnet_variant)


def pixels(image: Any, stage_name: str, margin: float = 1.0, pnet_variant: str = PAPER) -> Any:
    """The image's pixels round 0."""
    return Pixels(margin=margin, pnet_variant=pnet_variant, name=f"{stage_name}_pixels")(image)


def conv(x: Any, channels: int, kernel_size: int, shared_slopes: bool, name: str, stride: int = 1) -> Any:
    """A 'valid' convolution with its PReLU."""
    x = layers.Conv2D(channels, kernel_size, stride, name=name)(x)
    return map_prelu(x, shared_slopes, name)


def map_prelu(x: Any, shared_slopes: bool, name: str) -> Any:
    """The PReLU of the layer `name`, whose map [N, H, W, C] is `x`; one slope, or one for each channel."""
    return prelu([1, 2, 3] if shared_slopes else [1, 2], f"{name}_prelu")(x)


def prelu(shared_axes: list[int] | None, name: str) -> keras.Layer:
    """A PReLU of initial slope 0.25."""
    return layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25), shared_axes=shared_axes, name=name)


def wanted_heads(landmarks: bool) -> list[str]:
    """The names among `HEADS` of a network that finds landmarks, or doesn't."""
    return [name for name in HEADS if landmarks or name != "landmarks"]
