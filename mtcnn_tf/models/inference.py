"""A trained Keras network as plain TensorFlow operations, arranged for speed: same numbers, less work.

* A PReLU whose slope a layer shares becomes `leaky_relu` with a constant slope, which oneDNN fuses into the
  convolution before it. A slope for each channel stays a PReLU.
* Face and box become one matrix product, with one face logit (the difference of the two) in place of two, so that no
  softmax is needed: a face's probability is the sigmoid of that logit, and `p > t` is `logit > log(t / (1 - t))`.
* Scale and offset of the pixels fold into the first convolution, which pads nothing, or black pixels.
* P-Net's boxes are of interest in few places of its map, and landmarks in few crops: `features`, `logits`, `offsets`
  and `landmarks` can be called one by one.
* What the RPN says of its anchors is one matrix product for each stride and head. All offsets together are a hundredth
  of its work, so that they are not chosen from.
* Layers may compute in bfloat16, which processors with such instructions (AVX512-BF16, AMX) do in about half the time,
  and others in far more. What goes in and out is float32, and so are the heads.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mtcnn_tf import arguments, stages
from mtcnn_tf.models import blocks, networks

PRECISIONS = ("float32", "bfloat16")


class Outputs(NamedTuple):
    """What a network says of each window or crop; `...` is the batch, for P-Net batch, rows, columns."""

    logits: tf.Tensor
    """[...], of "face"."""
    offsets: tf.Tensor
    """[..., 4], see `boxes.encode`."""
    features: tf.Tensor
    """What `Network.landmarks` takes: `Network.feature_shape` after the batch."""


@dataclasses.dataclass(frozen=True)
class LeakyRelu:
    """A PReLU whose slope a layer shares."""

    slope: float

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """x, below 0 times the slope."""
        return tf.nn.leaky_relu(x, self.slope)


class _Frozen(tf.Module):
    """The layers of a model as functions, and copies of its weights.

    Attributes:
        read_kernel: Called on the kernel of a layer when it computes; see `quantization`.

    Raises:
        ValueError: The network holds a layer, or an activation inside of a layer, that `networks` doesn't use; the
            precision is none of `PRECISIONS`.
    """

    def __init__(self, model: keras.Model, precision: str = PRECISIONS[0]):
        super().__init__(name=model.name)
        self._dtype = tf.dtypes.as_dtype(arguments.choice("precision", precision, PRECISIONS))
        self.weights: list[tf.Variable] = []  # a saved module keeps what its attributes hold
        self.read_kernel: Callable[[tf.Variable], tf.Tensor] = tf.convert_to_tensor
        self._ways: list[list[Callable]] = []

    def wrap_steps(self, wrap: Callable[[Callable], Callable]) -> None:
        """Puts `wrap(step)` in the place of the function of each layer but the heads."""
        for way in self._ways:
            way[:] = map(wrap, way)

    def _steps(self, way: list[keras.Layer], layers_before: dict) -> list[Callable[[tf.Tensor], tf.Tensor]]:
        """The layers of `way` as functions, each with those of the layers before it that are part of it."""
        self._ways.append([self._step(layer, layers_before) for layer in way])
        return self._ways[-1]

    def _step(self, layer: keras.Layer, layers_before: dict) -> Callable[[tf.Tensor], tf.Tensor]:
        before = layers_before[layer]
        if getattr(layer, "activation", keras.activations.linear) is not keras.activations.linear:
            raise ValueError(f"expected activations to be layers, got {layer.name!r} with one of its own; use PReLU")
        is_folded = isinstance(layer, keras.layers.Conv2D) and layer.padding == "valid"  # see _rescaled
        if isinstance(before, keras.layers.Rescaling) and not is_folded:
            raise ValueError(f"expected a convolution without padding after {before.name!r}, got {layer.name!r}")
        match layer:
            case keras.layers.InputLayer() | keras.layers.Rescaling() | keras.layers.ZeroPadding2D():
                return tf.identity  # the last two are part of the next convolution
            case keras.layers.Conv2D():
                kernel, bias = layer.get_weights()
                kernel, bias = _rescaled(kernel, bias, before)
                return self._convolution(kernel, bias, layer.strides, _padding(layer, before, layers_before))
            case keras.layers.DepthwiseConv2D():
                kernel, bias = layer.get_weights()
                return self._depthwise(kernel, bias, layer)
            case keras.layers.Dense():
                kernel, bias = (self._keep(values, self._dtype) for values in layer.get_weights())
                return lambda x: _product(x, self.read_kernel(kernel), bias)
            case keras.layers.PReLU():
                return self._prelu(layer.get_weights()[0])
            case blocks.CReLU():
                return tf.nn.crelu
            case keras.layers.MaxPooling2D():
                return lambda x: tf.nn.max_pool2d(x, layer.pool_size, layer.strides, layer.padding.upper())
            case keras.layers.Flatten():
                return lambda x: tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        raise ValueError(f"expected the layers that `networks` uses, got {layer.name!r}, a {type(layer).__name__}")

    def _convolution(
        self, kernel: np.ndarray, bias: np.ndarray, strides: tuple[int, int], padding: str
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        kernel, bias = self._keep(kernel, self._dtype), self._keep(bias, self._dtype)
        return lambda x: tf.nn.bias_add(tf.nn.conv2d(x, self.read_kernel(kernel), strides, padding), bias)

    def _depthwise(
        self, kernel: np.ndarray, bias: np.ndarray, layer: keras.layers.DepthwiseConv2D
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        kept = self._keep(kernel, self._dtype), self._keep(bias, self._dtype)
        strides = [1, *layer.strides, 1]
        return lambda x: tf.nn.bias_add(tf.nn.depthwise_conv2d(x, kept[0], strides, layer.padding.upper()), kept[1])

    def _prelu(self, slopes: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
        if slopes.size == 1:
            return LeakyRelu(float(slopes.item()))
        slopes = self._keep(slopes, self._dtype)
        return lambda x: tf.nn.relu(x) + slopes * tf.minimum(x, 0)

    def _keep(self, values: np.ndarray, dtype: tf.DType = tf.float32) -> tf.Variable:
        self.weights.append(tf.Variable(tf.cast(values, dtype), trainable=False))
        return self.weights[-1]

    def _through(self, steps: list[Callable], x: tf.Tensor) -> tf.Tensor:
        """What the steps make of x; float32 both."""
        if not steps:
            return x
        x = tf.cast(x, self._dtype)
        for step in steps:
            x = step(x)
        return tf.cast(x, tf.float32)


class Network(_Frozen):
    """A frozen copy of a network that `networks` built: RGB pixels in 0–255, float32 [N, H, W, 3], to `Outputs`.

    Attributes:
        has_landmarks: Whether it finds them.
        landmark_set: Which, if any.
        margin: See `networks.margin_of`.
        landmark_margin: See `networks.landmark_margin_of`; where that is None, the `margin`.
        feature_shape: Shape of the `Outputs.features` of one crop.

    Raises:
        ValueError: The network holds a layer, or an activation inside of a layer, that `networks` doesn't use.
    """

    def __init__(self, model: keras.Model, precision: str = PRECISIONS[0]):
        super().__init__(model, precision)
        self.has_landmarks = "landmarks" in model.output
        before = _layers_before(model)
        heads = [model.get_layer(name) for name in ("face", "offsets", "landmarks") if name in model.output]
        trunk = _way_to(heads[0], before)
        own = [layer for layer in _way_to(heads[-1], before) if layer not in trunk]
        last_shared: keras.Layer = before[own[0]] if own else trunk[-1]
        num_shared = trunk.index(last_shared) + 1
        self.feature_shape = tuple(last_shared.output.shape[1:])
        self._shared_steps, self._face_steps, self._landmark_steps = (
            self._steps(way, before) for way in (trunk[:num_shared], trunk[num_shared:], own)
        )
        self._kernel, self._bias = map(self._keep, _merged(*(head.get_weights() for head in heads[:2])))
        if self.has_landmarks:
            self._landmark_kernel, self._landmark_bias = map(self._keep, _flat(*heads[-1].get_weights()))
        self.landmark_set = networks.landmark_set_of(model)
        self.margin = networks.margin_of(model)
        self.landmark_margin = networks.landmark_margin_of(model) or self.margin

    @tf.Module.with_name_scope
    def __call__(self, pixels: tf.Tensor) -> Outputs:
        """The network's `Outputs` for pixels in 0–255, float32 [N, H, W, 3]."""
        features = self._through(self._shared_steps, pixels)
        x = _product(self._through(self._face_steps, features), self._kernel, self._bias)
        return Outputs(x[..., 0], x[..., 1:], features)

    @tf.Module.with_name_scope
    def landmarks(self, features: tf.Tensor) -> tf.Tensor:
        """Landmarks [..., 2 P], x, y of each relative to the box, of a network that finds them."""
        return _product(self._through(self._landmark_steps, features), self._landmark_kernel, self._landmark_bias)

    @tf.Module.with_name_scope
    def features(self, pixels: tf.Tensor) -> tf.Tensor:
        """What face and box are told from, [..., F], for pixels in 0–255, float32 [N, H, W, 3]."""
        return self._through(self._shared_steps + self._face_steps, pixels)

    @tf.Module.with_name_scope
    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """`Outputs.logits` alone, [...], of features [..., F]."""
        return _product(features, self._kernel[:, :1], self._bias[:1])[..., 0]

    @tf.Module.with_name_scope
    def offsets(self, features: tf.Tensor) -> tf.Tensor:
        """`Outputs.offsets` alone, [..., 4], of features [..., F], be they a batch or chosen places of a map."""
        return _product(features, self._kernel[:, 1:], self._bias[1:])


