"""One step of a training, on TensorFlow or on JAX: a network with its loss and its optimizer.

A learner counts nothing and writes nothing: `run` does. What differs between the backends of Keras is in here alone.
On TensorFlow a step changes variables in place; on JAX it takes a state and returns the next one, which is written
back to the network's variables where somebody wants to see them (`shown`).
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from mtcnn_tf.models import metrics


def learner(
    model: keras.Model, network: keras.Model, optimizer: keras.Optimizer, strategy: Any, average: float, prepare: Any
) -> "TensorFlowLearner | JaxLearner":
    """The learner for Keras's backend.

    Args:
        model: Takes batches, ends in a layer that adds the loss and keeps figures in `means`.
        network: The part of it that is kept.
        optimizer: Not yet used.
        strategy: What `strategies.choose` returned.
        average: See `settings.Config.ema`; 0 for none.
        prepare: Called in the graph with each batch, gives what `model` takes; see `image_batches.OnAccelerator`. None
            where a batch is that already.

    Raises:
        ValueError: Keras runs on another backend, or on JAX with an optimizer that scales losses.
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(f"expected Keras on tensorflow or jax, got {backend}; set KERAS_BACKEND")
    if backend == "jax" and isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError("expected float32 or mixed_bfloat16 on JAX, got mixed_float16; give another --precision")
    if backend == "tensorflow":
        return TensorFlowLearner(model, network, optimizer, strategy, average, prepare)
    return JaxLearner(model, network, optimizer, average, prepare)


class _Learner:
    """What both have in common."""

    check_every = 1
    """Steps after which losses are looked at: to look at each would have an accelerator wait."""

    def __init__(self, model: keras.Model, network: keras.Model, optimizer: keras.Optimizer, average: float):
        self.model, self.network, self.optimizer = model, network, optimizer
        optimizer.build(model.trainable_variables)
        # Arrays, of which the learners make what their backend has.
        self._averaged: list[Any] = (
            [np.array(ops.convert_to_numpy(x)) for x in model.trainable_variables] if average else []
        )

    def means(self) -> metrics.MaskedMeans:
        """The figures that the loss keeps."""
        return next(layer for layer in self.model.layers if hasattr(layer, "means")).means

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return float(optimizer.learning_rate)


