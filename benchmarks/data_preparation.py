"""Times data preparation against merely decoding the same images, and two workers against one.

python -m benchmarks.data_preparation --dataset=wider_face:DIR
"""

import statistics
import time

import cv2
from absl import app, flags

from benchmarks import builds, ratios
from mtcnn_tf import datasets, stages
from mtcnn_tf.images import image_files

_DATASET = flags.DEFINE_string("dataset", None, "NAME:DIR of a data set.", required=True)
_NUM_IMAGES = flags.DEFINE_integer("num_images", 240, "Images timed in each round.", lower_bound=16)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds; medians are printed.", lower_bound=1)


def decode_seconds(annotations) -> float:
    """Seconds an image that decoding alone takes on one core."""
    start = time.perf_counter()
    for annotation in annotations:
        image_files.read(annotation.image_path)
    return (time.perf_counter() - start) / len(annotations)


def main(_) -> None:
    """Prints the two ratios."""
    cv2.setNumThreads(1)
    annotations = datasets.read(_DATASET.value)[0]
    annotations = annotations[:: max(1, len(annotations) // _NUM_IMAGES.value)][: _NUM_IMAGES.value]
    decode_seconds(annotations)  # brings the files into memory
    rounds = [
        (decode_seconds(annotations), *(builds.seconds_per_image(annotations, stages.PNET, None, n) for n in (1, 2)))
        for _ in range(_ROUNDS.value)
    ]
    for name, column in zip(
        ("decoding", "building, 1 worker", "building, 2 workers"), zip(*rounds, strict=True), strict=True
    ):
        print(f"{name:20} {statistics.median(column) * 1000:7.2f} ms an image")
    ratios.show("building / decoding, one core", [one / decoding for decoding, one, _ in rounds], "at most 2")
    ratios.show("1 worker / 2 workers", [one / two for _, one, two in rounds], "at least 1.8")


if __name__ == "__main__":
    app.run(main)
