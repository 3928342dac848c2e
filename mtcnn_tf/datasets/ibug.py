"""300-W's points: beside each image a `.pts` file of the same name, with one face.

Sagonas et al., "300 Faces in-the-Wild Challenge", 2013 (ibug.doc.ic.ac.uk/resources/300-W). A file reads

    version: 1
    n_points: 68
    {
    30.5 120.25
    …
    }

where pixels are counted from 1. There are no boxes: of 68 points they come as of five, see `five_points.boxes_round`,
otherwise they enclose the points. Where five points are wanted they are taken from the 68.
"""

import os
import re

import numpy as np

from mtcnn_tf import faces, files, landmark_sets
from mtcnn_tf.datasets import annotation_lists, five_points

SPLITS = ("train", "test")
_TEST_FOLDERS = ("testset", "test", "ibug")


def read(
    directory: str, split: str = "train", landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations sorted by the images' paths, each with one face and never complete, and what was wrong.

    Args:
        directory: Holds images and `.pts` files, in folders at will. Of 300-W's own, `testset` and `ibug` are the split
            'test', all others are 'train'; where there is none of these two, every image is read.
        split: 'train' or 'test'.
        landmark_set: The points that are wanted.

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory, or no points of this split in it.
    """
    annotation_lists.check_directory(directory)
    if split not in SPLITS:
        raise ValueError(f"300-W's splits are {', '.join(SPLITS)}, got {split!r}; choose one")
    pairs = _pairs(directory)
    has_splits = any(map(_is_test, pairs))
    of_split = [name for name in sorted(pairs) if not has_splits or _is_test(name) == (split == "test")]
    if not of_split:
        raise FileNotFoundError(f"the split {split!r} of {directory} needs .pts files, and there are none")
    found = [_annotate(directory, name, pairs[name], landmark_set) for name in of_split]
    annotations = [one for one in found if isinstance(one, faces.Annotation)]
    return annotations, [one for one in found if isinstance(one, faces.Problem)]


def _annotate(
    directory: str, name: str, image: str | None, landmark_set: landmark_sets.LandmarkSet
) -> faces.Annotation | faces.Problem:
    """The face of one `.pts` file."""
    path = os.path.join(directory, name)
    if image is None:
        return faces.Problem(path, "points without an image")
    points = _read_points(path)
    if points is None:
        return faces.Problem(path, "a .pts file without as many points as it says")
    box = _box(points)
    if not annotation_lists.has_area(box):
        return faces.Problem(path, "points without extent")
    wanted = five_of(points) if landmark_set == landmark_sets.FIVE and len(points) == 68 else points
    return faces.Annotation(os.path.join(directory, image), box, wanted, is_complete=False)


def _pairs(directory: str) -> dict[str, str | None]:
    """Each `.pts` file and the image beside it, None where there is none; both relative to `directory`."""
    pairs: dict[str, str | None] = {}
    for parent, folders, names in files.walk(directory):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        inside = os.fspath(parent).removeprefix(os.fspath(directory)).strip("/" + os.sep)
        images = {os.path.splitext(name)[0]: name for name in sorted(names) if annotation_lists.is_image(name)}
        for name in names:
            stem, ending = os.path.splitext(name)
            if ending.lower() == ".pts" and not name.startswith("."):
                image = images.get(stem)
                pairs[os.path.join(inside, name)] = None if image is None else os.path.join(inside, image)
    return pairs


def _is_test(name: str) -> bool:
    return any(folder.lower() in _TEST_FOLDERS for folder in name.split(os.sep)[:-1])


def _read_points(path: str) -> np.ndarray | None:
    """The points of a file, float64 [P, 2], counted from 0; None where it holds none, or not as many as it says."""
    lines = [re.split("#|//", text)[0] for _, text in annotation_lists.read_lines(path)]
    match = re.search(r"n_points:\s*(\d{1,9})\s[^{]*\{([^{}]*)\}", "\n".join(lines))
    numbers = None if match is None else annotation_lists.pixels(match[2].split())
    if match is None or numbers is None or not len(numbers) or len(numbers) != 2 * int(match[1]):
        return None
    return numbers.reshape(-1, 2) - 1


def five_of(points: np.ndarray) -> np.ndarray:
    """Eyes, nose and mouth corners, float64 [5, 2], of the 68 points [68, 2]."""
    return np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), *points[[30, 48, 54]]])


def _box(points: np.ndarray) -> np.ndarray:
    """The face's box, [4]."""
    if len(points) == 68:
        return five_points.boxes_round(five_of(points)[None])[0]
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
