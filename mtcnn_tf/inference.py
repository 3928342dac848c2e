"""A trained Keras network as plain TensorFlow operations, arranged for speed: same numbers, less work.

* A PReLU whose slope a layer shares becomes `leaky_relu` with a constant slope, which oneDNN fuses into the
  convolution before it. A slope for each channel stays a PReLU.
* Face and box become one matrix product, with one face logit (the difference of the two) in place of two, so that no
  softmax is needed: a face's probability is the sigmoid of that logit, and `p > t` is `logit > log(t / (1 - t))`.
* Scale and offset of the pixels fold into the first convolution, which pads nothing.
* P-Net's boxes are of interest in few places of its map, and landmarks in few crops: `features`, `logits`, `offsets`
  and `landmarks` can be called one by one.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf


class Outputs(NamedTuple):
    """What a network says of each window or crop; `...` is the batch, for P-Net batch, rows, columns."""

    logits: tf.Tensor
    """[...], of "face"."""
    offsets: tf.Tensor
    """[..., 4], see `boxes.encode`."""
    clues: tf.Tensor
    """What `Network.landmarks` takes: `Network.clue_shape` after the batch."""


class Network(tf.Module):
    """A frozen copy of a network that `networks` built: RGB pixels in 0–255, float32 [N, H, W, 3], to `Outputs`.

    Raises:
        ValueError: The network holds a layer, or an activation inside of a layer, that `networks` doesn't use.
    """

    def __init__(self, model: keras.Model):
        super().__init__(name=model.name)
        self.has_landmarks = "landmarks" in model.output
        before = _layers_before(model)
        heads = [model.get_layer(name) for name in ("face", "offsets", "landmarks") if name in model.output]
        trunk = _way_to(heads[0], before)
        own = [layer for layer in _way_to(heads[-1], before) if layer not in trunk]
        last_shared = before[own[0]] if own else trunk[-1]
        num_shared = trunk.index(last_shared) + 1
        self.clue_shape = tuple(last_shared.output.shape[1:])
        self.weights: list[tf.Variable] = []  # a saved module keeps what its attributes hold
        self._shared_steps, self._face_steps, self._landmark_steps = (
            [self._step(layer, before[layer]) for layer in way] for way in (trunk[:num_shared], trunk[num_shared:], own)
        )
        self._kernel, self._bias = map(self._keep, _merged(*(head.get_weights() for head in heads[:2])))
        if self.has_landmarks:
            self._landmark_kernel, self._landmark_bias = map(self._keep, _flat(*heads[-1].get_weights()))

    @tf.Module.with_name_scope
    def __call__(self, pixels: tf.Tensor) -> Outputs:
        """The network's `Outputs` for pixels in 0–255, float32 [N, H, W, 3]."""
        clues = _through(self._shared_steps, pixels)
        x = _product(_through(self._face_steps, clues), self._kernel, self._bias)
        return Outputs(x[..., 0], x[..., 1:], clues)

    @tf.Module.with_name_scope
    def landmarks(self, clues: tf.Tensor) -> tf.Tensor:
        """Landmarks [..., 10], five x, y relative to the box, of a network that finds them."""
        return _product(_through(self._landmark_steps, clues), self._landmark_kernel, self._landmark_bias)

    @tf.Module.with_name_scope
    def features(self, pixels: tf.Tensor) -> tf.Tensor:
        """What face and box are told from, [..., F], for pixels in 0–255, float32 [N, H, W, 3]."""
        return _through(self._shared_steps + self._face_steps, pixels)

    @tf.Module.with_name_scope
    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """`Outputs.logits` alone, [...], of features [..., F]."""
        return _product(features, self._kernel[:, :1], self._bias[:1])[..., 0]

    @tf.Module.with_name_scope
    def offsets(self, features: tf.Tensor) -> tf.Tensor:
        """`Outputs.offsets` alone, [..., 4], of features [..., F], be they a batch or chosen places of a map."""
        return _product(features, self._kernel[:, 1:], self._bias[1:])

    def _step(self, layer: keras.Layer, before: keras.Layer | None) -> Callable[[tf.Tensor], tf.Tensor]:
        if getattr(layer, "activation", keras.activations.linear) is not keras.activations.linear:
            raise ValueError(f"expected activations to be layers, got {layer.name!r} with one of its own; use PReLU")
        is_folded = isinstance(layer, keras.layers.Conv2D) and layer.padding == "valid"  # see _rescaled
        if isinstance(before, keras.layers.Rescaling) and not is_folded:
            raise ValueError(f"expected a convolution without padding after {before.name!r}, got {layer.name!r}")
        match layer:
            case keras.layers.InputLayer() | keras.layers.Rescaling():  # the latter is part of the next layer
                return tf.identity
            case keras.layers.Conv2D():
                kernel, bias = _rescaled(*layer.get_weights(), before)
                return self._convolution(kernel, bias, layer.strides, layer.padding.upper())
            case keras.layers.Dense():
                kernel, bias = map(self._keep, layer.get_weights())
                return lambda x: _product(x, kernel, bias)
            case keras.layers.PReLU():
                return self._prelu(layer.get_weights()[0])
            case keras.layers.MaxPooling2D():
                return lambda x: tf.nn.max_pool2d(x, layer.pool_size, layer.strides, layer.padding.upper())
            case keras.layers.Flatten():
                return lambda x: tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        raise ValueError(f"expected the layers that networks.py uses, got {layer.name!r}, a {type(layer).__name__}")

    def _convolution(self, kernel, bias, strides, padding: str) -> Callable[[tf.Tensor], tf.Tensor]:
        kernel, bias = self._keep(kernel), self._keep(bias)
        return lambda x: tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides, padding), bias)

    def _prelu(self, slopes: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
        if slopes.size == 1:
            return lambda x: tf.nn.leaky_relu(x, float(slopes.item()))
        slopes = self._keep(slopes)
        return lambda x: tf.nn.relu(x) + slopes * tf.minimum(x, 0)

    def _keep(self, values: np.ndarray) -> tf.Variable:
        self.weights.append(tf.Variable(values, trainable=False, dtype=tf.float32))
        return self.weights[-1]


def _rescaled(kernel: np.ndarray, bias: np.ndarray, before: keras.Layer | None) -> tuple[np.ndarray, np.ndarray]:
    """The convolution that does the rescaling of the layer before it, too, if that is one."""
    if not isinstance(before, keras.layers.Rescaling):
        return kernel, bias
    return kernel * before.scale, bias + before.offset * kernel.sum(axis=(0, 1, 2))


def _layers_before(model: keras.Model) -> dict[keras.Layer, keras.Layer | None]:
    """The layer whose output each layer takes."""
    by_output = {id(layer.output): layer for layer in model.layers}
    return {
        layer: None if isinstance(layer, keras.layers.InputLayer) else by_output[id(layer.input)]
        for layer in model.layers
    }


def _way_to(head: keras.Layer, before: dict) -> list[keras.Layer]:
    """The layers from the input to what `head` looks at."""
    way = [before[head]]
    while before[way[0]]:
        way.insert(0, before[way[0]])
    return way


def _through(steps: list[Callable], x: tf.Tensor) -> tf.Tensor:
    for step in steps:
        x = step(x)
    return x


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