class RpnNetwork(_Frozen):
    """A frozen copy of an RPN: RGB pixels in 0–255 to what it says of its anchors.

    Attributes:
        anchors: The anchors it tells of.
        has_landmarks: Always false.

    Raises:
        ValueError: See `Network`.
    """

    def __init__(self, model: keras.Model, precision: str = PRECISIONS[0]):
        super().__init__(model, precision)
        self.has_landmarks = False
        self.anchors = networks.anchors_of(model)
        self._blocks, before = [], _layers_before(model)
        way_before: list[keras.Layer] = []
        for stride in self.anchors.by_stride():
            heads = [model.get_layer(f"{name}{stride}") for name in ("face", "offsets")]
            way = _way_to(heads[0], before)
            steps = self._steps(way[len(way_before) :], before)
            self._blocks.append((steps, *(list(map(self._keep, _flat(*head.get_weights()))) for head in heads)))
            way_before = way

    @tf.Module.with_name_scope
    def __call__(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits [N, A] and offsets [N, A, 4] of all anchors, in the order of `anchors.Anchors.boxes`.

        Args:
            pixels: In 0–255, float32 [N, H, W, 3]; H and W are multiples of `anchors.LARGEST_STRIDE`.
        """
        logits, offsets, num_images = [], [], tf.shape(pixels)[0]
        for steps, face, box in self._blocks:
            pixels = self._through(steps, pixels)
            logits.append(tf.reshape(_product(pixels, *face), [num_images, -1]))
            offsets.append(tf.reshape(_product(pixels, *box), [num_images, -1, 4]))
        return tf.concat(logits, axis=1), tf.concat(offsets, axis=1)


def frozen(model: keras.Model, precision: str = PRECISIONS[0]) -> Network | RpnNetwork:
    """A frozen copy of any network of `networks`, of which the layers compute in one of `PRECISIONS`."""
    return (RpnNetwork if model.name == stages.RPN.name else Network)(model, precision)


def _rescaled(kernel: np.ndarray, bias: np.ndarray, before: keras.Layer | None) -> tuple[np.ndarray, np.ndarray]:
    """The convolution that does the rescaling of the layer before it, too, if that is one."""
    if not isinstance(before, keras.layers.Rescaling):
        return kernel, bias
    return kernel * before.scale, bias + before.offset * kernel.sum(axis=(0, 1, 2))


def _padding(layer: keras.layers.Conv2D, before: keras.Layer | None, layers_before: dict) -> str:
    """How the convolution pads, the black pixels included that are put round an image before its rescaling."""
    rim = layers_before[before] if isinstance(before, keras.layers.Rescaling) else None
    if not isinstance(rim, keras.layers.ZeroPadding2D):
        return layer.padding.upper()
    if (rim.padding, layer.kernel_size, layer.strides) != (((0, 1), (0, 1)), (3, 3), (2, 2)):
        raise ValueError(f"expected a black rim as the RPN has it, got {rim.padding} before {layer.name!r}")
    return "SAME"  # pads just this rim where height and width are even


def _layers_before(model: keras.Model) -> dict[keras.Layer, keras.Layer | None]:
    """The layer whose output each layer takes, of those that take one."""
    by_output = {id(layer.output): layer for layer in model.layers}
    return {
        layer: None if isinstance(layer, keras.layers.InputLayer) else by_output[id(layer.input)]
        for layer in model.layers
        if not isinstance(layer, networks.Proposals)
    }


def _way_to(head: keras.Layer, before: dict) -> list[keras.Layer]:
    """The layers from the input to what `head` looks at."""
    way = [before[head]]
    while before[way[0]]:
        way.insert(0, before[way[0]])
    return way


def _merged(face: list[np.ndarray], offsets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [F, 5] and bias [5] of the face's logit and the offsets."""
    (face_kernel, face_bias), (kernel, bias) = _flat(*face), _flat(*offsets)
    difference = face_kernel[:, 1:] - face_kernel[:, :1]
    return np.concatenate([difference, kernel], axis=1), np.concatenate([face_bias[1:] - face_bias[:1], bias])


def _flat(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [F, G] and bias [G]; P-Net's heads are 1×1 convolutions."""
    return kernel.reshape(kernel.shape[-2:]), bias


def _product(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Matrix product over the last axis of `x`, [..., F] to [..., G]."""
    product = tf.nn.bias_add(tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel), bias)
    return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))
