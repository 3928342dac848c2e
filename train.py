"""Trains one stage.

    python train.py --stage=pnet --records_dir=records --networks=runs/first

The same command again goes on after an interruption. `mtcnn_tf/training` tells what a training writes, --helpshort
lists the flags, and --flagfile=FILE reads them from a file.
"""

import ast
import dataclasses
import functools
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags, logging

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from mtcnn_tf import files, kinds, landmark_sets, programs, stages, training
from mtcnn_tf.geometry import anchor_labels, anchors
from mtcnn_tf.models import anchor_loss, losses, networks
from mtcnn_tf.records import image_batches, manifests, windows

_DEFAULTS = training.Config()
_RULES = anchor_labels.Rules()

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_STAGE = flags.DEFINE_enum("stage", None, list(stages.BY_NAME), "What to train.", required=True, flag_values=FLAGS)
_RECORDS_DIR = flags.DEFINE_string(
    "records_dir",
    None,
    "What data_prep.build wrote; may be an address such as gs://….",
    required=True,
    flag_values=FLAGS,
)
_NETWORKS = flags.DEFINE_string(
    "networks",
    None,
    "A folder, no address, to write to; the stages share it, so that mining and export find their networks.",
    required=True,
    flag_values=FLAGS,
)
_RESTART = flags.DEFINE_bool("restart", False, "Forget what this stage did in --networks so far.", flag_values=FLAGS)
flags.DEFINE_list(
    "init_from",
    [],
    "A .keras file of the same stage to start from; of several, from the mean of their weights.",
    flag_values=FLAGS,
)

_LANDMARKS = flags.DEFINE_enum(
    "landmarks",
    None,
    ["five", "none"],
    "Whether the network finds five points beside the box. [the points of the records, five or others, where they hold "
    "landmark crops, otherwise none]",
    flag_values=FLAGS,
)
_TRAIN_ONLY = flags.DEFINE_enum(
    "train_only",
    "",
    training.TRAIN_ONLY,
    "landmarks: O-Net's landmark branch is all that is trained, whatever the mix; what --init_from says of faces and "
    "boxes stays.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "landmarks_from",
    _DEFAULTS.landmarks_from,
    "With --train_only: a .keras file of an O-Net whose landmark layers are the branch to begin with.",
    flag_values=FLAGS,
)
_MIX = flags.DEFINE_string(
    "mix",
    "3:1:1:2",
    "Shares of negative : positive : part : landmark in a batch; a kind without examples has none.",
    flag_values=FLAGS,
)
_AUGMENT = flags.DEFINE_bool(
    "augment",
    True,
    "Mirror, colours, a little blur and noise; windows rotated, and crops that a step cuts anew covered in part.",
    flag_values=FLAGS,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", _DEFAULTS.batch_size, "Examples in a batch, over all devices.", flag_values=FLAGS
)
flags.DEFINE_integer("epochs", _DEFAULTS.epochs, "Number of epochs.", flag_values=FLAGS)
_STEPS_PER_EPOCH = flags.DEFINE_integer(
    "steps_per_epoch",
    None,
    "Batches in an epoch; by default as many as hold the number of examples in the records.",
    flag_values=FLAGS,
)

flags.DEFINE_string("optimizer", _DEFAULTS.optimizer, "Any of Keras's optimizers.", flag_values=FLAGS)
_OPTIMIZER_OPTIONS = flags.DEFINE_multi_string(
    "optimizer_option", [], "More for it: NAME=VALUE, such as momentum=0.9.", flag_values=FLAGS
)
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "Highest learning rate.", flag_values=FLAGS)
flags.DEFINE_float(
    "warmup", _DEFAULTS.warmup, "Fraction of all steps in which the learning rate rises.", flag_values=FLAGS
)
flags.DEFINE_float("weight_decay", _DEFAULTS.weight_decay, "Decoupled weight decay of kernels.", flag_values=FLAGS)
flags.DEFINE_float("clip_norm", _DEFAULTS.clip_norm, "Longest gradient; 0 clips nothing.", flag_values=FLAGS)

_FACE_WEIGHT = flags.DEFINE_float(
    "face_weight", None, "Weight of the face loss; by default the stage's.", flag_values=FLAGS
)
_BOX_WEIGHT = flags.DEFINE_float(
    "box_weight", None, "Weight of the box loss; by default the stage's.", flag_values=FLAGS
)
_LANDMARK_WEIGHT = flags.DEFINE_float(
    "landmark_weight", None, "Weight of the landmark loss; by default the stage's.", flag_values=FLAGS
)
flags.DEFINE_float(
    "hard_fraction", _DEFAULTS.hard_fraction, "Fraction of the face rows that the loss sees.", flag_values=FLAGS
)