class TensorFlowLearner(_Learner):
    """On TensorFlow, on the devices of a `tf.distribute.Strategy`."""

    def __init__(
        self,
        model: keras.Model,
        network: keras.Model,
        optimizer: keras.Optimizer,
        strategy: Any,
        average: float,
        prepare: Any,
    ):
        import tensorflow as tf

        super().__init__(model, network, optimizer, average)
        self._averaged = [tf.Variable(x, trainable=False) for x in self._averaged]
        num_replicas = strategy.num_replicas_in_sync

        def replica_step(batch: dict):
            with tf.GradientTape() as tape:
                model(batch, training=True)
                loss = ops.sum(ops.stack(model.losses))
                scaled = optimizer.scale_loss(loss / num_replicas)
            weights = model.trainable_variables
            gradients = tape.gradient(scaled, [weight.value for weight in weights])
            optimizer.apply(gradients, weights)
            for held, weight in zip(self._averaged, weights, strict=bool(self._averaged)):
                held.assign_add((1 - average) * (weight.value - held))
            return loss

        @tf.function(reduce_retracing=True, autograph=False)
        def step(batch: dict):
            losses = strategy.run(replica_step, args=(batch if prepare is None else prepare(batch),))
            return strategy.reduce("MEAN", losses, axis=None)

        self._step = step

    def step(self, batch: dict) -> Any:
        """Learns from a batch; the loss."""
        return self._step(batch)

    def variables(self) -> list:
        """Everything that a training which goes on must find again."""
        variables = (*self.model.variables, *self.model.metrics_variables, *self.optimizer.variables)
        return [*(x.value for x in variables), *self._averaged]

    def arrays(self) -> list[np.ndarray]:
        """The values of all variables."""
        return [np.asarray(variable.numpy()) for variable in self.variables()]

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Sets all variables."""
        for variable, values in zip(self.variables(), arrays, strict=True):
            variable.assign(values)

    def reset_figures(self) -> None:
        """Begins the figures of the means anew."""
        self.means().reset_state()

    def figures(self) -> dict[str, float]:
        """The figures of the means; those that no row has counted for are left out."""
        return self.means().known()

    @contextlib.contextmanager
    def shown(self) -> Iterator[keras.Model]:
        """The network with the weights that count, averaged ones if there are, while the context lasts."""
        weights = self.model.trainable_variables
        before = [weight.numpy() for weight in weights] if self._averaged else []
        for weight, held in zip(weights, self._averaged, strict=bool(self._averaged)):
            weight.assign(held)
        try:
            yield self.network
        finally:
            for weight, values in zip(weights, before, strict=bool(before)):
                weight.assign(values)


class JaxLearner(_Learner):
    """On JAX, on one device."""

    check_every = 50

    def __init__(
        self, model: keras.Model, network: keras.Model, optimizer: keras.Optimizer, average: float, prepare: Any
    ):
        import jax

        super().__init__(model, network, optimizer, average)
        self._jax = jax
        self._held = prepare.held if prepare is not None else None
        # Beside the weights; of figures Keras's own `stateless_call` knows nothing.
        self._others = [*model.non_trainable_variables, *model.metrics_variables]
        self._read()

        def loss_of(weights: Any, others: Any, batch: dict):
            state = [*zip(model.trainable_variables, weights, strict=True), *zip(self._others, others, strict=True)]
            with keras.StatelessScope(state_mapping=state, collect_losses=True) as scope:
                model(batch, training=True)
            return ops.sum(ops.stack(scope.losses)), [scope.get_current_value(x) for x in self._others]

        def step(state: Any, held: Any, batch: dict):
            weights, others, optimized, averaged = state
            if prepare is not None:
                batch = prepare(batch, held)
            (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, others, batch)
            weights, optimized = optimizer.stateless_apply(optimized, gradients, weights)
            if averaged:
                averaged = [x + (1 - average) * (y - x) for x, y in zip(averaged, weights, strict=True)]
            return (weights, others, optimized, averaged), loss

        self._step = jax.jit(step, donate_argnums=0)

    def _read(self):
        """Takes the state out of the variables."""
        copy = self._jax.numpy.array  # a step gives the memory of its state away
        self._state = (
            [copy(x.value) for x in self.model.trainable_variables],
            [copy(x.value) for x in self._others],
            [copy(x.value) for x in self.optimizer.variables],
            [copy(x) for x in self._averaged],
        )

    def step(self, batch: dict) -> Any:
        """Learns from a batch; the loss."""
        self._state, loss = self._step(self._state, self._held, batch)
        return loss

    def arrays(self) -> list[np.ndarray]:
        """Everything that a training which goes on must find again."""
        return [np.asarray(x) for part in self._state for x in part]

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Sets all of it."""
        rest = iter(arrays)
        self._state = tuple([self._jax.numpy.array(next(rest)) for _ in part] for part in self._state)
        if next(rest, None) is not None:
            raise ValueError("expected as many arrays as a state has, got more")

    def _write(self, weights: Any):
        variables = (self.model.trainable_variables, self._others, self.optimizer.variables)
        for part, values in zip(variables, (weights, *self._state[1:3]), strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)

    def reset_figures(self) -> None:
        """Begins the figures of the means anew."""
        self._write(self._state[0])
        self.means().reset_state()
        self._averaged = self._state[3]
        self._read()

    def figures(self) -> dict[str, float]:
        """The figures of the means; those that no row has counted for are left out."""
        self._write(self._state[0])
        return self.means().known()

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        self._write(self._state[0])
        return super().learning_rate()

    @contextlib.contextmanager
    def shown(self) -> Iterator[keras.Model]:
        """The network with the weights that count, averaged ones if there are, while the context lasts."""
        self._write(self._state[3] or self._state[0])
        yield self.network


def predictor(network: keras.Model) -> Callable[[Any], dict[str, np.ndarray]]:
    """A function from images to the network's outputs as arrays, compiled once for each shape."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        run = tf.function(lambda image: network(image, training=False), reduce_retracing=True, autograph=False)
    else:
        import jax

        compiled = jax.jit(lambda weights, others, image: network.stateless_call(weights, others, image)[0])

        def run(image: Any):
            variables = (network.trainable_variables, network.non_trainable_variables)
            return compiled(*([x.value for x in part] for part in variables), image)

    return lambda image: {name: np.asarray(x) for name, x in run(image).items()}
