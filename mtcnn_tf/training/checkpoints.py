"""Where a training stands, written so that it can go on from there after any sort of end.

A checkpoint is one file: weights, optimizer state, history and running figures are written together and appear whole or
not at all, with a checksum of each array. A training that is killed while it writes, or whose newest checkpoint is
damaged, goes on from the one before.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mtcnn_tf import files
from mtcnn_tf.training import learners

NUM_KEPT = 3
_PROGRESS = "progress"


@dataclasses.dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: Number of epochs that are complete.
        step: Number of steps done in the epoch after these.
        rows: The history: one dict of figures for each complete epoch.
        best_epoch: The epoch whose network is kept, counted from 1; 0 before the first.
        loss: Sum of the losses of the steps of the epoch after these.
    """

    epoch: int = 0
    step: int = 0
    rows: list[dict] = dataclasses.field(default_factory=list)
    best_epoch: int = 0
    loss: float = 0.0


class Checkpoints:
    """The checkpoints of one training in `checkpoints_dir`, of which the newest `NUM_KEPT` stay."""

    def __init__(
        self,
        checkpoints_dir: pathlib.Path,
        learner: "learners.TensorFlowLearner | learners.JaxLearner",
        progress: Progress,
    ):
        self._dir, self._learner, self._progress = checkpoints_dir, learner, progress

    def save(self, num_steps: int, arrays: list[np.ndarray] | None = None) -> None:
        """Writes where the training stands after `num_steps` in total, and removes all but the newest checkpoints.

        Args:
            num_steps: Names the checkpoint.
            arrays: What the learner's `arrays` returned; None asks it.

        Raises:
            FloatingPointError: A weight isn't finite.
            OSError: The checkpoint could not be written; those before it are untouched.
        """
        arrays = self._learner.arrays() if arrays is None else arrays
        check_finite(arrays)
        self._dir.mkdir(parents=True, exist_ok=True)
        path = self._dir / f"step-{num_steps:09d}.npz"
        held: dict[str, Any] = {f"{number:05d}": values for number, values in enumerate(arrays)}
        held[_PROGRESS] = np.array(json.dumps(dataclasses.asdict(self._progress)))
        try:
            with files.atomic_write(path) as partial:
                np.savez(partial, **held)
        except OSError as error:
            raise OSError(f"could not write the checkpoint {path}: {error.strerror or error}") from error
        for old in paths(self._dir)[NUM_KEPT:]:
            old.unlink()

    def restore(self, report: Callable[[str], None] = print) -> bool:
        """Sets learner and progress to the newest checkpoint that can be read; whether there was one.

        Raises:
            ValueError: There are checkpoints, and none of them can be read.
        """
        files.remove_partial(self._dir)
        found = paths(self._dir)
        for path in found:
            try:
                with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
                    progress = json.loads(str(held[_PROGRESS]))
                    self._learner.restore([held[name] for name in sorted(held.files) if name != _PROGRESS])
            except Exception as error:  # every sort of damage has an error of its own
                report(f"The checkpoint {path} is damaged, trying the one before ({str(error).splitlines()[0][:120]}).")
            else:
                for name, value in progress.items():
                    setattr(self._progress, name, value)
                return True
        if found:
            raise ValueError(f"none of the {len(found)} checkpoints in {self._dir} can be read; restart to train anew")
        return False


def check_finite(arrays: list[np.ndarray]) -> None:
    """Raises `FloatingPointError` when a number isn't finite: such a state isn't worth keeping."""
    if not all(np.isfinite(values).all() for values in arrays if values.dtype.kind == "f"):
        raise FloatingPointError("the weights became NaN or infinite")


def paths(checkpoints_dir: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints in `checkpoints_dir`, newest first."""
    return sorted(checkpoints_dir.glob("step-*.npz"), reverse=True)
