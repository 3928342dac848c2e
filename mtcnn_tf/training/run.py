"""One training from its start, or from where it stopped, to its end."""

import contextlib
import itertools
import math
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import tqdm

from mtcnn_tf import files, locks, stages
from mtcnn_tf.geometry import anchor_labels
from mtcnn_tf.training import (
    board,
    checkpoints,
    cluster,
    history,
    learners,
    settings,
    stopping,
    strategies,
    tasks,
    validators,
)

SECONDS_BETWEEN_PLOTS = 60
"""At least; to draw one takes a second, which short epochs would spend on little else. The last epoch is drawn, too."""


def fit(
    config: settings.Config,
    stage: stages.Stage,
    train: Callable[..., Iterable],
    validation: Callable[[], Iterable] | None,
    networks_dir: str | os.PathLike,
    facts: Mapping[str, Any] | None = None,
    restart: bool = False,
    report: Callable[[str], None] = print,
    prepare: Callable | None = None,
    rules: anchor_labels.Rules | None = None,
) -> list[dict]:
    """The history, a dict of figures for each epoch, of a training that ends with the best network in `networks_dir`.

    The best network is that of the epoch with the lowest `val_loss`, the weighted sum of the three validation losses:
    the one figure that sees all three tasks. That of the RPN is the one with the highest `val_recall_at_100`. Called
    again with the same arguments a training goes on where it stopped.

    Under the multi-worker strategy every worker runs this with one and the same `networks_dir`, which all of them must
    see; the first one alone writes, and at the ends of epochs only.

    Args:
        config: How to train.
        stage: What to train.
        train: Called as `train(seed=…)`, under the multi-worker strategy with a `part` too (see
            `input_pipeline.batches`), gives at least `steps_per_epoch` batches, the same ones for the same seed, as
            something with `skip`: a `tf.data.Dataset` or `prefetching.Steps`. A batch is a dict, for crops of `image`
            [B, S, S, 3] in 0–255, `kind` int32 [B] (see `kinds`), `offsets` float32 [B, 4] and `landmarks` float32
            [B, 2 P]; for the RPN of `image`, `labels` and `true_boxes` (see `anchor_labels.assign`).
        validation: Called as `validation()`, gives finitely many such batches; for the RPN of `image`, `boxes`,
            `face_mask` and `complete_mask` (see `windows.Sampler.draw`). None measures nothing and keeps the last
            network.
        networks_dir: The stages may share it.
        facts: More that must be the same when the training goes on, such as where the examples come from.
        restart: Forget what this stage did in `networks_dir` so far, once network and validation are found to do.
        report: Takes the lines that tell how it goes.
        prepare: Called on each batch in the graph of the step, see `accelerator_crops.OnAccelerator`.
        rules: By which the RPN's anchors are labelled, to show them; see `validators.RpnValidator`.

    Raises:
        OtherRunError: `networks_dir` holds a training of this stage with other settings.
        FloatingPointError: The loss became NaN or infinite; the last good states are kept.
        Interrupted: Ctrl-C or SIGTERM; the state is saved.
        ValueError: There are too few batches, `init_from` doesn't fit, no checkpoint can be read, or another process
            trains this stage in `networks_dir`.
        OSError: A file could not be written.
    """
    run = _Run(config, stage, pathlib.Path(networks_dir), dict(facts or {}), report)
    with locks.only_one_in(run.dir, "training") if run.is_writer else contextlib.nullcontext():
        return run.fit(train, validation, restart, prepare, rules)


