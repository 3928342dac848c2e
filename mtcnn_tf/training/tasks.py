"""What a stage learns from and how it is measured: the two sorts of training that `run` goes through in one loop.

P-, R- and O-Net learn from crops with a kind each, the RPN from windows with boxes.
"""

import contextlib
import pathlib
import warnings
from collections.abc import Iterator

import keras
import numpy as np

from mtcnn_tf import files, stages
from mtcnn_tf.geometry import anchors
from mtcnn_tf.models import anchor_loss, blocks, keras_settings, losses, networks
from mtcnn_tf.training import settings

_LAST_RATE = 0.01
"""The learning rate ends at this fraction of its highest value."""
_NOT_DECAYED = ("bias", "alpha")
"""Weight decay would pull a PReLU's slope (alpha) towards plain ReLU, and a bias towards nothing in particular."""


@keras_settings.ours()
def build(config: settings.Config, stage: stages.Stage) -> tuple[keras.Model, keras.Model]:
    """The network of `stage` to begin with, and the model of it that ends in its loss.

    Sets Keras's global random seed.

    Raises:
        ValueError: `init_from` is another network.
    """
    keras.utils.set_random_seed(config.seed)
    weights, box_loss = config.loss_of(stage)
    with _precision(config.precision):
        network = _first_network(config, stage)
        if stage is stages.RPN:
            return network, anchor_loss.attach(network, config.window, weights, config.face_loss, box_loss)
        return network, losses.attach(
            network, weights, config.hard_fraction, config.landmark_set, config.landmark_loss, box_loss
        )


def optimizer(config: settings.Config) -> keras.Optimizer:
    """The optimizer, with a learning rate that rises and then falls along a cosine.

    Raises:
        ValueError: Keras has none of this name that takes these options.
    """
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
        chosen = type(keras.optimizers.get(config.optimizer))(learning_rate=schedule, **options)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Keras has no optimizer {config.optimizer!r} that takes {sorted(options)}: {reason}"
        ) from error
    if config.weight_decay:
        chosen.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return keras.optimizers.LossScaleOptimizer(chosen) if config.precision == "mixed_float16" else chosen


def save(network: keras.Model, path: pathlib.Path) -> None:
    """Writes the plain float32 network, without loss and optimizer, to a .keras file: whole, or not at all."""
    with _precision("float32"):
        plain = networks.untrained_like(network)
    plain.set_weights(network.get_weights())
    with files.atomic_write(path) as partial:
        plain.save(partial)


def choose_anchors(config: settings.Config) -> anchors.Anchors:
    """The anchors of an RPN: those of the config, else those of `init_from`, else the default ones.

    Raises:
        FileNotFoundError, ValueError: `init_from` is no RPN, or has other anchors than are given or than another of it.
    """
    return _anchors(config, [networks.load(path) for path in config.init_from])


def _anchors(config: settings.Config, starts: list[keras.Model]) -> anchors.Anchors:
    """`choose_anchors`, with the networks of `init_from`."""
    chosen = anchors.Anchors(config.anchors) if config.anchors else None
    for path, network in zip(config.init_from, starts, strict=True):
        if network.name != stages.RPN.name:
            raise ValueError(f"init_from must be a network like {stages.RPN.name}, {path} is one like {network.name}")
        found = networks.anchors_of(network)
        chosen = chosen or found
        if found != chosen:
            raise ValueError(
                f"init_from must have the anchors that are given, and several of it the same ones; wanted are "
                f"{_listed(chosen)}, {path} has {_listed(found)}; give no anchors to take those of init_from"
            )
    return chosen or anchors.Anchors()


