"""How to train, and whether a training that goes on is still the same one."""

import dataclasses
import importlib.metadata
import json
import math
import pathlib
import platform
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

import mtcnn_tf
from mtcnn_tf import files, landmark_sets, stages
from mtcnn_tf.geometry import anchors
from mtcnn_tf.models import losses, networks
from mtcnn_tf.training.strategies import STRATEGIES

TRAIN_ONLY = ("", "landmarks")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
_CHOICES = {
    "box_loss": (None, *losses.BOX_LOSSES),
    "landmark_loss": losses.LANDMARK_LOSSES,
    "precision": PRECISIONS,
    "strategy": STRATEGIES,
    "train_only": TRAIN_ONLY,
    "variant": (None, *networks.VARIANT_NAMES),
}
_FREE = {"free": True}
"""Marks what may change when a training goes on."""


class Loss(NamedTuple):
    """The part of a `Config` that stages have defaults for."""

    loss_weights: stages.LossWeights
    box_loss: str


@dataclasses.dataclass(frozen=True)
class Config:
    """How to train.

    Attributes:
        epochs: Number of epochs; the learning rate's schedule spans them all.
        steps_per_epoch: Number of batches that make an epoch, after which there is a validation.
        batch_size: Examples in a batch, over all devices; `train` must give batches of this size.
        learning_rate: Highest learning rate, at the end of the warm-up; from there a cosine leads to a hundredth of it.
        warmup: The fraction of all steps that the warm-up takes.
        optimizer: Any of Keras's, by name.
        optimizer_options: More arguments for it, for instance {"momentum": 0.9}.
        weight_decay: Decoupled weight decay of kernels; biases and slopes have none.
        clip_norm: Longest gradient over all weights together; 0 clips nothing.
        loss_weights: Weights of the three losses; None stands for the stage's own.
        hard_fraction: The fraction of the face rows that the loss sees, the hardest ones.
        margin: R-Net and O-Net: the crops show so many times the square that they tell of, see `networks.build`.
        ema: The weights that are measured and kept are exponential moving averages, of which a step changes 1 − `ema`;
            0 keeps the last weights. A mean over steps is better than each of them (Polyak and Juditsky 1992).
        window: The RPN: side of the windows in pixels.
        anchors: The RPN: sizes of its anchors, see `anchors.Anchors`; empty stands for those of `init_from`, or
            else its defaults.
        face_loss: The RPN: one of `anchor_loss.FACE_LOSSES`.
        box_loss: One of `losses.BOX_LOSSES`; None stands for the stage's own.
        landmark_loss: One of `losses.LANDMARK_LOSSES`.
        precision: One of `PRECISIONS`; what is kept is float32 in any case.
        strategy: One of `STRATEGIES`.
        shared_slopes: See `networks.build`.
        variant: P-Net, O-Net: one of `networks.VARIANTS`; None stands for that of `init_from`, or else the paper's.
        landmarks: Whether the network finds landmarks; otherwise landmark crops teach it nothing.
        landmark_set: The points of the landmark crops.
        init_from: .keras files of the same stage to start from; of several, from the mean of their weights, which is
            often better than each of them if they come from one and the same start (Wortsman et al. 2022, "Model
            soups"). A wide O-Net may begin with one of the paper's. Their landmarks are left out where none are wanted,
            and other points than theirs are learnt anew; a landmark branch is kept (see `networks.build`).
        train_only: One of `TRAIN_ONLY`: "" trains everything, "landmarks" the landmark branch alone, so that what
            `init_from` says of faces and boxes stays as it is. Where these crops have another margin than those of
            `init_from`, or the branch of `landmarks_from` begins at the pixels, this one does, too, and shares nothing.
            O-Net only.
        landmarks_from: With `train_only`: a .keras file of an O-Net whose landmark layers are the branch to begin with;
            empty stands for those of `init_from`.
        seed: Decides first weights and, through `train`, the batches.
        checkpoint_minutes: How often to save within an epoch.
        profile_steps: So many steps are traced for TensorBoard's profiler, after the first few; 0 traces none.
    """

    epochs: int = 30
    steps_per_epoch: int = 1000
    batch_size: int = 384
    learning_rate: float = 5e-3
    warmup: float = 0.03
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    loss_weights: stages.LossWeights | None = None
    hard_fraction: float = losses.HARD_FRACTION
    margin: float = 1.0
    ema: float = 0.0
    window: int = 512
    anchors: tuple[float, ...] = ()
    face_loss: str = "focal"
    box_loss: str | None = None
    landmark_loss: str = losses.LANDMARK_LOSSES[0]
    precision: str = "float32"
    strategy: str = "one_device"
    shared_slopes: bool = True
    variant: str | None = None
    landmarks: bool = True
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE
    init_from: tuple[str, ...] = ()
    train_only: str = ""
    landmarks_from: str = ""
    seed: int = 0
    checkpoint_minutes: float = dataclasses.field(default=5.0, metadata=_FREE)
    profile_steps: int = dataclasses.field(default=0, metadata=_FREE)

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch", "batch_size", "learning_rate", "checkpoint_minutes"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "clip_norm", "profile_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a fraction of all steps, at least 0 and below 1, got {self.warmup}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, got {self.ema}")
        if self.window <= 0 or self.window % anchors.LARGEST_STRIDE:
            raise ValueError(f"window must be a multiple of {anchors.LARGEST_STRIDE} pixels, got {self.window}")
        if not 0 < self.hard_fraction <= 1:
            raise ValueError(f"hard_fraction must be above 0 and at most 1, got {self.hard_fraction}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                wanted = ", ".join(filter(None, choices))
                raise ValueError(f"{name} must be one of {wanted}, got {getattr(self, name)}")
        if self.loss_weights and not all(0 <= x < math.inf for x in dataclasses.astuple(self.loss_weights)):
            raise ValueError(f"loss_weights must be 0 or more, got {self.loss_weights}")
        if self.train_only and not (self.init_from and self.landmarks):
            raise ValueError("train_only=landmarks needs landmarks, and init_from, which says what stays as it is")
        if self.landmarks_from and not self.train_only:
            raise ValueError("landmarks_from begins a landmark branch that is trained alone; give train_only=landmarks")
        for name, paths in (("init_from", self.init_from), ("landmarks_from", (self.landmarks_from,))):
            for path in filter(None, paths):
                if not pathlib.Path(path).is_file():
                    raise FileNotFoundError(f"{name} must be .keras files, there is none at {path}")

    def loss_of(self, stage: stages.Stage) -> Loss:
        """What is chosen of the loss, by the stage where it isn't chosen here."""
        return Loss(self.loss_weights or stage.loss_weights, self.box_loss or stage.box_loss)


class OtherRunError(ValueError):
    """The working folder holds a training with other settings."""


def describe(config: Config, stage: stages.Stage, facts: Mapping[str, Any]) -> dict:
    """Everything that a training depends on, ready for JSON: settings, `facts` about its examples, and versions."""
    plain = dataclasses.asdict(dataclasses.replace(config, **config.loss_of(stage)._asdict()))
    backend = keras.backend.backend()
    versions = {"mtcnn_tf": mtcnn_tf.__version__, "keras": keras.__version__}
    versions |= {
        backend: importlib.metadata.version(backend),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return json.loads(json.dumps({"stage": stage.name, "config": plain, "facts": dict(facts), "versions": versions}))


def check_same(description: dict, path: pathlib.Path) -> None:
    """Compares with the description of the training that `path` holds, in all that it tells: older ones lack facts.

    Raises:
        OtherRunError: Something that must stay the same differs.
    """
    before, now = (_essential(json.loads(path.read_text())), _essential(description))
    differences = [
        f"{name} was {before[name]!r} and is now {now.get(name)!r}" for name in before if before[name] != now.get(name)
    ]
    if differences:
        raise OtherRunError(
            f"{path.parent} holds a training with other settings ({'; '.join(differences)}): "
            "give these again to go on, choose another networks_dir, or restart to forget it"
        )


def write(description: dict, path: pathlib.Path) -> None:
    """Writes the description as JSON."""
    with files.atomic_write(path) as partial:
        partial.write_text(json.dumps(description, indent=2) + "\n")


def _essential(description: dict) -> dict:
    free = {field.name for field in dataclasses.fields(Config) if field.metadata.get("free")}
    # A setting that is newer than the training had its default.
    defaults = describe(Config(), stages.BY_NAME[description["stage"]], {})["config"]
    settings = {**defaults, **description["config"]}
    kept = {name: value for name, value in settings.items() if name not in free}
    return {**kept, **description["facts"]}
