"""Times `detector.batch` on images of one size against one call for each.

python -m benchmarks.batches --dataset=wider_face:DIR
"""

import time
from collections.abc import Callable

import numpy as np
from absl import app, flags

import mtcnn_tf
from benchmarks import ratios, turns
from mtcnn_tf import datasets
from mtcnn_tf.images import image_files

_DATASET = flags.DEFINE_string("dataset", None, "NAME:DIR of a data set.", required=True)
_SPLIT = flags.DEFINE_string("split", "val", "Its part.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 24, "Images of each size.", lower_bound=2)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds; medians are printed.", lower_bound=1)
_SIZES = flags.DEFINE_list("sizes", ["320x240", "640x480", "1024x683", "1920x1080"], "WIDTHxHEIGHT of the images.")


def seconds(search: Callable[[list[np.ndarray]], object], images: list[np.ndarray]) -> float:
    """How long `search(images)` takes."""
    start = time.perf_counter()
    search(images)
    return time.perf_counter() - start


def main(_) -> None:
    """Measures each size of image."""
    detector = mtcnn_tf.load()
    annotations = datasets.read(_DATASET.value, _SPLIT.value)[0]
    every = max(len(annotations) // _NUM_IMAGES.value, 1)
    paths = [each.image_path for each in annotations[::every]][: _NUM_IMAGES.value]
    for size in _SIZES.value:
        width, height = map(int, size.split("x"))
        images = [turns.fit(image_files.read(path), width, height) for path in paths]
        ways = (lambda images: [detector(image) for image in images], detector.batch)
        rounds = [[seconds(way, images) for way in ways] for _ in range(_ROUNDS.value + 1)][1:]  # the first warms up
        rate = len(images) / min(together for _, together in rounds)
        ratios.show(f"{size} one by one / batch", [alone / together for alone, together in rounds], "at least 1.3")
        print(f"{size}: {rate:.0f} images a second in batches")


if __name__ == "__main__":
    app.run(main)
