"""Where a training stands, written so that it can go on from there after any sort of end.

A checkpoint is one unit: weights, optimizer state, history and running metrics are written together by
`tf.train.Checkpoint`, which renames finished files into place and stores a checksum of every tensor. A training that is
killed while it writes, or whose newest checkpoint is damaged, goes on from the one before.
"""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from mtcnn_tf import files

NUM_KEPT = 3


@dataclasses.dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: Number of epochs that are complete.
        step: Number of steps done in the epoch after these.
        rows: The history: one dict of figures for each complete epoch.
        best_epoch: The epoch whose network is kept, counted from 1; 0 before the first.
        running: The values of the model's metrics in the middle of an epoch.
    """

    epoch: int = 0
    step: int = 0
    rows: list[dict] = dataclasses.field(default_factory=list)
    best_epoch: int = 0
    running: list = dataclasses.field(default_factory=list)


class _Stored(tf.train.experimental.PythonState):
    """A `Progress` as `tf.train.Checkpoint` wants to have it."""

    def __init__(self, progress: Progress):
        self.progress = progress

    def serialize(self) -> bytes:
        return json.dumps(dataclasses.asdict(self.progress)).encode()

    def deserialize(self, string_value: bytes):
        for name, value in json.loads(string_value).items():
            setattr(self.progress, name, value)


class Checkpoints:
    """The checkpoints of one training in `checkpoints_dir`, of which the newest `NUM_KEPT` stay."""

    def __init__(self, checkpoints_dir: pathlib.Path, model: keras.Model, progress: Progress):
        self._dir = checkpoints_dir
        self._model = model
        self._progress = progress
        self._checkpoint = tf.train.Checkpoint(
            weights=[variable.value for variable in model.variables],
            optimizer=[variable.value for variable in model.optimizer.variables],
            progress=_Stored(progress),
        )

    def save(self, num_steps: int) -> None:
        """Writes where the training stands after `num_steps` in total, and removes all but the newest checkpoints.

        Raises:
            FloatingPointError: A weight isn't finite.
            OSError: The checkpoint could not be written; those before it are untouched.
        """
        check_finite(self._model)
        is_within_epoch = self._progress.step > 0
        self._progress.running = [np.asarray(x).tolist() for x in _running(self._model)] if is_within_epoch else []
        self._dir.mkdir(parents=True, exist_ok=True)
        path = self._dir / f"step-{num_steps:09d}"
        try:
            self._checkpoint.write(str(path))
        except tf.errors.OpError as error:
            raise OSError(f"could not write the checkpoint {path}: {files.reason(error.message)}") from error
        self._remove_all_but_newest()

    def _remove_all_but_newest(self) -> None:
        """Removes older checkpoints, and what a killed process left half-written."""
        kept = {path.name for path in paths(self._dir)[:NUM_KEPT]}
        for path in self._dir.glob("step-*"):
            if path.is_dir():  # TensorFlow writes into step-…_temp
                shutil.rmtree(path)
            elif path.name.partition(".")[0] not in kept:
                path.unlink()

    def restore(self, report: Callable[[str], None] = print) -> bool:
        """Sets model, optimizer and progress to the newest checkpoint that can be read; whether there was one.

        Raises:
            ValueError: There are checkpoints, and none of them can be read.
        """
        found = paths(self._dir)
        for path in found:
            try:
                self._checkpoint.read(str(path)).assert_existing_objects_matched()
                return True
            except Exception as error:  # TensorFlow has another type for every sort of damage
                report(f"The checkpoint {path} is damaged, trying the one before ({str(error).splitlines()[0][:120]}).")
        if found:
            raise ValueError(f"none of the {len(found)} checkpoints in {self._dir} can be read; restart to train anew")
        return False

    def restore_running_metrics(self) -> None:
        """Sets the model's metrics, which Keras resets before every epoch, to what they were at the checkpoint."""
        for variable, value in zip(_running(self._model), self._progress.running, strict=True):
            variable.assign(value)


def check_finite(model: keras.Model) -> None:
    """Raises `FloatingPointError` when a weight isn't finite: such a state isn't worth keeping."""
    for variable in model.trainable_variables:
        if not np.all(np.isfinite(variable.numpy())):
            raise FloatingPointError(f"the weights {variable.path} became NaN or infinite")


def paths(checkpoints_dir: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints in `checkpoints_dir`, newest first, without the suffixes of their files."""
    return sorted((path.with_suffix("") for path in checkpoints_dir.glob("step-*.index")), reverse=True)


def _running(model: keras.Model) -> list:
    return [variable for metric in model.metrics for variable in metric.variables]