def _listed(its_anchors: anchors.Anchors) -> str:
    return ", ".join(f"{size:g}" for size in its_anchors.sizes)


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    """A context in which new layers compute in `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _first_network(config: settings.Config, stage: stages.Stage) -> keras.Model:
    """The network to begin with."""
    starts = [networks.load(path) for path in config.init_from]
    branch = _branch(config.landmarks_from) if config.landmarks_from else None
    network = _untrained(config, stage, starts, branch)
    if starts:
        pairs = zip(config.init_from, starts, strict=True)
        columns = zip(*(_fitting_weights(path, source, network) for path, source in pairs), strict=True)
        network.set_weights([np.mean(column, axis=0) for column in columns])
    _choose_what_learns(network, config)
    if branch is not None:
        _take_branch(network, branch)
    return network


def _choose_what_learns(network: keras.Model, config: settings.Config) -> None:
    """Freezes the layers that these crops can't teach, or are not to."""
    teaches_branch = networks.landmark_margin_of(network) in (None, config.margin)
    for layer in network.layers:
        if networks.is_of_landmark_branch(layer):
            layer.trainable = teaches_branch
        elif config.train_only:
            layer.trainable = False
    if not teaches_branch:
        warnings.warn(
            f"landmarks of {config.init_from[0]} are told from crops of {networks.landmark_margin_of(network):g} times "
            f"the square, these show {config.margin:g} times: they stay as they are, and their errors in this training "
            "mean nothing; teach them with --train_only=landmarks",
            stacklevel=2,
        )


def _untrained(
    config: settings.Config, stage: stages.Stage, starts: list[keras.Model], branch: keras.Model | None
) -> keras.Model:
    """The untrained network of the form that the config, the `starts` and, for its landmarks, the `branch` have."""
    if stage is stages.RPN:
        return networks.rpn(_anchors(config, starts))
    has_branch = config.landmarks and (bool(config.train_only) or any(map(networks.has_landmark_branch, starts)))
    margin, landmark_margin = config.margin, networks.landmark_margin_of(starts[0]) if has_branch and starts else None
    if config.train_only and starts:
        margin = networks.margin_of(starts[0])
        forms = starts[:1] if branch is None else [starts[0], branch]
        begins_at_pixels = any(networks.landmark_margin_of(each) is not None for each in forms)
        is_shared = not begins_at_pixels and config.margin == margin
        landmark_margin = None if is_shared else config.margin
    variant = config.variant or (networks.variant_of(starts[0]) if starts else blocks.PAPER)
    form = (config.shared_slopes, config.landmarks, has_branch, margin, variant, config.landmark_set)
    return networks.build(stage, *form, landmark_margin)


def _branch(path: str) -> keras.Model:
    """The O-Net from `path` whose landmark layers are a branch to begin with."""
    network = networks.load(path)
    if network.name != stages.ONET.name or "landmarks" not in network.output:
        raise ValueError(f"landmarks_from must be an O-Net that finds landmarks, got another network from {path}")
    return network


def _take_branch(network: keras.Model, source: keras.Model) -> None:
    """Gives `network` the landmark branch of `source`."""
    source = networks.with_landmark_branch(source, networks.landmark_margin_of(network))
    source = networks.with_landmark_set(source, networks.landmark_set_of(network))
    for layer in filter(networks.is_of_landmark_branch, network.layers):
        layer.set_weights(source.get_layer(layer.name).get_weights())


def _fitting_weights(path: str, source: keras.Model, network: keras.Model) -> list[np.ndarray]:
    """The weights of `source`, which comes from `path`, for `network`."""
    source = networks.with_variant(source, networks.variant_of(network))
    if networks.has_landmark_branch(network):
        source = networks.with_landmark_branch(source, networks.landmark_margin_of(network))
    if "landmarks" in network.output:
        source = networks.with_landmark_set(source, networks.landmark_set_of(network))
    else:
        wanted = {name: x for name, x in source.output.items() if name in network.output}
        source = keras.Model(source.inputs, wanted, name=source.name)
    shapes = {variable.path: tuple(variable.shape) for variable in network.variables}
    found = {variable.path: tuple(variable.shape) for variable in source.variables}
    if shapes != found:
        differing = sorted(name for name in {**shapes, **found} if shapes.get(name) != found.get(name))
        raise ValueError(
            f"init_from must be a network like {network.name} with the same form of slopes, and of the same variant, "
            f"{path} differs in {', '.join(differing[:4])}{' …' if len(differing) > 4 else ''}"
        )
    if networks.margin_of(source) != networks.margin_of(network):
        warnings.warn(
            f"crops for {path} showed {networks.margin_of(source):g} times the square, these show "
            f"{networks.margin_of(network):g} times: it has to learn anew how large faces are in them",
            stacklevel=2,
        )
    return source.get_weights()
