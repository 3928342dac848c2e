"""Recall against milliseconds: the first stages of cascades, all on the same images.

python -m benchmarks.first_stages --dataset=fddb:DIR --model=paper=networks --model=rpn=mtcnn_tf/weights/default

Prints a table and draws one plot. What is timed is the detector that stops after its first stage, at the score that
leaves it as many proposals as the largest of --num_proposals, on the mean of all images: no network is slow, or fast,
because it is more, or less, sure of itself.
"""

import functools
import time
from typing import NamedTuple

import matplotlib.figure
import numpy as np
from absl import app, flags

from benchmarks import ratios, turns
from mtcnn_tf import datasets, faces, files, stages
from mtcnn_tf.detection import cascade, detector
from mtcnn_tf.evaluation import proposals, saved_detections
from mtcnn_tf.images import image_files

_DATASET = flags.DEFINE_string("dataset", None, "NAME:DIR of a data set, such as fddb:DIR.", required=True)
_SPLIT = flags.DEFINE_string("split", "val", "Its part, where it has any.")
_MODEL = flags.DEFINE_multi_string(
    "model",
    None,
    "NAME=DIR, a folder with a trained first stage; NAME=DIR,DIR,… of one at several moments of its training, of which "
    "the last one is timed. Repeatable; times are compared with the first one's.",
    required=True,
)
_NUM_PROPOSALS = flags.DEFINE_list("num_proposals", ["100", "300"], "Proposals an image at which recall is told.")
_SIZES = flags.DEFINE_list("sizes", ["640x480", "1024x683"], "WIDTHxHEIGHT of the images that are timed.")
_MAX_IMAGES = flags.DEFINE_integer("max_images", None, "So many images, evenly chosen, for the recall. [all]")
_NUM_TIMED = flags.DEFINE_integer("num_timed", 6, "Images of each size that are timed.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Rounds; medians are printed.", lower_bound=1)
_PLOT = flags.DEFINE_string("plot", "first_stages.png", "The PNG to draw.")

LOWEST_SCORE = 0.01
"""Of proposals that may count."""


def evenly(annotations: list[faces.Annotation], num: int) -> list[faces.Annotation]:
    """At most `num` of them, at equal distances in the list."""
    chosen = np.linspace(0, len(annotations), min(num, len(annotations)), endpoint=False).astype(int)
    return [annotations[i] for i in chosen]


class FirstStage(NamedTuple):
    """A first stage, and how much it finds."""

    find: saved_detections.Find
    """The detector that is timed."""
    recalls: np.ndarray
    """[folders, numbers of proposals], 0–1, of faces from 24 pixels on."""


def load(folder: str) -> saved_detections.Find:
    """The detector of a folder's first stage alone: image → proposals; takes `threshold`."""
    first = stages.in_folder(folder)[0].name
    most = 4 * max(map(int, _NUM_PROPOSALS.value))
    found = detector.from_networks(folder, first, max_proposals=most, max_proposals_per_scale=2 * most)

    def find(image: np.ndarray, threshold: float = LOWEST_SCORE) -> faces.Detections:
        return found(image, until=first, thresholds=[threshold], min_face_size=cascade.MIN_FACE_SIZE)

    return find


def look(name: str, folders: list[str], annotations: list[faces.Annotation]) -> FirstStage:
    """Lets a first stage look at all images, at each moment of its training."""
    paths, recalls = [annotation.image_path for annotation in annotations], []
    for folder in folders:
        find = load(folder)
        found = saved_detections.detect(find, paths, name)
        sizes, ranks, _ = proposals.find(annotations, found)
        ranks = ranks[sizes >= proposals.SIZES[0]]
        recalls.append([np.mean(ranks <= int(num)) for num in _NUM_PROPOSALS.value])
        print(name, folder, *(f"{recall:.3f}" for recall in recalls[-1]), flush=True)
    threshold = score_that_leaves(max(map(int, _NUM_PROPOSALS.value)), found)
    return FirstStage(functools.partial(find, threshold=threshold), np.array(recalls))


