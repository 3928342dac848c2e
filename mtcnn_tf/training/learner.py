"""A network with its loss and its optimizer, on the devices it will be trained on; and back to a plain network."""

import contextlib
import pathlib

import keras
import numpy as np
import tensorflow as tf

from mtcnn_tf import files, keras_settings, losses, metrics, networks, stages
from mtcnn_tf.training import settings

_LAST_RATE = 0.01
"""The learning rate ends at this share of its highest value."""
_NOT_DECAYED = ("bias", "alpha")
"""Weight decay would pull a PReLU's slope (alpha) towards plain ReLU, and a bias towards nothing in particular."""


@keras_settings.ours()
def build(config: settings.Config, stage: stages.Stage) -> tuple[keras.Model, keras.Model]:
    """The network of `stage`, and the compiled model that trains it.

    Sets Keras's global random seed.

    Raises:
        ValueError: The optimizer is unknown or doesn't take its options, or `init_from` is another network.
    """
    keras.utils.set_random_seed(config.seed)
    with _strategy(config.strategy).scope(), _precision(config.precision):
        network = _first_network(config, stage)
        model = losses.attach(network, config.loss_weights or stage.loss_weights, config.hard_share)
        model.compile(_optimizer(config), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    if config.strategy != "one_device":
        _suit_strategies(model)
    return network, model


def _suit_strategies(model: keras.Model):
    """Steps round two faults of Keras 3.15 under a `tf.distribute.Strategy`.

    It takes a batch away from every epoch to build the model once more, and fails to average a dict over workers while
    it does; and it averages figures over workers along their first axis, which scalars don't have.
    """
    model._maybe_symbolic_build = lambda iterator=None, data_batch=None: None
    is_multi_worker = isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if is_multi_worker and model.distribute_strategy.num_replicas_in_sync > 1:  # nothing is averaged over one
        train_step = model.train_step
        model.train_step = lambda batch: {name: tf.reshape(x, [1]) for name, x in train_step(batch).items()}


def save(network: keras.Model, config: settings.Config, stage: stages.Stage, path: pathlib.Path) -> None:
    """Writes the plain float32 network, without loss and optimizer, to a .keras file: whole, or not at all."""
    with _precision("float32"):
        own_landmark_layers = networks.has_own_landmark_layers(network)
        plain = networks.build(stage, config.shared_slopes, config.landmarks, own_landmark_layers)
    plain.set_weights(network.get_weights())
    with files.whole(path) as partial:
        plain.save(partial)


def tally(model: keras.Model) -> metrics.Tally:
    """The figures that the loss layer of `model` keeps."""
    return next(layer for layer in model.layers if isinstance(layer, losses.OhemLoss)).tally


def learning_rate(model: keras.Model) -> float:
    """The learning rate of the next step."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return float(optimizer.learning_rate)


def _strategy(name: str) -> tf.distribute.Strategy:
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def _precision(policy: str):
    """A context in which new layers compute in `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _optimizer(config: settings.Config) -> keras.Optimizer:
    num_steps = config.epochs * config.steps_per_epoch
    warmup_steps = int(config.warmup * num_steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / max(warmup_steps, 1) if warmup_steps else config.learning_rate,
        decay_steps=num_steps - warmup_steps,
        alpha=_LAST_RATE,
        warmup_target=config.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    options = {"weight_decay": config.weight_decay, "global_clipnorm": config.clip_norm or None}
    options |= config.optimizer_options
    try:
        optimizer = type(keras.optimizers.get(config.optimizer))(learning_rate=schedule, **options)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Keras has no optimizer {config.optimizer!r} that takes {sorted(options)}: {reason}"
        ) from error
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer


def _first_network(config: settings.Config, stage: stages.Stage) -> keras.Model:
    """The network to begin with."""
    starts = [networks.load(path) for path in config.init_from]
    has_own = config.landmarks_alone or any(map(networks.has_own_landmark_layers, starts))
    network = networks.build(stage, config.shared_slopes, config.landmarks, config.landmarks and has_own)
    if starts:
        pairs = zip(config.init_from, starts, strict=True)
        columns = zip(*(_fitting_weights(path, source, network) for path, source in pairs), strict=True)
        network.set_weights([np.mean(column, axis=0) for column in columns])
    if config.landmarks_alone:
        for layer in network.layers:
            layer.trainable = networks.is_of_landmarks_alone(layer)
    return network


def _fitting_weights(path: str, source: keras.Model, network: keras.Model) -> list[np.ndarray]:
    """The weights of `source`, which comes from `path`, for `network`."""
    if networks.has_own_landmark_layers(network):
        source = networks.with_own_landmark_layers(source)
    if "landmarks" not in network.output:
        source = keras.Model(source.inputs, {name: x for name, x in source.output.items() if name in network.output})
    shapes = {variable.path: tuple(variable.shape) for variable in network.variables}
    found = {variable.path: tuple(variable.shape) for variable in source.variables}
    if shapes != found:
        differing = sorted(name for name in {**shapes, **found} if shapes.get(name) != found.get(name))
        raise ValueError(
            f"init_from must be a network like {network.name} with the same form of slopes, {path} differs in "
            f"{', '.join(differing[:4])}{' …' if len(differing) > 4 else ''}"
        )
    return source.get_weights()