class _Run:
    """One call of `fit`: what it works on, and where the files are."""

    def __init__(
        self,
        config: settings.Config,
        stage: stages.Stage,
        networks_dir: pathlib.Path,
        facts: dict,
        report: Callable[[str], None],
    ):
        self.config, self.stage, self.report = config, stage, report
        self.network_path = networks_dir / stage.network_file
        self.dir = networks_dir / stage.name
        self.checkpoints_dir = self.dir / "checkpoints"
        self.description = settings.describe(config, stage, facts)
        self.progress = checkpoints.Progress()
        self.num_profiled = config.profile_steps
        self.plotted_at = self.saved_at = time.monotonic()
        self.unchecked: list[tuple[int, Any]] = []
        self.is_writer = cluster.is_writer(config.strategy)
        if not self.is_writer:
            self.report = lambda line: None

    def fit(
        self,
        train: Callable,
        validation: Callable | None,
        restart: bool,
        prepare: Callable | None,
        rules: anchor_labels.Rules | None,
    ) -> list[dict]:
        """See the function `fit`."""
        self.strategy = strategies.choose(self.config.strategy)
        with strategies.scope(self.strategy):
            network, model = tasks.build(self.config, self.stage)
            self.learner = learners.learner(
                model, network, tasks.optimizer(self.config), self.strategy, self.config.ema, prepare
            )
        validator = validation and validators.for_stage(self.stage, network, validation(), self.config, rules)
        self._open_dir(restart)
        self.checkpoints = checkpoints.Checkpoints(self.checkpoints_dir, self.learner, self.progress)
        if self.checkpoints.restore(self.report):
            self._report_restored()
        if validator is None:
            self.report("No faces are held out to validate with: the network of the last epoch is kept.")
        with stopping.StopRequest() as self.stop, contextlib.ExitStack() as opened:
            if self.is_writer:
                self.board = opened.enter_context(contextlib.closing(board.Board(self.dir / "tensorboard")))
                self.board.write_configuration(_flat(self.description), self._num_steps())
            while self.progress.epoch < self.config.epochs:
                self._stop_if_asked()
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
            for folder in ("checkpoints", "tensorboard"):
                shutil.rmtree(self.dir / folder, ignore_errors=True)
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
        """Writes a checkpoint; within an epoch several workers can't, since none of them has all the figures."""
        self._check_losses()
        if self.config.strategy != "multi_worker":
            self.checkpoints.save(self._num_steps())
        self.saved_at = time.monotonic()

    def _train_epoch(self, train: Callable) -> dict:
        """The figures of an epoch, or of the rest of one that was interrupted."""
        first_step, num_steps = self.progress.step, self.config.steps_per_epoch
        if not first_step:
            self.learner.reset_figures()
        started, waited = time.perf_counter(), _Seconds()
        batches = itertools.islice(waited.of(self._batches(train)), num_steps - first_step)
        with self._bar() as bar, self._profiler() as step_traced:
            for batch in batches:
                with step_traced():
                    loss = self.learner.step(batch)
                self.progress.step += 1
                self._watch(loss)
                bar.update()
        self._check_losses()
        seconds = time.perf_counter() - started
        if self.progress.step < num_steps:
            raise ValueError(f"an epoch needs {num_steps} batches, train gave only {self.progress.step}")
        num_examples = (num_steps - first_step) * self.config.batch_size
        return {
            "epoch": self.progress.epoch + 1,
            **self.learner.figures(),
            "loss": self.progress.loss / num_steps,
            "learning_rate": self.learner.learning_rate(),
            "examples_per_second": num_examples / seconds,
            "input_waiting": waited.total / seconds,
        }

    def _batches(self, train: Callable) -> Iterable:
        """What is left of the epoch, of several workers each its part."""

        def left(**part: Any) -> Iterable:
            return train(seed=self.config.seed + self.progress.epoch, **part).skip(self.progress.step)

        return strategies.spread(self.strategy, self.config.strategy, left)

    def _watch(self, loss: Any):
        """Looks at what a step brought, saves now and then, and stops when asked to."""
        self.unchecked.append((self.progress.step, loss))
        if len(self.unchecked) >= self.learner.check_every:
            self._check_losses()
        self._stop_if_asked()
        if time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes:
            self._save()

    def _check_losses(self):
        """Adds up the losses since it was last called; raises FloatingPointError where one isn't finite."""
        for step, loss in self.unchecked:
            if not math.isfinite(value := float(loss)):
                raise FloatingPointError(f"the loss became {value} in epoch {self.progress.epoch + 1}, step {step}")
            self.progress.loss += value
        self.unchecked.clear()

    def _stop_if_asked(self):
        """Saves and raises `Interrupted` if a stop was requested."""
        if self.stop.signal_number:
            self._save()
            where = f"in epoch {self.progress.epoch + 1} after step {self.progress.step}"
            raise stopping.Interrupted(f"stopped {where}", self.stop.signal_number)

    def _bar(self) -> tqdm.tqdm:
        """A progress bar over the steps of an epoch; nothing at all where there is no terminal."""
        description = f"epoch {self.progress.epoch + 1}/{self.config.epochs}"
        start, total = self.progress.step, self.config.steps_per_epoch
        return tqdm.tqdm(desc=description, initial=start, total=total, unit="step", leave=False, disable=None)

    @contextlib.contextmanager
    def _profiler(self) -> Iterator[Callable]:
        """What to enter for each step; it traces some of the first steps of this process, if that is wanted."""
        num_steps, self.num_profiled = self.num_profiled, 0
        if not num_steps or not self.is_writer:
            yield contextlib.nullcontext
            return
        from mtcnn_tf.training import profiling  # needs TensorFlow

        with profiling.Profiler(self.dir / "tensorboard", num_steps) as profiler:
            yield profiler.step

    def _finish_epoch(self, row: dict, validator: validators.Validator | validators.RpnValidator | None):
        """Validates, and writes everything that an epoch leaves behind, its network too if that is the best so far.

        The checkpoint comes last: killed before it, the training does this epoch's rest again, with the same results.
        """
        arrays = self.learner.arrays()  # several workers add up their figures for it: all of them must ask
        checkpoints.check_finite(arrays)
        with self.learner.shown() as network:
            if validator:
                row |= {f"val_{name}": value for name, value in validator.measure().items()}
                _check_validation(row)
            best = self.progress.rows[self.progress.best_epoch - 1] if self.progress.best_epoch else row
            is_best = not validator or validator.badness(row) <= validator.badness(best)
            self.progress.rows.append(row)
            self.progress.epoch, self.progress.step, self.progress.loss = row["epoch"], 0, 0.0
            if is_best:
                self.progress.best_epoch = row["epoch"]
            if self.is_writer:
                self._write_epoch(row, network, validator, is_best)
        if self.is_writer:
            self.checkpoints.save(self._num_steps(), arrays)
        self.saved_at = time.monotonic()
        self.report(_line(row, self.config.epochs, is_best))

    def _write_epoch(
        self, row: dict, network: Any, validator: validators.Validator | validators.RpnValidator | None, is_best: bool
    ):
        """Writes all but the checkpoint."""
        if is_best:
            tasks.save(network, self.network_path)
        history.write_csv(self.progress.rows, self.dir / "history.csv")
        is_last, now = row["epoch"] >= self.config.epochs, time.monotonic()
        if is_last or now - self.plotted_at >= SECONDS_BETWEEN_PLOTS:
            history.write_plot(self.progress.rows, self.dir / "history.png", self.stage.name)
            self.plotted_at = now
        step = self._num_steps()
        self.board.write_row({name: value for name, value in row.items() if name != "epoch"}, step)
        self.board.write_network(network, step)
        if validator:
            self.board.write_validation(validator, step)
        self.board.flush()