def score_that_leaves(num: int, detections: list[faces.Detections]) -> float:
    """The score above which an image has `num` proposals on the mean, or the lowest where there are fewer."""
    scores = np.sort(np.concatenate([found.scores for found in detections]))[::-1]
    rank = num * len(detections)
    return float(scores[rank]) if rank < len(scores) else LOWEST_SCORE


def milliseconds(find: saved_detections.Find, image: np.ndarray) -> float:
    """How long it looks at an image."""
    start = time.perf_counter()
    find(image)
    return (time.perf_counter() - start) * 1000


def least(times: np.ndarray) -> float:
    """The median over the images of the fastest of each one's rounds, which a busy machine disturbs least."""
    return float(np.median(times.min(axis=0)))


def report(size: str, times: dict[str, np.ndarray], found: dict[str, FirstStage]) -> None:
    """Prints a row for each first stage, then the ratios of each round's medians to the first one's."""
    print(f"\n| {size} | " + " | ".join(f"recall at {num}" for num in _NUM_PROPOSALS.value) + " | ms | least |")
    print("|---" * (len(_NUM_PROPOSALS.value) + 3) + "|")
    for name, each in found.items():
        columns = [" → ".join(f"{recall:.3f}" for recall in column) for column in each.recalls.T]
        print(f"| {name} | {' | '.join(columns)} | {np.median(times[name]):.1f} | {least(times[name]):.1f} |")
    first, *others = times
    medians = {name: np.median(of_rounds, axis=1) for name, of_rounds in times.items()}
    for name in others:
        ratios.show(f"{size} {name} / {first}", list(medians[name] / medians[first]), "none")


def plot(path: str, times: dict[str, dict[str, np.ndarray]], found: dict[str, FirstStage]) -> None:
    """Draws a PNG: a row of panels for each size of image, a column for each number of proposals.

    A first stage is a large dot at its `least` time, with small ones where it stood earlier in its training.
    """
    nums, rows = _NUM_PROPOSALS.value, len(times)
    figure = matplotlib.figure.Figure(figsize=(4.4 * len(nums), 3.5 * rows), layout="constrained")
    panels = figure.subplots(rows, len(nums), squeeze=False, sharey=True, sharex="row")
    for (size, of_size), row in zip(times.items(), panels, strict=True):
        for column, (num, axes) in enumerate(zip(nums, row, strict=True)):
            for i, (name, each) in enumerate(found.items()):
                x, recalls, colour = least(of_size[name]), each.recalls[:, column], f"C{i}"
                axes.plot([x] * len(recalls), recalls, ".-", color=colour, alpha=0.4)
                axes.plot(x, recalls[-1], "o", color=colour, label=name)
            axes.set(title=f"{size}, {num} proposals", xlabel="ms an image", ylabel="recall")
            axes.grid(alpha=0.3)
    panels[0, 0].legend(fontsize="small")
    with files.atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=80)


def main(_) -> None:
    """Measures all first stages, prints and draws."""
    models = dict(text.split("=", 1) for text in _MODEL.value)
    annotations = datasets.read(_DATASET.value, _SPLIT.value)[0]
    annotations = evenly(annotations, _MAX_IMAGES.value or len(annotations))
    found = {name: look(name, folders.split(","), annotations) for name, folders in models.items()}
    whole_images = [image_files.read(each.image_path) for each in evenly(annotations, _NUM_TIMED.value)]
    clocks, times = {name: functools.partial(milliseconds, each.find) for name, each in found.items()}, {}
    for size in _SIZES.value:
        width, height = map(int, size.split("x"))
        images = [turns.fit(image, width, height) for image in whole_images]
        times[size] = turns.measure(clocks, images, _ROUNDS.value)
        report(size, times[size], found)
    plot(_PLOT.value, times, found)


if __name__ == "__main__":
    app.run(main)
