"""YOLO's text labels: for each image a text file with `class x y width height` a line, in fractions of the image.

x and y are the centre's. Behind them may follow keypoints, `x y` or `x y visibility` each, as `kpt_shape` in
data.yaml says; they are read where they are as many as the points that are wanted. In place of the box a polygon,
which gives the box round it. Labels lie beside the images, or in `labels` where those are in `images`. An image with
an empty label file shows no faces; one without any is not yet annotated.
"""

import os
from collections.abc import Sequence

import numpy as np
import yaml

from mtcnn_tf import faces, files, landmark_sets
from mtcnn_tf.datasets import annotation_lists, five_points, places
from mtcnn_tf.images import image_files

SPLITS = ("train", "val", "test")
_CLASS_LISTS = ("classes.txt", "obj.names", "labels/classes.txt")
_EDGE = 0.01
"""So far beyond the image a fraction may lie, for tools round."""


def read(
    directory: str,
    split: str = "train",
    class_name: str | None = None,
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations sorted by the images' paths, and what was wrong in them. Of each image the header is read.

    An image with a line that can't be read keeps its sound faces but is not complete; one without a label file is a
    problem and gives no annotation.

    Args:
        directory: Holds images and labels, and perhaps `data.yaml` (folders of the splits, names of the classes,
            `kpt_shape`), `classes.txt` or `obj.names` (a class a line), `train.txt` (an image a line).
        split: 'train', 'val' or 'test'. Where neither a file nor a folder speaks of splits, every image is read.
        class_name: The class that is a face; the others aren't. None: every one is.
        landmark_set: The points that are wanted.

    Raises:
        ValueError: Another split, no class of this name, or a data.yaml that isn't one.
        FileNotFoundError: No such directory, or no images of this split in it.
    """
    annotation_lists.check_directory(directory)
    if split not in SPLITS:
        raise ValueError(f"YOLO's splits are {', '.join(SPLITS)}, got {split!r}; choose one")
    settings = _settings(directory)
    names = _class_names(directory, settings)
    annotation_lists.check_class_name(class_name, set(names.values()), directory)
    images, texts = _files(directory)
    annotations, problems = [], []
    for name in _of_split(directory, settings, split, images):
        image_path = os.path.join(directory, name)
        label = next((texts[place] for place in _label_places(name) if place in texts), None)
        size = None if label is None else image_files.size(image_path)
        if label is None or size is None:
            what = "an image without label file, left out; an empty one would say that it shows no face"
            problems.append(faces.Problem(image_path, what if label is None else "unreadable image"))
            continue
        path = os.path.join(directory, label)
        keypoints = (settings.get("kpt_shape"), landmark_set.num_points)
        annotation, wrong_rows = _read_labels(path, image_path, size, names, class_name, keypoints)
        annotations.append(annotation)
        problems += wrong_rows
    return annotations, problems + _without_image(directory, texts, images)


def _settings(directory: str) -> dict:
    """What data.yaml says, or else the only file in YAML; nothing where there is none."""
    found = files.glob(directory, "data.y*ml") or files.glob(directory, "*.y*ml")
    if len(found) != 1:
        return {}
    try:
        settings = yaml.safe_load(files.read_text(found[0], "utf-8-sig"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        sentence = " ".join(str(error).split())[:100]
        raise ValueError(f"{found[0]} should be YOLO's YAML, can't be read ({sentence}); repair it") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{found[0]} should hold names of settings and their values, holds none; repair it")
    return settings


def _class_names(directory: str, settings: dict) -> dict[str, str]:
    """Number of a class as text → its name."""
    listed = settings.get("names")
    if isinstance(listed, dict):
        return {annotation_lists.by_value(key): str(name) for key, name in listed.items()}
    if not isinstance(listed, list):
        paths = [os.path.join(directory, name) for name in _CLASS_LISTS]
        listed = next(
            ([text for _, text in annotation_lists.read_lines(path)] for path in paths if files.is_file(path)), []
        )
    return {str(index): str(name) for index, name in enumerate(listed)}


def _files(directory: str) -> tuple[list[str], dict[str, str]]:
    """Images, sorted, and in small letters → as it is written each text file; all relative to `directory`."""
    images, texts = [], {}
    for parent, folders, names in files.walk(directory):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        inside = os.fspath(parent).removeprefix(os.fspath(directory)).strip("/" + os.sep)
        for name in names:
            path = os.path.join(inside, name)
            if annotation_lists.is_image(name) and not name.startswith("."):
                images.append(path)
            elif name.lower().endswith(".txt"):
                texts[path.casefold()] = path
    return sorted(images), texts


def _of_split(directory: str, settings: dict, split: str, images: list[str]) -> list[str]:
    """The images of the split: listed in a file, or in its folders, or all of them where nothing parts them."""
    entry = next((settings[name] for name in places.SPLIT_FOLDERS[split] if settings.get(name)), f"{split}.txt")
    chosen = []
    for text in entry if isinstance(entry, list) else [entry]:
        chosen += _named(directory, str(text), images)
    if not chosen:
        has_splits = any(places.split_of(name) for name in images)
        chosen = [name for name in images if not has_splits or places.split_of(name) == split]
    if not chosen:
        there = ", ".join(sorted({str(places.split_of(name)) for name in images})) or "none"
        raise FileNotFoundError(f"the split {split!r} of {directory} has no images; there are some for: {there}")
    return sorted(set(chosen))


def _named(directory: str, entry: str, images: list[str]) -> list[str]:
    """The images in a folder, or in a list, that data.yaml names by a path of some machine: its last parts count."""
    parts = [
        part for part in annotation_lists.native_path(entry).split(os.sep) if part not in ("", os.curdir, os.pardir)
    ]
    for start in range(len(parts)):
        ending = os.path.join(*parts[start:])
        inside = [name for name in images if name.startswith(ending + os.sep)]
        if inside:
            return inside
        if ending.endswith(".txt") and files.is_file(os.path.join(directory, ending)):
            lines = [text for _, text in annotation_lists.read_lines(os.path.join(directory, ending))]
            return _listed(lines, set(images))
    return []


def _listed(lines: Sequence[str], images: set[str]) -> list[str]:
    """The images whose paths end as the lines do, from the longest ending on that is there."""
    chosen = []
    for text in lines:
        parts = annotation_lists.native_path(text).split(os.sep)
        endings = [os.path.join(*parts[start:]) for start in range(len(parts))]
        chosen += [ending for ending in endings if ending in images][:1]
    return chosen


def _label_places(name: str) -> list[str]:
    """Where an image's labels may lie, in small letters."""
    text = os.path.splitext(name)[0].casefold() + ".txt"
    parts = text.split(os.sep)
    for index in reversed(range(len(parts) - 1)):
        if parts[index] == "images":
            return [os.path.join(*parts[:index], "labels", *parts[index + 1 :]), text]
    return [text]


def _without_image(directory: str, texts: dict[str, str], images: list[str]) -> list[faces.Problem]:
    """A problem for each label file that belongs to no image."""
    known = {place for name in images for place in _label_places(name)}
    left = [path for place, path in texts.items() if "labels" in place.split(os.sep)[:-1] and place not in known]
    stray = [path for path in sorted(left) if path.replace(os.sep, "/") not in _CLASS_LISTS]
    return [faces.Problem(os.path.join(directory, path), "labels without an image") for path in stray]


def _read_labels(
    path: str,
    image_path: str,
    size: tuple[int, int],
    names: dict[str, str],
    class_name: str | None,
    keypoints: tuple[object, int],
) -> tuple[faces.Annotation, list[faces.Problem]]:
    """The annotation of one image, and what was wrong in its file; `keypoints` is what `_face` takes."""
    boxes, points, problems, is_intact = [], [], [], True
    for number, text in annotation_lists.read_lines(path):
        label, *words = text.split()
        name = names.get(annotation_lists.by_value(label), "")
        if name and not annotation_lists.is_class(name, class_name):
            continue
        numbers = annotation_lists.pixels(words)
        face = None if numbers is None else _face(numbers, *keypoints)
        if face is None or (class_name is not None and not name):
            what = annotation_lists.NO_CLASS if face else "a line that is no box, polygon or points in fractions"
            problems.append(annotation_lists.problem(path, number, what, text))
            is_intact = False
            continue
        box, wrong_box = annotation_lists.sound_box(face[0] * (*size, *size), f"{path}:{number}")
        problems += wrong_box
        is_intact &= box is not None
        if box is not None:
            boxes.append(box)
            points.append(face[1] * size)
    landmarks = five_points.in_image_order(np.array(points))
    return faces.Annotation(image_path, boxes, landmarks, is_complete=is_intact, size=size), problems


def _face(numbers: np.ndarray, kpt_shape: object, wanted: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners [4] and the `wanted` points [P, 2], NaN where unknown, in fractions of the image; None if there are none.

    14 numbers may be a polygon as well as a box with five points: only data.yaml can tell.
    """
    points: np.ndarray = np.full((wanted, 2), np.nan)
    num_numbers = len(numbers)
    if isinstance(kpt_shape, list) and len(kpt_shape) == 2 and all(isinstance(n, int) and n > 0 for n in kpt_shape):
        num_points, num_values = kpt_shape
    else:
        num_points, num_values = (wanted, 3) if num_numbers == 4 + 3 * wanted else (0, 0)
    if num_numbers == 4 or (num_points and num_numbers == 4 + num_points * num_values):
        corners = np.concatenate([numbers[:2] - numbers[2:4] / 2, numbers[:2] + numbers[2:4] / 2])
        outline = np.concatenate([numbers[:2], np.abs(numbers[2:4])])
        if num_points == wanted and num_values >= 2 and num_numbers > 4:
            rows = numbers[4:].reshape(wanted, num_values)
            points = np.where(np.all(rows > 0, axis=1, keepdims=True), rows[:, :2], np.nan)
    elif not num_points and num_numbers >= 6 and num_numbers % 2 == 0 and num_numbers != 4 + 2 * wanted:
        outline = numbers
        vertices = numbers.reshape(-1, 2)
        corners = np.concatenate([vertices.min(axis=0), vertices.max(axis=0)])
    else:
        return None
    return (corners, points) if np.all((outline >= -_EDGE) & (outline <= 1 + _EDGE)) else None