_EMA = flags.DEFINE_float(
    "ema",
    None,
    "What is measured and kept are moving averages of the weights, of which a step changes 1 - ema; 0 keeps the last "
    "weights. [0.998 for rpn, otherwise 0]",
    flag_values=FLAGS,
)

_WINDOW = flags.DEFINE_integer(
    "window", _DEFAULTS.window, "rpn: side of the windows it learns from, in pixels.", flag_values=FLAGS
)
_ANCHORS = flags.DEFINE_string(
    "anchors",
    None,
    "rpn: a file of data_prep.anchors. [those of --init_from, or nine sizes of 12-210]",
    flag_values=FLAGS,
)
flags.DEFINE_enum("face_loss", _DEFAULTS.face_loss, anchor_loss.FACE_LOSSES, "rpn: the face loss.", flag_values=FLAGS)
flags.DEFINE_enum(
    "box_loss",
    None,
    losses.BOX_LOSSES,
    "What boxes are taught by: the squared distances of the paper, or the generalised IoU. [giou for rpn, otherwise "
    "squares]",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "landmark_loss",
    _DEFAULTS.landmark_loss,
    losses.LANDMARK_LOSSES,
    "What landmarks are taught by: the squared distances of the paper, or the distances that they are measured by.",
    flag_values=FLAGS,
)
_POSITIVE_IOU = flags.DEFINE_float(
    "positive_iou", _RULES.positive_iou, "rpn: from this IoU with a face on an anchor is positive.", flag_values=FLAGS
)
_NEGATIVE_IOU = flags.DEFINE_float(
    "negative_iou", _RULES.negative_iou, "rpn: below this IoU with every face an anchor is negative.", flag_values=FLAGS
)
_OVERLAP = flags.DEFINE_enum(
    "overlap", _RULES.overlap, ["square", "box"], "rpn: what of a face an anchor is compared with.", flag_values=FLAGS
)

_SLOPES = flags.DEFINE_enum(
    "slopes", "layer", ["layer", "channel"], "What shares a PReLU slope: a layer is faster.", flag_values=FLAGS
)
_VARIANT = flags.DEFINE_enum(
    "variant",
    None,
    networks.VARIANT_NAMES,
    "pnet, onet: which form of it; the modules `pnet` and `onet` describe them. [that of --init_from, or paper]",
    flag_values=FLAGS,
)
flags.DEFINE_enum("precision", _DEFAULTS.precision, training.PRECISIONS, "What to compute in.", flag_values=FLAGS)
_STRATEGY = flags.DEFINE_enum(
    "strategy", _DEFAULTS.strategy, training.STRATEGIES, "Which devices to train on.", flag_values=FLAGS
)
flags.DEFINE_integer("seed", _DEFAULTS.seed, "Decides first weights and the order of the examples.", flag_values=FLAGS)
flags.DEFINE_float(
    "checkpoint_minutes", _DEFAULTS.checkpoint_minutes, "How often to save within an epoch.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "profile_steps",
    _DEFAULTS.profile_steps,
    "Trace so many steps for TensorBoard's profiler; to see them, pip install tensorboard-plugin-profile.",
    flag_values=FLAGS,
)


_OF_CROPS = ("landmarks", "mix", "hard_fraction", "landmark_weight", "landmark_loss")
"""Flags that tell of kinds of crops and of landmarks, of which the RPN knows neither."""


def _mix(text: str) -> dict[str, int]:
    """The fractions of a mix such as 3:1:1:2, by the name of the kind."""
    fractions = [int(fraction) for fraction in text.split(":") if fraction.isdecimal()]
    if len(fractions) != len(kinds.NAMES) or not any(fractions) or text.count(":") != len(fractions) - 1:
        raise app.UsageError(
            f"--mix wants four fractions negative:positive:part:landmark such as 3:1:1:2, got {text!r}"
        )
    return dict(zip(kinds.NAMES, fractions, strict=True))


def _optimizer_options(texts: list[str]) -> dict:
    options = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            raise app.UsageError(f"--optimizer_option wants NAME=VALUE such as momentum=0.9, got {text!r}") from error
    return options


def _loss_weights(stage: stages.Stage) -> stages.LossWeights:
    flags_and_defaults = (
        (_FACE_WEIGHT.value, stage.loss_weights.face),
        (_BOX_WEIGHT.value, stage.loss_weights.box),
        (_LANDMARK_WEIGHT.value, stage.loss_weights.landmarks),
    )
    return stages.LossWeights(*(default if value is None else value for value, default in flags_and_defaults))


