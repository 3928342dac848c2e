"""Networks that compute in int8, with ranges observed on images (Jacob et al. 2018, arXiv 1712.05877, section 3).

A frozen network is first observed: each layer keeps the least and largest value it has seen. Then its layers round what
they give, and their kernels, to 256 steps of that range: the converter of LiteRT makes integer operations of it, and in
TensorFlow the network says what those will say.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mtcnn_tf.models import inference


class Step:
    """A layer of a frozen network, whose values are observed, or rounded to what was observed.

    Attributes:
        low: The least value seen.
        high: The largest value seen.
        rounds: Whether values are rounded; otherwise they are observed, which wants eager mode.
    """

    def __init__(self, step: Callable[[tf.Tensor], tf.Tensor]):
        self._step = step
        self.low, self.high, self.rounds = math.inf, -math.inf, False

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """The layer's values."""
        x = self._step(x)
        if self.rounds:
            return tf.quantization.fake_quant_with_min_max_args(x, min(self.low, 0.0), max(self.high, 1e-3))
        if tf.size(x) > 0:
            self.low = min(self.low, float(tf.reduce_min(x)))
            self.high = max(self.high, float(tf.reduce_max(x)))
        return x


def observe(network: inference.Network | inference.RpnNetwork) -> list[Step]:
    """Has the layers of `network` observed from now on; gives them to `round_to`."""
    steps: list[Step] = []

    def observed(step: Callable) -> Step:
        steps.append(Step(step))
        return steps[-1]

    network.wrap_steps(observed)
    return steps


def round_to(network: inference.Network | inference.RpnNetwork, steps: list[Step]) -> None:
    """Has `network` round to the ranges that its `steps` have observed.

    Raises:
        ValueError: They have seen nothing.
    """
    if any(step.low > step.high for step in steps):
        raise ValueError(
            f"expected images on which {network.name} has something to see, got none for it; calibrate on images with "
            "faces"
        )
    for step in steps:
        step.rounds = True
    kernels = {weight.ref(): weight.numpy() for weight in network.weights}
    network.read_kernel = lambda kernel: _rounded(kernel, kernels[kernel.ref()])


def _rounded(kernel: tf.Variable, values: np.ndarray) -> tf.Tensor:
    """A kernel with such values in int8, each of its filters with a range of its own; a matrix with one for all."""
    if values.ndim == 2:
        limit = float(np.abs(values).max())
        return tf.quantization.fake_quant_with_min_max_args(kernel, -limit, limit, narrow_range=True)
    limits = np.maximum(np.abs(values).max(axis=(0, 1, 2)), 1e-6)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -limits, limits, narrow_range=True)
