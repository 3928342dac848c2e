"""P-Net, the proposal network, and its variants.

The paper's has three convolutions and a pooling (Zhang et al. 2016, figure 2). P-Net runs over every pixel of a pyramid
of images, so that it costs as much as all that comes after it; the variants, most of them after
github.com/yangfly/mtcnn-exp, spend these multiplications in other ways:

* `strided`: the first convolution takes steps of two pixels, which saves three quarters of it and the pooling. Its
  kernel is 4×4 where mtcnn-exp's is 3×3, whose window would be 11 pixels wide;
* `depthwise`: the second and third convolution are depthwise-separable (Howard et al. 2017, "MobileNets",
  arXiv 1704.04861, section 3.1), without batch normalisation;
* `crelu`: half the filters in the first convolution, each used with both signs, see `blocks.CReLU`;
* `wide`: twice the channels everywhere.

All are fully convolutional, look at windows of 12 pixels, `stages.PNET.size`, with a stride of 2, and say the same
things: what comes after them cannot tell which it is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers

from mtcnn_tf import landmark_sets, stages
from mtcnn_tf.models import blocks


def _pooled(x: Any, channels: int, shared_slopes: bool) -> Any:
    x = blocks.conv(x, channels, 3, shared_slopes, "conv1")
    return _pool(x)


def _strided(x: Any, channels: int, shared_slopes: bool) -> Any:
    return blocks.conv(x, channels, 4, shared_slopes, "conv1", stride=2)


def _crelu_pooled(x: Any, channels: int, shared_slopes: bool) -> Any:
    x = layers.Conv2D(channels // 2, 3, name="conv1")(x)
    return _pool(blocks.CReLU(name="conv1_crelu")(x))


def _pool(x: Any) -> Any:
    return layers.MaxPooling2D(2, 2, "same", name="pool1")(x)


def _plain(x: Any, channels: int, shared_slopes: bool, name: str) -> Any:
    return blocks.conv(x, channels, 3, shared_slopes, name)


def _separable(x: Any, channels: int, shared_slopes: bool, name: str) -> Any:
    # Keras counts a depthwise kernel's inputs as if every channel saw all of them, and would start it too small.
    start = keras.initializers.RandomNormal(stddev=1 / 3)
    x = layers.DepthwiseConv2D(3, depthwise_initializer=start, name=f"{name}_depthwise")(x)
    x = blocks.map_prelu(x, shared_slopes, f"{name}_depthwise")
    return blocks.conv(x, channels, 1, shared_slopes, name)


class Variant(NamedTuple):
    """What one P-Net has that another has not."""

    halving: Callable = _pooled
    """The layers that halve the map: x, channels, shared slopes → x."""
    later: Callable = _plain
    """Each of the two convolutions after them: x, channels, shared slopes, name → x."""
    channels: tuple[int, int, int] = (10, 16, 32)
    """Of the three convolutions' maps."""


VARIANTS = {
    blocks.PAPER: Variant(),
    "strided": Variant(halving=_strided),
    "depthwise": Variant(later=_separable),
    "crelu": Variant(halving=_crelu_pooled),
    "wide": Variant(channels=(20, 32, 64)),
}
"""The P-Nets there are, by name."""


def pnet(
    shared_slopes: bool = True,
    landmark_set: landmark_sets.LandmarkSet | None = landmark_sets.FIVE,
    variant: str = blocks.PAPER,
) -> keras.Model:
    """An untrained P-Net: 12-pixel windows of images of any size; see `networks.build`.

    Args:
        shared_slopes: Whether a layer's channels share the slope of their PReLU.
        landmark_set: The points it finds; None for none.
        variant: One of `VARIANTS`.
    """
    halving, later, channels = VARIANTS[variant]
    image, x = blocks.inputs(None, stages.PNET.name, landmark_set=landmark_set, variant=variant)
    x = halving(x, channels[0], shared_slopes)
    x = later(x, channels[1], shared_slopes, "conv2")
    x = later(x, channels[2], shared_slopes, "conv3")
    heads = {
        name: layers.Conv2D(size, 1, dtype="float32", name=name)(x) for name, size in blocks.heads(landmark_set).items()
    }
    return keras.Model(image, heads, name=stages.PNET.name)