def _rules(its_anchors: anchors.Anchors) -> anchor_labels.Rules:
    least, largest = its_anchors.fitted((_RULES.min_face_size, _RULES.max_face_size))
    return anchor_labels.Rules(
        positive_iou=_POSITIVE_IOU.value,
        negative_iou=_NEGATIVE_IOU.value,
        nearest_iou=min(_RULES.nearest_iou, _POSITIVE_IOU.value),
        overlap=_OVERLAP.value,
        min_face_size=least,
        max_face_size=largest,
    )


def _has_landmarks(num_crops: int, landmark_set: landmark_sets.LandmarkSet) -> bool:
    """Whether the network is to find landmarks, of which the records hold `num_crops` examples.

    A network that is never told where they are would make them up.
    """
    if _LANDMARKS.value == "five" and landmark_set != landmark_sets.FIVE:
        raise ValueError(
            f"--landmarks=five needs records of the five points, these hold {landmark_set.num_points} of another set; "
            "leave the flag out to learn these"
        )
    if (_LANDMARKS.value == "five" or _TRAIN_ONLY.value) and not num_crops:
        wanted = f"--train_only={_TRAIN_ONLY.value}" if _TRAIN_ONLY.value else "--landmarks=five"
        raise ValueError(
            f"{wanted} needs landmark crops in the records, found none; build them from a data set with points, too, "
            "or give --landmarks=none"
        )
    if _LANDMARKS.value is None and not num_crops:
        print("The records hold no landmark crops: the network will find boxes alone.")
    return num_crops > 0 and _LANDMARKS.value != "none"


def _config(stage: stages.Stage, num_examples: int, landmarks: bool, manifest: dict) -> training.Config:
    """The flags, and what the records say of themselves, as a `Config`."""
    steps_per_epoch = _STEPS_PER_EPOCH.value
    if steps_per_epoch is None:
        steps_per_epoch = math.ceil(num_examples / max(_BATCH_SIZE.value, 1))
    return programs.from_flags(
        training.Config,
        FLAGS,
        steps_per_epoch=steps_per_epoch,
        optimizer_options=_optimizer_options(_OPTIMIZER_OPTIONS.value),
        loss_weights=_loss_weights(stage),
        margin=manifests.margin(manifest),
        ema=_EMA.value if _EMA.value is not None else (0.998 if stage is stages.RPN else 0.0),
        anchors=anchors.read(_ANCHORS.value).sizes if _ANCHORS.value else (),
        shared_slopes=_SLOPES.value == "layer",
        landmarks=landmarks,
        landmark_set=manifests.landmark_set(manifest),
    )


def _facts(records_dir: str, manifest: dict, **others: Any) -> dict[str, Any]:
    """What must stay the same of the examples for a training to go on."""
    records = {"records_dir": records_dir, "records_sha256": manifests.digest(manifest)}
    return {**records, "augment": _AUGMENT.value, **others}


def _check_images(stage: stages.Stage, records_dir: str):
    """Raises ValueError where whole images can't be trained on so, or aren't what was written."""
    if _STRATEGY.value != "one_device":
        raise ValueError(
            f"expected --strategy=one_device for records of whole images, got {_STRATEGY.value}: a step's windows or "
            "crops are cut for one device"
        )
    manifests.read(records_dir, stage, manifests.IMAGES)
    manifests.check_shards(records_dir, stage)


def _train_on_windows(records_dir: str):
    """Trains the RPN."""
    _check_images(stages.RPN, records_dir)
    manifest = manifests.read(records_dir, stages.RPN, manifests.IMAGES)
    config = _config(stages.RPN, manifest["images"]["train"], False, manifest)
    its_anchors = training.choose_anchors(config)
    rules, face_sizes = _rules(its_anchors), its_anchors.fitted(windows.Recipe.face_sizes)
    recipe = windows.Recipe(size=_WINDOW.value, face_sizes=face_sizes, augment=_AUGMENT.value)
    batches = image_batches.of_windows(records_dir, config.batch_size, recipe, its_anchors, rules)
    training.fit(
        config,
        stages.RPN,
        batches.train,
        batches.validation,
        _NETWORKS.value,
        facts=_facts(records_dir, manifest, num_images=manifest["images"], **dataclasses.asdict(rules)),
        restart=_RESTART.value,
        prepare=batches.prepare,
        rules=rules,
    )


