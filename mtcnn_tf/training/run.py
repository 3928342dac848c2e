"""One training from its start, or from where it stopped, to its end."""

import contextlib
import math
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from mtcnn_tf import files, locks, stages
from mtcnn_tf.training import board, callbacks, checkpoints, cluster, history, learner, settings, validators

SECONDS_BETWEEN_PLOTS = 60
"""At least; to draw one takes a second, which short epochs would spend on little else. The last epoch is drawn, too."""


def fit(
    config: settings.Config,
    stage: stages.Stage,
    train: Callable[..., tf.data.Dataset],
    validation: Callable[[], tf.data.Dataset] | None,
    workdir: str | os.PathLike,
    facts: Mapping[str, Any] | None = None,
    restart: bool = False,
    report: Callable[[str], None] = print,
) -> list[dict]:
    """The history, a dict of figures for each epoch, of a training that ends with the best network in `workdir`.

    The best network is that of the epoch with the lowest `val_loss`: the weighted sum of the three validation losses,
    the one figure that sees all three tasks. Called again with the same arguments it goes on where it stopped.

    Under the multi-worker strategy every worker runs this with one and the same `workdir`, which all of them must see;
    the first one alone writes, and at the ends of epochs only.

    Args:
        config: How to train.
        stage: What to train.
        train: Called as `train(seed=…)`, under the multi-worker strategy with a `part` too (see
            `input_pipeline.batches`), gives at least `steps_per_epoch` batches, the same ones for the same seed. A
            batch is a dict of `image` float32 [B, S, S, 3] in 0–255, `kind` int32 [B] (see `kinds`), `offsets`
            float32 [B, 4] and `landmarks` float32 [B, 10].
        validation: Called as `validation()`, gives a finite dataset of such batches. None measures nothing and keeps
            the last network.
        workdir: The three stages may share it.
        facts: More that must be the same when the training goes on, such as where the examples come from.
        restart: Forget what this stage did in `workdir` so far.
        report: Takes the lines that tell how it goes.

    Raises:
        OtherRunError: `workdir` holds a training of this stage with other settings.
        FloatingPointError: The loss became NaN or infinite; the last good states are kept.
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
        ValueError: There are too few batches, `init_from` doesn't fit, no checkpoint can be read, or another process
            trains this stage in `workdir`.
        OSError: A file could not be written.
    """
    run = _Run(config, stage, pathlib.Path(workdir), dict(facts or {}), report)
    with locks.only_one_in(run.dir, "training") if run.is_writer else contextlib.nullcontext():
        return run.fit(train, validation, restart)


