"""On which devices TensorFlow trains; on JAX a training has one device."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import keras

STRATEGIES = ("one_device", "mirrored", "multi_worker")


def choose(name: str) -> Any:
    """The `tf.distribute.Strategy` that is called `name`, one of `STRATEGIES`; None on JAX.

    Raises:
        ValueError: There is none, or JAX is asked for another than one device.
    """
    if keras.backend.backend() != "tensorflow":
        if name != "one_device":
            raise ValueError(f"expected --strategy=one_device on {keras.backend.backend()}, got {name}")
        return None
    import tensorflow as tf

    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def scope(strategy: Any) -> contextlib.AbstractContextManager:
    """A context in which variables are made for the devices of `strategy`."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def spread(strategy: Any, name: str, batches: Callable[..., Iterable]) -> Iterable:
    """What `batches()` gives, for the devices of `strategy`; of several workers each gets its `part` of every batch."""
    if name == "one_device":
        return batches()
    if name == "mirrored":
        return strategy.experimental_distribute_dataset(batches())
    # TensorFlow's own way would give one worker the negatives and another the landmarks of each batch.
    return strategy.distribute_datasets_from_function(
        lambda context: batches(part=(context.input_pipeline_id, context.num_input_pipelines))
    )


def step_errors() -> tuple[type[Exception], ...]:
    """What Keras's backend raises when a step fails."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return (tf.errors.OpError,)
    import jax

    return (jax.errors.JaxRuntimeError,)