def _train_on_crops(stage: stages.Stage, records_dir: str, manifest: dict):
    """Trains P-, R- or O-Net on crops that the records hold."""
    from mtcnn_tf.records import input_pipeline  # needs TensorFlow, which whole images don't

    num_examples = manifest["examples"]
    input_pipeline.check_shards(records_dir, stage)
    landmarks, mix = _landmarks_and_mix(num_examples["train"], manifest)
    config = _config(stage, sum(num_examples["train"].values()), landmarks, manifest)
    batches = functools.partial(input_pipeline.batches, records_dir, stage, batch_size=config.batch_size, mix=mix)
    has_validation = any(num_examples["validation"][name] for name in mix if mix[name] and name != "negative")
    training.fit(
        config,
        stage,
        functools.partial(batches, "train", augment=_AUGMENT.value),
        functools.partial(batches, "validation", repeat=False) if has_validation else None,
        _NETWORKS.value,
        facts=_facts(records_dir, manifest, num_examples=num_examples, mix=mix),
        restart=_RESTART.value,
    )


def _train_on_the_fly(stage: stages.Stage, records_dir: str, manifest: dict):
    """Trains P-, R- or O-Net on crops that each step cuts anew out of whole images."""
    from data_prep import crop_sampling  # needs no TensorFlow, which input_pipeline does

    _check_images(stage, records_dir)
    opened = crop_sampling.open_records(records_dir, stage, "train", _AUGMENT.value)
    if opened is None:
        raise ValueError(
            f"expected faces to train {stage.name} on, the records hold none that are large enough; build them from "
            "more images, or with a lower --min_face_size"
        )
    sampler, store = opened
    landmarks, mix = _landmarks_and_mix(sampler.num_examples, manifest)
    config = _config(stage, sum(sampler.num_examples.values()), landmarks, manifest)
    rows = kinds.rows_per_kind({name: fraction for name, fraction in mix.items() if fraction}, config.batch_size)
    held_out = crop_sampling.open_records(records_dir, stage, "validation", augment=False)
    validation = held_out and (functools.partial(held_out[0].draw, rows=rows), held_out[1])
    batches = image_batches.of_crops(functools.partial(sampler.draw, rows=rows), store, stage.size, validation)
    training.fit(
        config,
        stage,
        batches.train,
        batches.validation,
        _NETWORKS.value,
        facts=_facts(records_dir, manifest, num_images=manifest["images"], mix=mix),
        restart=_RESTART.value,
        prepare=batches.prepare,
    )


def _landmarks_and_mix(num_examples: dict[str, int], manifest: dict) -> tuple[bool, dict[str, int]]:
    """Whether the network is to find landmarks, and the fractions of the kinds in a batch.

    Raises:
        ValueError: The records lack what is wanted of them, by their `num_examples` of each kind.
    """
    mix = _mix(_MIX.value)
    landmarks = _has_landmarks(num_examples["landmark"], manifests.landmark_set(manifest))
    if not landmarks:
        mix["landmark"] = 0
    if _TRAIN_ONLY.value:
        mix = dict.fromkeys(mix, 0) | {"landmark": 1}
    if mix["negative"] and not num_examples["negative"]:
        raise ValueError(manifests.NO_BACKGROUND)
    return landmarks, mix


def _train(stage: stages.Stage):
    if _VARIANT.value:
        networks.check_variant(stage, _VARIANT.value)
    records_dir = _RECORDS_DIR.value if files.is_address(_RECORDS_DIR.value) else os.path.abspath(_RECORDS_DIR.value)
    if stage is stages.RPN:
        if idle := [f"--{name}" for name in _OF_CROPS if FLAGS[name].present]:
            raise app.UsageError(f"{', '.join(idle)}: only for pnet, rnet and onet, got --stage=rpn")
        _train_on_windows(records_dir)
        return
    manifest = manifests.read(records_dir, stage)
    on_the_fly = manifests.kind_of(manifest) == manifests.IMAGES
    (_train_on_the_fly if on_the_fly else _train_on_crops)(stage, records_dir, manifest)


def _run() -> None:
    """Trains, and turns errors into one sentence and an exit status."""
    if files.is_address(_NETWORKS.value):
        raise app.UsageError(
            f"--networks needs a folder, got the address {_NETWORKS.value!r}; records alone may lie at one"
        )
    logging.set_verbosity(logging.WARNING)  # TensorFlow counts the microseconds of every checkpoint
    try:
        _train(stages.BY_NAME[_STAGE.value])
    except training.Interrupted as stop:
        print(f"train.py: {stop}; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        print("train.py: stopped at once; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        sys.exit(f"train.py: {error}")
    except OSError as error:
        sys.exit(f"train.py: {error}; the same command goes on from the last checkpoint")
    except training.step_errors() as error:
        sys.exit(f"train.py: {str(error).splitlines()[0]}; the same command goes on from the last checkpoint")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
