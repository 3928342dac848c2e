"""Ranges of values in int8."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import stages
from mtcnn_tf.models import inference, networks, quantization


def test_rare_values_do_not_make_the_range():
    rng = np.random.default_rng(0)

    def error(values, low, high):
        return np.mean((tf.quantization.fake_quant_with_min_max_args(values, low, high).numpy() - values) ** 2)

    for rare in (rng.standard_t(3, 50_000), rng.laplace(0, 1, 50_000)):
        chosen = quantization.best_range(rare, rare.min(), rare.max())
        assert rare.min() < chosen[0] < 0 < chosen[1] <= rare.max()
        assert error(rare, *chosen) < 0.98 * error(rare, rare.min(), rare.max())
    uniform = rng.uniform(-2, 6, 50_000)
    assert quantization.best_range(uniform, -2, 6) == (-2, 6)
    assert quantization.best_range(np.zeros(9), 0, 0) == (0, 1e-3)


def test_what_a_prelu_shrinks_counts_little():
    values = np.random.default_rng(0).normal(-1, 2, 20_000)
    ends = [quantization.best_range(values, values.min(), values.max(), slope) for slope in (1, 0.2, 0)]
    lows, highs = zip(*ends, strict=True)
    assert lows[0] < lows[1] < lows[2] < 0 and min(highs) > 0.5 * values.max()


def test_features_far_below_zero_are_not_cut_off():
    values = np.random.default_rng(0).normal(-10, 5, (1, 20, 20, 64)).astype(np.float32)
    lows = []
    for shape in ([-1, 64], [1, 20, 20, 64]):
        step = quantization.Step(tf.identity)
        step.slope = 0.0
        step(tf.reshape(values, shape))
        assert step.has_seen()
        step.round_from_now_on()
        lows.append(step(tf.reshape(values, shape)).numpy().min())
    assert lows[0] < np.quantile(values, 0.01) < np.quantile(values, 0.5) < lows[1]


def test_a_sample_stays_small_and_is_one_of_all():
    step = quantization.Step(tf.identity)
    for k in range(40):
        step(tf.fill([1, 100, 100, 1], float(k)))
    assert len(step._sample) <= 100_000
    counts = np.bincount(step._sample.astype(int), minlength=40)
    assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()


@pytest.mark.parametrize("stage", [stages.RPN, stages.ONET])
def test_a_rounded_network_says_nearly_the_same(stage):
    keras.utils.set_random_seed(3)
    network = inference.frozen(networks.build(stage, landmark_branch=stage is stages.ONET))
    side = stage.size if stage is stages.ONET else 64
    pixels = tf.constant(np.random.default_rng(0).uniform(0, 255, (4, side, side, 3)), tf.float32)
    wanted = [x.numpy() for x in network(pixels)][:2]
    steps = quantization.observe(network)
    with pytest.raises(ValueError, match=f"expected images on which {network.name} has something to see"):
        quantization.round_to(network, steps)
    network(pixels)
    if stage is stages.ONET:  # nothing of the landmarks was seen
        with pytest.raises(ValueError, match="expected images on which onet has something to see"):
            quantization.round_to(network, steps)
        for found, x in zip(network(pixels), wanted, strict=False):
            np.testing.assert_array_equal(found, x)  # it is not half rounded
        network.landmarks(network(pixels).features)
    quantization.round_to(network, steps)
    for found, x in zip(network(pixels), wanted, strict=False):
        difference = np.abs(found.numpy() - x).max()
        assert 0 < difference < 0.1 * np.abs(x - x.mean()).max() + 0.02