class _Seconds:
    """Counts for how long the consumer of an iterable had to wait for it; `total` in seconds."""

    def __init__(self) -> None:
        self.total = 0.0

    def of(self, items: Iterable) -> Iterator:
        """The same items."""
        iterator, missing = iter(items), object()
        while True:
            before = time.perf_counter()
            item = next(iterator, missing)
            self.total += time.perf_counter() - before
            if item is missing:
                return
            yield item


def _check_validation(row: Mapping[str, float]) -> None:
    """Raises `FloatingPointError` where `val_loss` isn't finite: no epoch would be the best, and none would be kept."""
    if not math.isfinite(row.get("val_loss", 0.0)):
        names = [name for name, value in row.items() if not math.isfinite(value)]
        raise FloatingPointError(
            f"val_loss became {row['val_loss']} in epoch {row['epoch']} ({', '.join(names)}), from these weights or "
            "from damaged numbers in the validation's examples"
        )


def _line(row: dict, num_epochs: int, is_best: bool) -> str:
    """What one line can tell of an epoch."""
    names = ["loss", "val_loss", "val_face_accuracy", "val_recall_at_precision", "val_box_iou", "val_landmark_error"]
    names += ["val_recall_at_40", "val_recall_at_100", "val_recall_at_300"]
    figures = [f"{name} {row[name]:.4g}" for name in names if name in row]
    speed = f"{row['examples_per_second']:.0f} examples/s, {row['input_waiting']:.0%} waiting"
    return f"epoch {row['epoch']}/{num_epochs}: {', '.join(figures)}, {speed}" + (" (best so far)" if is_best else "")


def _flat(description: Mapping) -> dict:
    """Nested settings as `config.epochs`: value."""
    flat: dict[str, Any] = {}
    for name, value in description.items():
        inner = {f"{name}.{key}": x for key, x in value.items()} if isinstance(value, Mapping) else {name: value}
        flat |= inner
    return flat
