"""The rearranged networks say what Keras says."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import stages
from mtcnn_tf.geometry import anchors
from mtcnn_tf.models import inference, networks, pnet

NETWORKS = [(stage, {}) for stage in stages.ON_CROPS] + [(stages.ONET, {"landmark_branch": True})]
NETWORKS += [(stages.ONET, {"landmark_branch": True, "landmark_margin": 1.1})]
NETWORKS += [(stages.ONET, {"variant": "wide"})]
NETWORKS += [(stages.PNET, {"variant": variant}) for variant in pnet.VARIANTS]


@pytest.mark.parametrize("shared_slopes", [True, False])
@pytest.mark.parametrize(("stage", "more"), NETWORKS)
def test_agrees_with_keras(stage, more, shared_slopes):
    rng = np.random.default_rng(0)
    model = networks.build(stage, shared_slopes, **more)
    for layer in model.layers:  # slopes on both sides of 0 and 1, biases that are not 0
        layer.set_weights(
            [rng.normal(0.3, 0.5, values.shape) * (0.3 if values.ndim > 2 else 1) for values in layer.get_weights()]
        )
    height, width = (31, 26) if stage is stages.PNET else (stage.size, stage.size)
    pixels = rng.uniform(0, 255, (3, height, width, 3)).astype(np.float32)
    network = inference.Network(model)
    outputs = tf.function(network, autograph=False)(pixels)
    landmarks = tf.function(network.landmarks, autograph=False)(outputs.features)
    wanted = {name: np.asarray(values) for name, values in model(pixels).items()}
    for ours, theirs in (
        (outputs.logits, wanted["face"][..., 1] - wanted["face"][..., 0]),
        (outputs.offsets, wanted["offsets"]),
        (landmarks, wanted["landmarks"]),
    ):
        assert np.ptp(theirs) > 0.01
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_the_rpn_agrees_with_keras():
    rng = np.random.default_rng(0)
    model = networks.rpn(anchors.Anchors((10.0, 20.0, 300.0)))  # none of the middle stride
    for layer in model.layers:
        layer.set_weights(
            [rng.normal(0.1, 0.1, values.shape) * (0.3 if values.ndim > 2 else 1) for values in layer.get_weights()]
        )
    pixels = rng.uniform(0, 255, (2, 64, 96, 3)).astype(np.float32)
    network = inference.frozen(model)
    logits, offsets = tf.function(network, autograph=False)(pixels)
    wanted = model(pixels)
    for ours, theirs in ((logits, wanted["face"]), (offsets, wanted["offsets"])):
        assert np.ptp(theirs) > 0.01
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
    assert network.anchors == anchors.Anchors((10.0, 20.0, 300.0)) and not network.trainable_variables


@pytest.mark.parametrize("stage", stages.ALL)
def test_bfloat16_says_nearly_the_same(stage):
    tf.keras.utils.set_random_seed(1)
    model = networks.build(stage)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    pixels = pixels if stage in stages.FIRST else pixels[:, : stage.size, : stage.size]
    exact, rough = (
        tf.function(inference.frozen(model, precision), autograph=False)(pixels) for precision in inference.PRECISIONS
    )
    for wanted, found in zip(exact, rough, strict=True):
        assert found.dtype == tf.float32
        difference = np.abs(np.subtract(wanted, found)).max()
        assert difference < 0.05 * np.abs(wanted).max()
        assert difference > 1e-5 * np.abs(wanted).max() or wanted is exact[-1]  # features may be the pixels
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, got 'float8'"):
        inference.frozen(model, "float8")


def test_the_margin_is_the_networks():
    assert inference.Network(networks.build(stages.ONET, margin=1.25)).margin == 1.25
    assert inference.Network(networks.build(stages.RNET)).margin == 1
    onet = networks.build(stages.ONET, margin=1.25, landmark_branch=True)
    assert inference.Network(onet).landmark_margin == 1.25
    onet = networks.build(stages.ONET, margin=1.25, landmark_branch=True, landmark_margin=1.1)
    assert inference.Network(onet).landmark_margin == 1.1


def test_shared_slopes_are_folded():
    def operations(shared_slopes):
        network = inference.Network(networks.build(stages.PNET, shared_slopes))
        graph = tf.function(network, autograph=False).get_concrete_function(tf.zeros([1, 12, 12, 3])).graph
        return {operation.type for operation in graph.get_operations()}

    assert "LeakyRelu" in operations(True) and "Minimum" not in operations(True)
    assert "LeakyRelu" not in operations(False)


def test_weights_are_frozen_copies():
    model = networks.build(stages.RNET)
    network = inference.Network(model)
    pixels = np.full((1, 24, 24, 3), 200, np.float32)
    before = network(pixels).logits.numpy()
    model.set_weights([weights + 1 for weights in model.get_weights()])
    np.testing.assert_array_equal(network(pixels).logits, before)
    assert not network.trainable_variables and len(network.variables) == 12


def heads(x):
    return {
        name: keras.layers.Dense(size, name=name)(x) for name, size in (("face", 2), ("offsets", 4), ("landmarks", 10))
    }


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.Dropout(0.5), "a Dropout"),
        (keras.layers.Dense(4, activation="relu"), "activations to be layers"),
    ],
)
def test_other_layers_are_refused(layer, message):
    image = keras.Input((8,))
    with pytest.raises(ValueError, match=message):
        inference.Network(keras.Model(image, heads(layer(image))))


def test_rescaling_is_part_of_a_convolution_that_pads_nothing():
    image = keras.Input((8, 8, 3))
    for layer in (keras.layers.Conv2D(4, 3, padding="same"), keras.layers.Flatten()):
        x = layer(keras.layers.Rescaling(1 / 128, -1)(image))
        with pytest.raises(ValueError, match="expected a convolution without padding after"):
            inference.Network(keras.Model(image, heads(keras.layers.Flatten()(x))))
