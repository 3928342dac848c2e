"""Work for the steps of a training, done ahead by other threads; results come in order."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterator
from typing import Any


class Steps:
    """`make(step)` for step 0, 1, 2, … without end, some steps ahead of whoever iterates.

    What is made must depend on the number of the step alone, so that threads don't change it.
    """

    def __init__(self, make: Callable[[int], Any], first_step: int = 0, num_threads: int | None = None):
        self._make, self._first_step = make, first_step
        self._num_threads = num_threads or os.cpu_count() or 1

    def skip(self, count: int) -> "Steps":
        """The same without the first `count` steps."""
        return Steps(self._make, self._first_step + count, self._num_threads)

    def __iter__(self) -> Iterator[Any]:
        waiting: collections.deque[concurrent.futures.Future] = collections.deque()
        step = self._first_step
        pool = concurrent.futures.ThreadPoolExecutor(self._num_threads, thread_name_prefix="steps")
        try:
            while True:
                while len(waiting) < 2 * self._num_threads:
                    waiting.append(pool.submit(self._make, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
