"""O-Net, the output network, and its variants: 48-pixel crops.

The paper's has four convolutions and a dense layer (Zhang et al. 2016, figure 2). `wide` has twice the channels where
they cost little, from the third convolution on: a third more multiplications.

A wide one need not learn from nothing: `widen` lets it begin as one of the paper.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from mtcnn_tf import landmark_sets, stages
from mtcnn_tf.models import blocks

OWN = "landmark_"
"""How the names of layers begin that the landmarks have for themselves."""


class Variant(NamedTuple):
    """How many channels the layers of faces and boxes have, from the third convolution on."""

    conv3: int = 64
    conv4: int = 128
    dense: int = 256


VARIANTS = {blocks.PAPER: Variant(), "wide": Variant(128, 256, 384)}
"""The O-Nets there are, by name. What landmarks have for themselves is as in the paper in all of them."""


def onet(
    shared_slopes: bool = True,
    landmark_set: landmark_sets.LandmarkSet | None = landmark_sets.FIVE,
    landmark_branch: bool = False,
    margin: float = 1.0,
    landmark_margin: float | None = None,
    variant: str = blocks.PAPER,
) -> keras.Model:
    """An untrained O-Net; see `networks.build`.

    Args:
        shared_slopes: Whether a layer's channels share the slope of their PReLU.
        landmark_set: The points it finds; None for none.
        landmark_branch: Whether these have layers of their own.
        margin: Side of its crops over the side of the square they tell of.
        landmark_margin: The same for crops of the landmarks' own; None for none.
        variant: One of `VARIANTS`.
    """

    def first_layers(x: Any, own: str = "") -> Any:
        x = blocks.conv(x, 32, 3, shared_slopes, f"{own}conv1")
        x = layers.MaxPooling2D(3, 2, "same", name=f"{own}pool1")(x)
        x = blocks.conv(x, 64, 3, shared_slopes, f"{own}conv2")
        return layers.MaxPooling2D(3, 2, "valid", name=f"{own}pool2")(x)

    def last_layers(x: Any, widths: Variant, own: str = "") -> Any:
        x = blocks.conv(x, widths.conv3, 3, shared_slopes, f"{own}conv3")
        x = layers.MaxPooling2D(2, 2, "same", name=f"{own}pool3")(x)
        x = blocks.conv(x, widths.conv4, 2, shared_slopes, f"{own}conv4")
        return blocks.dense(x, widths.dense, shared_slopes, own)

    kept = {"landmark_set": landmark_set, "margin": margin, "landmark_margin": landmark_margin, "variant": variant}
    image, pixels = blocks.inputs(stages.ONET.size, stages.ONET.name, **kept)
    shared = first_layers(pixels)
    sizes = blocks.heads(landmark_set)
    ends = dict.fromkeys(sizes, last_layers(shared, VARIANTS[variant]))
    if landmark_branch:
        start = shared if landmark_margin is None else first_layers(pixels, OWN)
        ends["landmarks"] = last_layers(start, Variant(), OWN)
    heads = {name: blocks.dense_head(end, name, sizes[name]) for name, end in ends.items()}
    return keras.Model(image, heads, name=stages.ONET.name)


def widen(network: keras.Model, wide: keras.Model, noise: float = 0.25) -> None:
    """Gives an O-Net with more channels the weights of one of the paper's: it says about the same, to begin with.

    Some channels are there twice, and what looks at them shares out its weights (Chen et al. 2016, "Net2Net",
    arXiv 1511.05641, section 2.2).

    Args:
        network: The O-Net to copy.
        wide: The one to fill, of the same form but for its variant.
        noise: Standard deviation of what is added to kernels of a second copy, over that of the kernel: copies that are
            alike learn alike. Without noise it says exactly the same.
    """
    rng = np.random.default_rng(0)
    for layer in wide.layers:
        blocks.copy_if_fitting(network.get_layer(layer.name), layer)
    seen = np.arange(network.get_layer("conv2").filters)
    for name in Variant._fields:
        kernel, bias = network.get_layer(name).get_weights()
        layer = wide.get_layer(name)
        given = _with_copies(len(bias), layer.bias.shape[0], rng)
        kernel = _wide_kernel(kernel, seen, given)
        second = kernel[..., len(bias) :]
        second += rng.normal(0, noise * kernel.std(), second.shape)
        layer.set_weights([kernel, bias[given]])
        (slope,) = network.get_layer(f"{name}_prelu").get_weights()
        if slope.size > 1:
            wide.get_layer(f"{name}_prelu").set_weights([slope[..., given]])
        seen = given
    for head in wide.output:
        kernel, bias = network.get_layer(head).get_weights()
        if kernel.shape != wide.get_layer(head).kernel.shape:
            wide.get_layer(head).set_weights([_wide_kernel(kernel, seen, np.arange(len(bias))), bias])


def _with_copies(num_channels: int, num_wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Of which channel each is a copy, int [num_wanted]: all channels once, then some by chance for a second time."""
    return np.concatenate([np.arange(num_channels), rng.permutation(num_channels)[: num_wanted - num_channels]])


def _wide_kernel(kernel: np.ndarray, seen: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The kernel [..., I, O] that sees and gives such copies of channels; I of a dense layer is places × channels."""
    num_copies = np.bincount(seen)
    if kernel.ndim == 2:
        kernel = kernel.reshape(-1, len(num_copies), kernel.shape[1])
    wide = (kernel / num_copies[:, None])[..., seen, :][..., given]
    return wide.reshape(-1, len(given)) if wide.ndim == 3 else wide