class _Run:
    """One call of `fit`: what it works on, and where the files are."""

    def __init__(
        self,
        config: settings.Config,
        stage: stages.Stage,
        workdir: pathlib.Path,
        facts: dict,
        report: Callable[[str], None],
    ):
        self.config, self.stage, self.report = config, stage, report
        self.weights = config.loss_weights or stage.loss_weights
        self.network_path = workdir / stage.network_file
        self.dir = workdir / stage.name
        self.checkpoints_dir = self.dir / "checkpoints"
        self.description = settings.describe(config, stage, facts)
        self.progress = checkpoints.Progress()
        self.num_profiled = config.profile_steps
        self.plotted_at = time.monotonic()
        self.is_writer = cluster.is_writer(config.strategy)
        if not self.is_writer:
            self.report = lambda line: None

    def fit(self, train: Callable, validation: Callable | None, restart: bool) -> list[dict]:
        """See the function `fit`."""
        self._open_dir(restart)
        self.network, self.model = learner.build(self.config, self.stage)
        self.checkpoints = checkpoints.Checkpoints(self.checkpoints_dir, self.model, self.progress)
        if self.checkpoints.restore(self.report):
            self._report_restored()
        validator = None
        if validation:
            validator = validators.Validator(self.network, validation(), self.weights, self.config.hard_share)
        with callbacks.StopRequest() as stop, contextlib.ExitStack() as opened:
            if self.is_writer:
                self.board = opened.enter_context(contextlib.closing(board.Board(self.dir / "tensorboard")))
                self.board.write_configuration(_flat(self.description), self._num_steps())
            self.watch = callbacks.Watch(
                self.progress,
                self.checkpoints.restore_running_metrics,
                self._save,
                self.config.checkpoint_minutes,
                stop,
            )
            while self.progress.epoch < self.config.epochs:
                self.watch.stop_if_asked()
                try:
                    self._finish_epoch(self._train_epoch(train), validator)
                except FloatingPointError as error:
                    raise FloatingPointError(f"{error}; {self._way_out()}") from error
        return self.progress.rows

    def _way_out(self) -> str:
        """What is left after the loss or a weight has become NaN, and what to do."""
        kept = checkpoints.paths(self.checkpoints_dir)
        left = [f"the last good state is {kept[0]}"] if kept else []
        left += [f"the best network so far is {self.network_path}"] if self.progress.best_epoch else []
        return "; ".join([*left, "restart with a lower learning rate, or with shorter gradients (clip_norm)"])

    def _open_dir(self, restart: bool):
        """Makes sure that what the folder holds is this very training, and removes what was left half-written."""
        path = self.dir / "config.json"
        if not self.is_writer:
            return
        if restart:
            for old in ("checkpoints", "tensorboard"):
                shutil.rmtree(self.dir / old, ignore_errors=True)
            for old in (path, self.dir / "history.csv", self.dir / "history.png"):
                old.unlink(missing_ok=True)
        files.remove_partial(self.dir)
        files.remove_partial_of(self.network_path)
        if path.exists() and checkpoints.paths(self.checkpoints_dir):
            settings.check_same(self.description, path)
        else:
            settings.write(self.description, path)

    def _report_restored(self):
        if self.progress.epoch >= self.config.epochs:
            self.report(f"{self.stage.name} is finished after {self.progress.epoch} epochs: {self.network_path}")
        else:
            self.report(f"Going on in epoch {self.progress.epoch + 1} after step {self.progress.step}.")

    def _num_steps(self) -> int:
        """Number of steps from the start of the training."""
        return self.progress.epoch * self.config.steps_per_epoch + self.progress.step

    def _save(self):
        """Writes a checkpoint; within an epoch several workers can't, since none of them has all the metrics."""
        if self.config.strategy != "multi_worker" or (self.is_writer and not self.progress.step):
            self.checkpoints.save(self._num_steps())

    def _train_epoch(self, train: Callable) -> dict:
        """The figures of an epoch, or of the rest of one that was interrupted."""
        first_step, num_steps = self.progress.step, self.config.steps_per_epoch
        seconds, waited = 0.0, 0.0
        if first_step < num_steps:
            batches, waiting = self._batches(train)
            started = time.perf_counter()
            description = f"epoch {self.progress.epoch + 1}/{self.config.epochs}"
            with contextlib.closing(callbacks.Bar(description, first_step, num_steps)) as bar:
                self.model.fit(
                    batches,
                    steps_per_epoch=num_steps - first_step,
                    verbose=0,
                    shuffle=False,
                    callbacks=[self.watch, bar, *self._profiler()],
                )
            seconds, waited = time.perf_counter() - started, float(waiting)
        else:
            self.checkpoints.restore_running_metrics()
        if self.progress.step < num_steps:
            raise ValueError(f"an epoch needs {num_steps} batches, train gave only {self.progress.step}")
        figures = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        for name in learner.tally(self.model).absent():
            del figures[name]
        num_examples = (num_steps - first_step) * self.config.batch_size
        return {
            "epoch": self.progress.epoch + 1,
            **figures,
            "learning_rate": learner.learning_rate(self.model),
            "examples_per_second": num_examples / seconds if seconds else 0.0,
            "input_waiting": waited / seconds if seconds else 0.0,
        }

    def _batches(self, train: Callable) -> tuple[tf.data.Dataset | tf.distribute.DistributedDataset, tf.Variable]:
        """What is left of the epoch, of several workers each its part; and the seconds that were waited for it."""
        seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)

        def left(**part) -> tf.data.Dataset:
            batches = train(seed=self.config.seed + self.progress.epoch, **part)
            batches = batches.skip(self.progress.step).take(self.config.steps_per_epoch - self.progress.step)
            return callbacks.measure_waiting(batches, seconds)

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return left(part=(context.input_pipeline_id, context.num_input_pipelines))

        if self.config.strategy != "multi_worker":
            return left(), seconds
        # TensorFlow's own way would give one worker the negatives and another the landmarks of each batch.
        return self.model.distribute_strategy.distribute_datasets_from_function(of_worker), seconds

    def _profiler(self) -> list[callbacks.Profiler]:
        """What traces the first steps of this process, if that is wanted."""
        num_steps, self.num_profiled = self.num_profiled, 0
        return [callbacks.Profiler(self.dir / "tensorboard", num_steps)] if num_steps and self.is_writer else []

    def _finish_epoch(self, row: dict, validator: validators.Validator | None):
        """Validates, and writes everything that an epoch leaves behind, its network too if that is the best so far.

        The checkpoint comes last: killed before it, the training does this epoch's rest again, with the same results.
        """
        checkpoints.check_finite(self.model)
        if validator:
            row |= {f"val_{name}": value for name, value in validator.measure().items()}
            _check_validation(row)
        best = self.progress.rows[self.progress.best_epoch - 1] if self.progress.best_epoch else row
        is_best = row.get("val_loss", 0.0) <= best.get("val_loss", 0.0)
        self.progress.rows.append(row)
        self.progress.epoch, self.progress.step = row["epoch"], 0
        if is_best:
            self.progress.best_epoch = row["epoch"]
        if self.is_writer:
            self._write_epoch(row, validator, is_best)
        self._save()
        self.report(_line(row, self.config.epochs, is_best))

    def _write_epoch(self, row: dict, validator: validators.Validator | None, is_best: bool):
        """Writes all but the checkpoint."""
        if is_best:
            learner.save(self.network, self.config, self.stage, self.network_path)
        history.write_csv(self.progress.rows, self.dir / "history.csv")
        is_last, now = row["epoch"] >= self.config.epochs, time.monotonic()
        if is_last or now - self.plotted_at >= SECONDS_BETWEEN_PLOTS:
            history.write_plot(self.progress.rows, self.dir / "history.png", self.stage.name)
            self.plotted_at = now
        step = self._num_steps()
        self.board.write_row({name: value for name, value in row.items() if name != "epoch"}, step)
        self.board.write_network(self.network, step)
        if validator:
            self.board.write_validation(validator, step)
        self.board.flush()


