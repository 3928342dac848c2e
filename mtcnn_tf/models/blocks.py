"""What the networks are put together from: layers of their own, and the usual ones as the networks use them."""

from typing import Any

import keras
from keras import layers

from mtcnn_tf import landmark_sets

PIXEL_MEAN = 127.5
PIXEL_SCALE = 128.0

PAPER = "paper"
"""The name of the form that the paper gives a network, among its variants."""


@keras.saving.register_keras_serializable(package="mtcnn_tf")
class Pixels(layers.Rescaling):
    """The first layer of every network: pixels in 0–255 to numbers round 0. It keeps what the file must tell.

    Args:
        scale: What pixels are multiplied with.
        offset: What is added then.
        margin: See `networks.build`.
        variant: See `networks.build`.
        landmark_set: What `LandmarkSet.to_dict` says of the points that the network finds; None for five, or none.
        landmark_margin: See `networks.build`.
    """

    def __init__(
        self,
        scale: float = 1 / PIXEL_SCALE,
        offset: float = -PIXEL_MEAN / PIXEL_SCALE,
        margin: float = 1.0,
        variant: str = PAPER,
        landmark_set: dict | None = None,
        landmark_margin: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(scale, offset, **kwargs)
        self.margin = float(margin)
        self.variant = variant
        self.landmark_set = landmark_sets.from_dict(landmark_set) if landmark_set else landmark_sets.FIVE
        self.landmark_margin = landmark_margin

    def get_config(self) -> dict:
        """The arguments that make the same layer."""
        config = {**super().get_config(), "margin": self.margin, "variant": self.variant}
        # Of these files that are older don't speak.
        if self.landmark_set != landmark_sets.FIVE:
            config["landmark_set"] = self.landmark_set.to_dict()
        if self.landmark_margin is not None:
            config["landmark_margin"] = self.landmark_margin
        return config


@keras.saving.register_keras_serializable(package="mtcnn_tf")
class CReLU(layers.Layer):
    """Concatenated ReLU: [..., C] to [..., 2 C], max(x, 0) and max(−x, 0) (Shang et al. 2016, arXiv 1603.05201).

    First layers learn filters in pairs of opposite sign; here one filter serves as both.
    """

    def call(self, x: Any) -> Any:
        """See the class."""
        return keras.ops.relu(keras.ops.concatenate([x, -x], axis=-1))


def inputs(size: int | None, stage_name: str, **kept: Any) -> tuple[Any, Any]:
    """The input of a network that takes images of `size` × `size` pixels, or of any size, and its pixels round 0."""
    image = keras.Input((size, size, 3), name="image")
    return image, pixels(image, stage_name, **kept)


def pixels(image: Any, stage_name: str, landmark_set: landmark_sets.LandmarkSet | None = None, **kept: Any) -> Any:
    """The image's pixels round 0, by a layer that keeps what `Pixels` takes."""
    described = landmark_set.to_dict() if landmark_set else None
    return Pixels(landmark_set=described, **kept, name=f"{stage_name}_pixels")(image)


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


def heads(landmark_set: landmark_sets.LandmarkSet | None) -> dict[str, int]:
    """The heads of a network that finds these points, or none, and how many numbers each gives."""
    points = {"landmarks": 2 * landmark_set.num_points} if landmark_set else {}
    return {"face": 2, "offsets": 4, **points}


def dense(x: Any, units: int, shared_slopes: bool, own: str = "") -> Any:
    """A map [N, H, W, C] seen by a dense layer with its PReLU, whose names begin with `own`."""
    x = layers.Flatten(name=f"{own}flatten")(x)
    x = layers.Dense(units, name=f"{own}dense")(x)
    return prelu([1] if shared_slopes else None, f"{own}dense_prelu")(x)


def dense_head(x: Any, name: str, size: int) -> Any:
    """A head of `size` numbers, told from features [N, K]."""
    return layers.Dense(size, dtype="float32", name=name)(x)


def copy_if_fitting(source: keras.Layer, layer: keras.Layer) -> None:
    """Gives `layer` the weights of `source` where they have the same shapes, and does nothing otherwise."""
    if [weight.shape for weight in source.weights] == [weight.shape for weight in layer.weights]:
        layer.set_weights(source.get_weights())
