"""A trace of some steps of a training on TensorFlow, for TensorBoard's profiler."""

import contextlib
import pathlib
from collections.abc import Iterator

import tensorflow as tf


class Profiler:
    """Traces `num_steps` steps into `logs_dir`, after some in which functions are traced and caches fill."""

    FIRST_STEP = 10

    def __init__(self, logs_dir: pathlib.Path, num_steps: int):
        self._logs_dir, self._last_step = logs_dir, self.FIRST_STEP + num_steps - 1
        self._step = 0
        self._is_on = False

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Encloses one step."""
        if self._step == self.FIRST_STEP:
            tf.profiler.experimental.start(str(self._logs_dir))
            self._is_on = True
        if self._is_on:  # it marks a step, for the profiler's overview
            with tf.profiler.experimental.Trace("train", step_num=self._step, _r=1):
                yield
        else:
            yield
        if self._step == self._last_step:
            self._end()
        self._step += 1

    def _end(self):
        if self._is_on:
            tf.profiler.experimental.stop()
            self._is_on = False