def _check_validation(row: Mapping[str, float]) -> None:
    """Raises `FloatingPointError` where `val_loss` isn't finite: no epoch would be the best, and none would be kept."""
    if not math.isfinite(row["val_loss"]):
        names = [name for name, value in row.items() if not math.isfinite(value)]
        raise FloatingPointError(
            f"val_loss became {row['val_loss']} in epoch {row['epoch']} ({', '.join(names)}), from these weights or "
            "from damaged numbers in the validation's examples"
        )


def _line(row: dict, num_epochs: int, is_best: bool) -> str:
    """What one line can tell of an epoch."""
    names = ("loss", "val_loss", "val_face_accuracy", "val_recall_at_precision", "val_box_iou", "val_landmark_error")
    figures = [f"{name} {row[name]:.4g}" for name in names if name in row]
    speed = f"{row['examples_per_second']:.0f} examples/s, {row['input_waiting']:.0%} waiting"
    return f"epoch {row['epoch']}/{num_epochs}: {', '.join(figures)}, {speed}" + (" (best so far)" if is_best else "")


def _flat(description: Mapping) -> dict:
    """Nested settings as `config.epochs`: value."""
    flat = {}
    for name, value in description.items():
        inner = {f"{name}.{key}": x for key, x in value.items()} if isinstance(value, Mapping) else {name: value}
        flat |= inner
    return flat
