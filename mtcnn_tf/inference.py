"""A trained Keras network as plain TensorFlow operations, arranged for speed: same numbers, less work.

* A PReLU whose slope a layer shares becomes `leaky_relu` with a constant slope, which oneDNN fuses into the
  convolution before it. A slope for each channel stays a PReLU.
* The heads become one convolution or matrix product, with one face logit (the difference of the two) in place of two,
  so that no softmax is needed: a face's probability is the sigmoid of that logit, and `p > t` is
  `logit > log(t / (1 - t))`.
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
    landmarks: tf.Tensor
    """[..., 10], five x, y relative to the box."""


class Network(tf.Module):
    """A frozen copy of a network that `networks` built: RGB pixels in 0–255, float32 [N, H, W, 3], to `Outputs`.

    Raises:
        ValueError: The network holds a layer, or an activation inside of a layer, that `networks` doesn't use.
    """

    def __init__(self, model: keras.Model):
        super().__init__(name=model.name)
        heads = [model.get_layer(name) for name in ("face", "offsets", "landmarks")]
        trunk = [layer for layer in model.layers if layer not in heads]
        self.weights: list[tf.Variable] = []  # a saved module keeps what its attributes hold
        self._steps = [self._step(layer) for layer in trunk] + [self._merged_heads(heads)]

    @tf.Module.with_name_scope
    def __call__(self, pixels: tf.Tensor) -> Outputs:
        """The network's `Outputs` for pixels in 0–255, float32 [N, H, W, 3]."""
        x = pixels
        for step in self._steps:
            x = step(x)
        return Outputs(x[..., 0], x[..., 1:5], x[..., 5:])

    def _step(self, layer: keras.Layer) -> Callable[[tf.Tensor], tf.Tensor]:
        if getattr(layer, "activation", keras.activations.linear) is not keras.activations.linear:
            raise ValueError(f"expected activations to be layers, got {layer.name!r} with one of its own; use PReLU")
        match layer:
            case keras.layers.InputLayer():
                return tf.identity
            case keras.layers.Rescaling():
                return lambda x: x * layer.scale + layer.offset
            case keras.layers.Conv2D():
                return self._convolution(*layer.get_weights(), layer.strides, layer.padding.upper())
            case keras.layers.Dense():
                return self._product(*layer.get_weights())
            case keras.layers.PReLU():
                return self._prelu(layer.get_weights()[0])
            case keras.layers.MaxPooling2D():
                return lambda x: tf.nn.max_pool2d(x, layer.pool_size, layer.strides, layer.padding.upper())
            case keras.layers.Flatten():
                return lambda x: tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        raise ValueError(f"expected the layers that networks.py uses, got {layer.name!r}, a {type(layer).__name__}")

    def _merged_heads(self, heads: list[keras.Layer]) -> Callable[[tf.Tensor], tf.Tensor]:
        (face_kernel, face_bias), *others = [head.get_weights() for head in heads]
        kernels = [face_kernel[..., 1:] - face_kernel[..., :1]] + [kernel for kernel, _ in others]
        biases = [face_bias[1:] - face_bias[:1]] + [bias for _, bias in others]
        kernel, bias = np.concatenate(kernels, axis=-1), np.concatenate(biases)
        return self._convolution(kernel, bias, 1, "VALID") if kernel.ndim == 4 else self._product(kernel, bias)

    def _convolution(self, kernel, bias, strides, padding: str) -> Callable[[tf.Tensor], tf.Tensor]:
        kernel, bias = self._keep(kernel), self._keep(bias)
        return lambda x: tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides, padding), bias)

    def _product(self, kernel, bias) -> Callable[[tf.Tensor], tf.Tensor]:
        kernel, bias = self._keep(kernel), self._keep(bias)
        return lambda x: tf.nn.bias_add(tf.matmul(x, kernel), bias)

    def _prelu(self, slopes: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
        if slopes.size == 1:
            return lambda x: tf.nn.leaky_relu(x, float(slopes.item()))
        slopes = self._keep(slopes)
        return lambda x: tf.nn.relu(x) + slopes * tf.minimum(x, 0)

    def _keep(self, values: np.ndarray) -> tf.Variable:
        self.weights.append(tf.Variable(values, trainable=False, dtype=tf.float32))
        return self.weights[-1]
