"""What a learner refuses before a training begins."""

import keras
import pytest

from mtcnn_tf.training import learners


@pytest.mark.parametrize(
    ("backend", "message"),
    [("jax", "float32 or mixed_bfloat16 on JAX, got mixed_float16"), ("torch", "tensorflow or jax, got torch")],
)
def test_what_a_backend_cannot_do_is_one_sentence(monkeypatch, backend, message):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    with pytest.raises(ValueError, match=f"^expected .*{message}"):
        learners.learner(network, network, optimizer, None, 0.0, None)
