"""What happens between two training steps: counting, watching, saving now and then, stopping when asked to."""

import math
import pathlib
import signal
import threading
import time
from collections.abc import Callable

import keras
import tensorflow as tf
import tqdm

from mtcnn_tf.training import checkpoints


class Interrupted(KeyboardInterrupt):
    """The training was asked to stop and has saved where it stands; `signal_number` says by what."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Notes that the process was asked to stop, so that the running step can end first.

    A context: within it Ctrl-C and SIGTERM set `signal_number`; a second one stops at once. Only the main thread gets
    signals, in others nothing is noted.
    """

    def __init__(self):
        self.signal_number = None
        self._handlers = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def _note(self, signal_number, frame):
        self.signal_number = signal_number
        self.__exit__()

    def __exit__(self, *exception):
        while self._handlers:
            signal.signal(*self._handlers.popitem())


class Watch(keras.callbacks.Callback):
    """Keeps `progress` up to date within an epoch and saves it every few minutes.

    Raises:
        FloatingPointError: The loss isn't finite any more.
        Interrupted: A stop was requested; the state is saved.
    """

    def __init__(
        self,
        progress: checkpoints.Progress,
        restore_running_metrics: Callable[[], None],
        save: Callable[[], None],
        minutes: float,
        stop: StopRequest,
    ):
        super().__init__()
        self._progress = progress
        self._restore_running_metrics = restore_running_metrics
        self._save = save
        self._minutes = minutes
        self._stop = stop
        self._saved_at = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes from which step on this epoch goes; Keras has just reset the metrics."""
        self._first_step = self._progress.step
        if self._first_step:
            self._restore_running_metrics()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts, and acts on what the last step brought."""
        step = self._first_step + batch + 1
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(f"the loss became {logs['loss']} in epoch {self._progress.epoch + 1}, step {step}")
        self._progress.step = step
        self.stop_if_asked()
        if time.monotonic() - self._saved_at > 60 * self._minutes:
            self._save()
            self._saved_at = time.monotonic()

    def stop_if_asked(self) -> None:
        """Saves and raises `Interrupted` if a stop was requested."""
        if self._stop.signal_number:
            self._save()
            where = f"in epoch {self._progress.epoch + 1} after step {self._progress.step}"
            raise Interrupted(f"stopped {where}", self._stop.signal_number)


class Bar(keras.callbacks.Callback):
    """A progress bar over the steps of an epoch; nothing at all where there is no terminal."""

    def __init__(self, description: str, first_step: int, num_steps: int):
        super().__init__()
        self._bar = tqdm.tqdm(
            desc=description, initial=first_step, total=num_steps, unit="step", leave=False, disable=None
        )
        self._first_step = first_step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves on."""
        self._bar.update(self._first_step + batch + 1 - self._bar.n)
        if not self._bar.disable:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.4f}", refresh=False)

    def close(self) -> None:
        """Wipes the bar away."""
        self._bar.close()


class Profiler(keras.callbacks.Callback):
    """Traces `num_steps` steps into `logs_dir`, after some in which functions are traced and caches fill."""

    FIRST_STEP = 10

    def __init__(self, logs_dir: pathlib.Path, num_steps: int):
        super().__init__()
        self._logs_dir, self._last_step = logs_dir, self.FIRST_STEP + num_steps - 1
        self._is_on = False

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Begins."""
        if batch == self.FIRST_STEP:
            tf.profiler.experimental.start(str(self._logs_dir))
            self._is_on = True
        if self._is_on:
            self._step = tf.profiler.experimental.Trace("train", step_num=batch, _r=1)  # marks a step, for its overview
            self._step.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Ends."""
        if self._is_on:
            self._step.__exit__(None, None, None)
        if batch == self._last_step:
            self._stop()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Ends with the epoch, if that is shorter."""
        self._stop()

    def _stop(self):
        if self._is_on:
            tf.profiler.experimental.stop()
            self._is_on = False


def measure_waiting(batches: tf.data.Dataset, seconds: tf.Variable) -> tf.data.Dataset:
    """The same `batches`, which add to `seconds` (float64) for how long their consumer had to wait.

    A zip asks its parts one after the other, so that a clock before and a clock after enclose the waiting.
    """

    def note(before, batch, after):
        seconds.assign_add(after - before)
        return batch

    clock = tf.data.Dataset.counter().map(lambda _: tf.timestamp())
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # it would wait in our place
    return tf.data.Dataset.zip(clock, batches, clock).map(note).with_options(options)
