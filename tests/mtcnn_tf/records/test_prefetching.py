import itertools
import threading
import time

import pytest

from mtcnn_tf.records import prefetching


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("steps")]


def wait_for_no_threads():
    deadline = time.monotonic() + 30
    while threads():
        assert time.monotonic() < deadline, threads()
        time.sleep(0.01)


def test_steps_come_in_order_whatever_the_threads_do():
    def make(step):
        time.sleep(0.02 if step % 3 == 0 else 0)
        return step

    assert list(itertools.islice(prefetching.Steps(make, num_threads=4), 20)) == list(range(20))
    wait_for_no_threads()


def test_skipped_steps_are_not_made_and_each_iteration_begins_anew():
    made = []
    steps = prefetching.Steps(lambda step: made.append(step) or step, num_threads=2)
    later = steps.skip(5).skip(2)
    assert list(itertools.islice(later, 3)) == [7, 8, 9] == list(itertools.islice(later, 3))
    assert min(made) == 7
    assert list(itertools.islice(steps, 2)) == [0, 1]


def test_it_is_ahead_of_its_consumer_but_not_without_end():
    made, consumed = [], iter(prefetching.Steps(lambda step: made.append(step) or step, num_threads=2))
    assert next(consumed) == 0
    deadline = time.monotonic() + 30
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(made) == [0, 1, 2, 3]
    consumed.close()
    wait_for_no_threads()


def test_an_error_reaches_the_consumer_in_its_turn_and_ends_the_threads():
    def make(step):
        if step == 3:
            raise ValueError("step three")
        return step

    seen = []
    with pytest.raises(ValueError, match="step three"):
        for item in prefetching.Steps(make, num_threads=3):
            seen.append(item)
    assert seen == [0, 1, 2]
    wait_for_no_threads()


def test_a_consumer_that_leaves_takes_the_threads_with_it():
    def consume():
        for item in prefetching.Steps(lambda step: step, num_threads=3):
            if item == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    wait_for_no_threads()
