"""What building records costs for each stage, and how it grows with images, with faces and with workers.

    python -m benchmarks.growth --dataset=wider_face:DIR --out_dir=growth

Prints a table and draws OUT_DIR/growth.png.
"""

import os
import pathlib

import numpy as np
from absl import app, flags
from matplotlib import figure

from benchmarks import builds
from data_prep import mining
from mtcnn_tf import datasets, stages

_DATASET = flags.DEFINE_string("dataset", None, "NAME:DIR of a data set.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Where the drawing goes.", required=True)
_NETWORKS = flags.DEFINE_string("networks", "mtcnn_tf/weights/classic", "The networks that propose boxes.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 160, "Images of each build.", lower_bound=16)

THRESHOLDS = (0.3, 0.2)
"""Of the networks that propose."""
FEWEST_FACES = (0, 2, 5, 10, 20, 50)
"""Images with so many faces, up to the next number, are built by themselves."""


def miner_for(stage: stages.Stage) -> mining.Miner | None:
    """The networks before the stage; none for P-Net."""
    if stage is stages.PNET:
        return None
    before = stages.proposers(stage)
    return mining.Miner(_NETWORKS.value, before[-1].name, THRESHOLDS[: len(before)], min_face_size=20)


def spread(annotations: list, count: int) -> list:
    """`count` of them, or all, from the first to the last."""
    rows = np.unique(np.linspace(0, len(annotations) - 1, min(count, len(annotations))).astype(int))
    return [annotations[row] for row in rows]


def by_faces(annotations: list, stage: stages.Stage) -> list[tuple[float, float]]:
    """Mean number of faces and milliseconds an image, of images with more and more faces."""
    costs = []
    for fewest, above in zip(FEWEST_FACES, (*FEWEST_FACES[1:], np.inf), strict=True):
        group = [annotation for annotation in annotations if fewest <= len(annotation.boxes) < above]
        group = spread(group, _NUM_IMAGES.value // 2)
        if len(group) >= 16:
            seconds = builds.seconds_per_image(group, stage, miner_for(stage), num_workers=1)
            costs.append((float(np.mean([len(annotation.boxes) for annotation in group])), 1000 * seconds))
    return costs


def by_workers(annotations: list, stage: stages.Stage) -> list[tuple[int, list[float]]]:
    """Number of workers and seconds at which each image was done, for 1, 2, 4 … workers up to one for each core."""
    numbers = [2**i for i in range(os.cpu_count().bit_length()) if 2**i <= os.cpu_count()]
    return [(n, builds.warm_times(builds.end_times(annotations, stage, miner_for(stage), n))) for n in numbers]


def main(_) -> None:
    """Measures each stage, prints, draws."""
    annotations = datasets.read(_DATASET.value)[0]
    page = figure.Figure((12, 3.6), layout="constrained")
    images, faces, workers = page.subplots(1, 3)
    for stage in stages.ON_CROPS:
        runs = by_workers(spread(annotations, _NUM_IMAGES.value), stage)
        costs = [1000 * ended[-1] / (len(ended) - 1) for _, ended in runs]
        for (number, _), cost in zip(runs, costs, strict=True):
            print(f"{stage.name}, workers: {number}; {cost:.1f} ms an image")
        ended = runs[0][1]
        images.plot(range(1, len(ended)), ended[1:], label=stage.name)
        workers.plot([number for number, _ in runs], np.divide(costs[0], costs), "o-", label=stage.name)
        num_faces, milliseconds = zip(*by_faces(annotations, stage), strict=True)
        for number, cost in zip(num_faces, milliseconds, strict=True):
            print(f"{stage.name}, faces an image: {number:.1f}; {cost:.1f} ms an image")
        slope, start = np.polyfit(num_faces, milliseconds, 1)
        print(f"{stage.name}: {start:.1f} ms an image and {slope:.2f} ms a face", flush=True)
        faces.plot(num_faces, milliseconds, "o-", label=stage.name)
    images.set(xlabel="images", ylabel="seconds, 1 worker", xscale="log", yscale="log")
    faces.set(xlabel="faces an image", ylabel="ms an image, 1 worker", xscale="log", yscale="log")
    workers.set(xlabel="workers", ylabel="times as fast as 1 worker")
    for axes in (images, faces, workers):
        axes.legend()
        axes.grid(alpha=0.3)
    os.makedirs(_OUT_DIR.value, exist_ok=True)
    page.savefig(pathlib.Path(_OUT_DIR.value) / "growth.png", dpi=80)


if __name__ == "__main__":
    app.run(main)
