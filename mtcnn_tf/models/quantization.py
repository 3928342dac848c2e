"""Networks that compute in int8, with ranges observed on images (Jacob et al. 2018, arXiv 1712.05877, section 3).

A frozen network is first observed: each layer keeps a sample of the values it has seen. Then its layers round what they
give, and their kernels, to 256 steps of a range: the converter of LiteRT makes integer operations of it, and in
TensorFlow the network says what those will say.

Ranges are narrower than what was seen, or their steps would follow its rarest values: each end is where the mean square
error of the sample is least (Banner et al. 2019, arXiv 1810.05723), and what a PReLU will shrink counts as little as it
will. Not so where a dense layer tells the features of a crop: most are far below 0, and cut off there they would all
err alike, and the heads add them up. What its PReLU makes of them stays as it is: a rare large one says most.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tqdm

from mtcnn_tf.models import inference

_MAX_SAMPLE = 100_000
"""So many values of a layer are kept, about."""
_FRACTIONS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.12, 0.08, 0.05)
"""Ends of a range that are tried, as fractions of the least and the largest value."""
_LEAST_HIGH = 1e-3
"""A range has at least this as its upper end, that a layer may say nothing but 0."""


class Step:
    """A layer of a frozen network, whose values are observed, or rounded to a range of what was observed.

    Attributes:
        slope: Of the PReLU behind it; 1 where there is none.
    """

    def __init__(self, step: Callable[[tf.Tensor], tf.Tensor]):
        self._step, self.slope = step, 1.0
        self._sample = np.zeros(0, np.float32)
        self._low, self._high = 0.0, 0.0
        self._keep_each = 1  # of so many values
        self._rng = np.random.default_rng(0)
        self._rank: int | None = None
        self._range: tuple[float, float] | None = None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """The layer's values; to observe them wants eager mode."""
        x = self._step(x)
        self._rank = x.shape.rank
        if self._gives_features():
            return x
        if self._range:
            return tf.quantization.fake_quant_with_min_max_args(x, *self._range)
        self._observe(x.numpy().ravel())
        return x

    def _gives_features(self) -> bool:
        return self._rank == 2 and isinstance(self._step, inference.LeakyRelu)

    def _observe(self, values: np.ndarray) -> None:
        if not len(values):
            return
        self._low, self._high = min(self._low, values.min()), max(self._high, values.max())
        chosen = values[self._rng.integers(len(values), size=-(-len(values) // self._keep_each))]
        self._sample = np.concatenate([self._sample, chosen])
        while len(self._sample) > _MAX_SAMPLE:
            self._keep_each *= 2
            self._sample = self._rng.permutation(self._sample)[: len(self._sample) // 2]

    def has_seen(self) -> bool:
        """Whether there was anything to choose a range by, or none is needed."""
        return self._gives_features() or len(self._sample) > 0

    def round_from_now_on(self) -> None:
        """Has values rounded instead of observed."""
        if not self._gives_features():
            self._range = best_range(self._sample, self._low, self._high, self.slope if self._rank == 4 else 1.0)


def best_range(values: np.ndarray, low: float, high: float, slope: float = 1.0) -> tuple[float, float]:
    """The range whose 256 steps tell `values` [N] with the least mean square error behind a PReLU.

    Args:
        values: A sample.
        low: The least value of all, of which the sample is one. The range holds 0, and is no wider than these two.
        high: The largest.
        slope: Of the PReLU.
    """
    low, high = min(float(low), 0.0), max(float(high), _LEAST_HIGH)
    ends = [(low * a, max(high * b, _LEAST_HIGH)) for a in _FRACTIONS for b in _FRACTIONS]

    sample = tf.constant(values, tf.float32)

    def error(each: tuple[float, float]) -> float:
        rounded = tf.quantization.fake_quant_with_min_max_args(sample, *each)
        difference = tf.nn.leaky_relu(rounded, slope) - tf.nn.leaky_relu(sample, slope)
        return float(tf.reduce_mean(difference**2))

    return min(ends, key=error)


def observe(network: inference.Network | inference.RpnNetwork) -> list[Step]:
    """Has the layers of `network` observed from now on; gives them to `round_to`."""
    steps: list[Step] = []

    def observed(step: Callable) -> Step:
        if isinstance(step, inference.LeakyRelu):
            steps[-1].slope = step.slope
        steps.append(Step(step))
        return steps[-1]

    network.wrap_steps(observed)
    return steps


def round_to(network: inference.Network | inference.RpnNetwork, steps: list[Step]) -> None:
    """Has `network` round to what its `steps` have observed.

    Raises:
        ValueError: They have seen nothing.
    """
    if not all(step.has_seen() for step in steps):
        raise ValueError(
            f"expected images on which {network.name} has something to see, got none for it; calibrate on images with "
            "faces"
        )
    for step in tqdm.tqdm(steps, desc=f"ranges of {network.name}", unit=" layers", disable=None, leave=False):
        step.round_from_now_on()
    kernels = {weight.ref(): weight.numpy() for weight in network.weights}
    network.read_kernel = lambda kernel: _rounded(kernel, kernels[kernel.ref()])


def _rounded(kernel: tf.Variable, values: np.ndarray) -> tf.Tensor:
    """A kernel with such values in int8, each of its filters with a range of its own; a matrix with one for all."""
    if values.ndim == 2:
        limit = float(np.abs(values).max())
        return tf.quantization.fake_quant_with_min_max_args(kernel, -limit, limit, narrow_range=True)
    limits = np.maximum(np.abs(values).max(axis=(0, 1, 2)), 1e-6)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -limits, limits, narrow_range=True)
