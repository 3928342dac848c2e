"""Times our detector against others on the same images, and shows where its time goes.

YUNET=FILE.onnx python -m benchmarks.detector --dataset=wider_face:DIR

Peers are in requirements.txt beside this; one that is not here is left out.
"""

import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks import contestants, ratios, turns
from mtcnn_tf import datasets, faces
from mtcnn_tf.images import image_files

_DATASET = flags.DEFINE_string("dataset", None, "NAME:DIR of a data set.", required=True)
_SPLIT = flags.DEFINE_string("split", "val", "Its part.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 3, "Images of each size and number of faces.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds; medians are printed.", lower_bound=1)
_SIZES = flags.DEFINE_list("sizes", ["640x480", "1024x683", "1920x1080"], "WIDTHxHEIGHT of the images.")

OURS = (contestants.ours, contestants.bfloat16, contestants.exported)
"""The forms of our detector, each of which is compared with the peers."""
NUM_FACES = {"1 face": (1, 1), "10 faces": (9, 11), "60+ faces": (60, 10**6)}
"""Name of a group of images → the fewest and the most faces in them."""


def choose(annotations: list[faces.Annotation], aspect: float) -> dict[str, list[str]]:
    """Paths of the images in each group of `NUM_FACES`: those whose width / height comes nearest to `aspect`."""
    chosen = {}
    for name, (fewest, most) in NUM_FACES.items():
        paths = [each.image_path for each in annotations if fewest <= len(each.boxes) <= most]
        chosen[name] = sorted(paths, key=lambda path: abs(np.log(_aspect(path) / aspect)))[: _NUM_IMAGES.value]
    return chosen


def _aspect(path: str) -> float:
    with Image.open(path) as image:
        return image.width / image.height


def start() -> dict[str, contestants.Contestant]:
    """The detectors that are here, by name."""
    started = {}
    for load in (*OURS, contestants.mtcnn, contestants.yunet):
        try:
            started[load.__name__] = contestants.Contestant(load)
        except (ImportError, FileNotFoundError) as error:
            print(f"{load.__name__} is left out: {error}")
    return started


def report(size: str, times: dict[str, np.ndarray], groups: dict[str, slice]) -> None:
    """Prints the medians for one size of image, and the ratios of each round's medians over the images."""
    for name, milliseconds in times.items():
        by_group = ", ".join(f"{group}: {np.median(milliseconds[:, part]):.1f}" for group, part in groups.items())
        print(f"{size} {name:8} {np.median(milliseconds):6.1f} ms ({by_group})")
    medians = {name: np.median(milliseconds, axis=1) for name, milliseconds in times.items()}
    for form in (load.__name__ for load in OURS):
        if "mtcnn" in medians:
            ratios.show(f"{size} mtcnn / {form}", list(medians["mtcnn"] / medians[form]), "at least 8")
        if "yunet" in medians:
            goal = "none" if size == "640x480" else "at most 1"
            ratios.show(f"{size} {form} / yunet", list(medians[form] / medians["yunet"]), goal)


def main(_) -> None:
    """Measures each size of image."""
    annotations = datasets.read(_DATASET.value, _SPLIT.value)[0]
    running = start()
    try:
        for size in _SIZES.value:
            width, height = map(int, size.split("x"))
            images, groups = [], {}
            for group, paths in choose(annotations, width / height).items():
                groups[group] = slice(len(images), len(images) + len(paths))
                images += [turns.fit(image_files.read(path), width, height) for path in paths]
            clocks = {name: contestant.milliseconds for name, contestant in running.items()}
            times = turns.measure(clocks, images, _ROUNDS.value)
            report(size, times, groups)
            fractions = running["ours"].stage_fractions(images)
            print(
                f"{size} ours, of all computing: " + ", ".join(f"{name} {part:.0%}" for name, part in fractions.items())
            )
        peaks = (f"{name} {contestant.peak_megabytes():.0f} MB" for name, contestant in running.items())
        print("peak memory of the process: " + ", ".join(peaks))
    finally:
        for contestant in running.values():
            contestant.stop()


if __name__ == "__main__":
    app.run(main)
