"""Calls one detector from several threads with images of ever-changing sizes: same results, memory, tracing.

    python -m benchmarks.soak --num_images=5000 --minutes=20

All images are looked at by one thread, then by several, and the results are compared; after this the threads go on
with new images for --minutes.
"""

import concurrent.futures
import itertools
import os
import pathlib
import time
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from absl import app, flags

import mtcnn_tf
from data_prep.sample_set import sample_scenes
from mtcnn_tf import faces

_NUM_IMAGES = flags.DEFINE_integer("num_images", 5000, "Images looked at by one thread and by all.", 1)
_NUM_THREADS = flags.DEFINE_integer("num_threads", 8, "Threads that call the detector.", 1)
_MINUTES = flags.DEFINE_float("minutes", 20, "How long the threads go on.", 0)
_MODEL = flags.DEFINE_string("model", "default", "What mtcnn_tf.load takes.")

SHORTEST, LONGEST = 40, 640
"""Sides of the images in pixels."""


def image(number: int, scene: np.ndarray) -> np.ndarray:
    """A random part of the scene in a random size, always the same for a number."""
    rng = np.random.default_rng(number)
    height, width = rng.integers(SHORTEST, LONGEST + 1, 2)
    top, left = rng.integers(0, np.array(scene.shape[:2]) // 2)
    return cv2.resize(scene[top:, left:], (int(width), int(height)), interpolation=cv2.INTER_AREA)


def megabytes() -> float:
    """Resident memory of this process."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watched(found: Iterable[faces.Detections], every: int, what: str) -> Iterator[faces.Detections]:
    """The same detections; says how much memory there is after each `every` calls."""
    for count, detections in enumerate(found, 1):
        yield detections
        if count % every == 0:
            print(f"{what}, {count} calls: {megabytes():.0f} MB", flush=True)


def difference(found: faces.Detections, wanted: faces.Detections) -> float:
    """The largest difference of a score, or of a coordinate in pixels; infinite for another number of faces."""
    if len(found) != len(wanted):
        return float("inf")
    pairs = ((found.boxes, wanted.boxes), (found.scores, wanted.scores), (found.landmarks, wanted.landmarks))
    return max(float(np.max(np.abs(x - y), initial=0)) for x, y in pairs)


def main(_) -> None:
    """Compares, then goes on."""
    scene = sample_scenes.group(np.random.default_rng(0))[0]
    detector = mtcnn_tf.load(_MODEL.value)
    print(f"loaded: {megabytes():.0f} MB")

    def find(number: int) -> faces.Detections:
        return detector(image(number, scene))

    numbers, every = range(_NUM_IMAGES.value), max(1, _NUM_IMAGES.value // 10)
    wanted = list(watched(map(find, numbers), every, "1 thread"))
    with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS.value) as pool:
        found = list(watched(pool.map(find, numbers), every, f"{_NUM_THREADS.value} threads"))
        differences = [difference(*pair) for pair in zip(found, wanted, strict=True)]
        num_faces = sum(map(len, wanted))
        print(f"{num_faces} faces; largest difference {max(differences):.2g}, {np.count_nonzero(differences)} differ")

        started, num_calls = time.monotonic(), 0
        later = itertools.count(_NUM_IMAGES.value)
        for minute in itertools.count(1):
            if minute > _MINUTES.value:
                break
            while time.monotonic() - started < 60 * minute:
                num_calls += len(list(pool.map(find, itertools.islice(later, 50))))
            print(f"minute {minute}, {num_calls} calls: {megabytes():.0f} MB", flush=True)
    print(f"traced {detector.cascade.until_onet.experimental_get_tracing_count()} times")


if __name__ == "__main__":
    app.run(main)
