"""COCO's JSON: `images`, `annotations` with `bbox` as `x y w h`, `categories` with the names of keypoints.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014. COCO's *left* is the person's left; where a set names its
keypoints by the picture, the points themselves show it, see `five_points.in_picture_order`.
"""

import json
import os
import re

import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import five_points, listing

SPLITS = ("train", "val", "test")
_NUM_POINTS = len(faces.LANDMARK_NAMES)


def read(
    directory: str, split: str = "train", class_name: str | None = None
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the file's `images`, and what was wrong in it.

    Crowds (and what is marked `ignore`) become `ignored`; keypoints with visibility 0 are unknown. A picture with a
    face whose box can't be read keeps its sound faces but is not complete.

    Args:
        directory: Holds `annotations/*{split}*.json`, or one JSON file there or in the directory itself, and the
            pictures in `images`, `images/{split}`, `{split}`, `{split}2017` or the directory itself.
        split: 'train', 'val' or 'test'.
        class_name: The category that is a face; the others aren't. None: every one is.

    Raises:
        ValueError: Another split, several files that fit, no category of this name, or a file that isn't COCO's JSON.
        FileNotFoundError: No such directory or file.
    """
    path = _find_file(directory, split)
    content = _load(path)
    categories = {_key(c.get("id")): c for c in content["categories"]}
    names = {key: str(category.get("name", "")) for key, category in categories.items()}
    listing.check_class_name(class_name, set(names.values()), directory)
    pictures, problems = _pictures(content["images"], path)
    for index, entry in enumerate(content["annotations"]):
        where = f"{path}: annotation {index}"
        category = _key(entry.get("category_id"))
        if class_name is not None and names.get(category) != class_name:
            continue
        picture = pictures.get(_key(entry.get("image_id")))
        if picture is None:
            problems.append(faces.Problem(where, "a face in no known picture", ascii(entry.get("image_id"))[:100]))
            continue
        problems += _add_face(picture, entry, _keypoint_indices(categories.get(category, {})), where)
    first = next(iter(pictures.values()))["name"] if pictures else ""
    image_dir = _image_dir(directory, split, first)
    return [_annotation(picture, image_dir) for picture in pictures.values()], problems


def _find_file(directory: str, split: str) -> str:
    listing.check_directory(directory)
    if split not in SPLITS:
        raise ValueError(f"COCO's splits are {', '.join(SPLITS)}, got {split!r}; choose one")
    listed = files.glob(directory, "annotations/*.json")
    found = listed + files.glob(directory, "*.json")
    fitting = [path for path in listed if _names_split(path, split)]
    if not fitting and len(found) == 1:
        names_other_split = any(_names_split(found[0], other) for other in SPLITS if other != split)
        fitting = [] if names_other_split else found
    there = ", ".join(os.path.relpath(path, directory) for path in found) or "none"
    if not fitting:
        raise FileNotFoundError(
            f"the split {split!r} of {directory} needs annotations/*{split}*.json or one JSON file; there are: {there}"
        )
    if len(fitting) > 1:
        raise ValueError(f"the split {split!r} of {directory} needs one file, several fit: {there}; keep one of them")
    return fitting[0]


def _names_split(path: str, split: str) -> bool:
    """Whether a word of the file's name begins with the split: `test2017` and `myTest`, but not `latest`."""
    words = re.findall("[A-Z]?[a-z]+|[A-Z]+", os.path.basename(path))
    return any(word.lower().startswith(split) for word in words)


def _load(path: str) -> dict[str, list[dict]]:
    try:
        with files.open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} should hold COCO's JSON, can't be read ({str(error)[:100]}); repair it") from error
    lists = {}
    for name in ("images", "annotations", "categories"):
        entries = content.get(name, [] if name == "categories" else None) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path} should hold COCO's JSON and has no list {name!r} of objects; check the format")
        lists[name] = entries
    return lists


def _key(value) -> str:
    """An id as text: some tools write the same id as a number here and as text there."""
    return str(value)


def _pictures(images: list[dict], path: str) -> tuple[dict[str, dict], list[faces.Problem]]:
    """Picture's id → its name and empty lists that its faces are put into."""
    pictures, problems = {}, []
    for index, image in enumerate(images):
        name = image.get("file_name")
        if not isinstance(name, str) or not name or "id" not in image or _key(image["id"]) in pictures:
            problems.append(faces.Problem(f"{path}: image {index}", "a picture without file_name or an id of its own"))
            continue
        if listing.picture_path("", name) is None:
            problems.append(faces.Problem(f"{path}: image {index}", listing.OUTSIDE, ascii(name)[:100]))
            continue
        empty = {"name": listing.native_path(name), "boxes": [], "points": [], "ignored": [], "is_complete": True}
        pictures[_key(image["id"])] = empty
    return pictures, problems


def _add_face(picture: dict, entry: dict, indices: list[int | None], where: str) -> list[faces.Problem]:
    """Puts one face into its picture's lists; what was wrong with it comes back."""
    bbox = entry.get("bbox")
    numbers = listing.pixels(bbox) if isinstance(bbox, list) and len(bbox) == 4 else None
    if numbers is None:
        picture["is_complete"] = False
        return [faces.Problem(where, "a face without the four numbers of its box", ascii(bbox)[:100])]
    box = np.concatenate([numbers[:2], numbers[:2] + numbers[2:]])
    if not listing.has_area(box):
        return [faces.Problem(where, "a box without area", str(numbers.tolist()))]
    if entry.get("iscrowd") == 1 or entry.get("ignore") == 1:
        picture["ignored"].append(box)
        return []
    points, is_sound = _points(entry.get("keypoints"), indices)
    picture["boxes"].append(box)
    picture["points"].append(points)
    return [] if is_sound else [faces.Problem(where, "keypoints that cannot be read", ascii(entry["keypoints"])[:100])]


def _keypoint_indices(category: dict) -> list[int | None]:
    """Where the category's keypoints have our five points, None for those it lacks; COCO's sides are the person's."""
    names = category.get("keypoints")
    indices: list[int | None] = [None] * _NUM_POINTS
    for index, name in enumerate(names if isinstance(names, list) else []):
        words = re.findall("[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", str(name)).lower())
        text = "".join(words)
        is_left, is_right = "left" in text or "l" in words, "right" in text or "r" in words
        if "nose" in text:
            ours = "nose"
        elif is_left != is_right and "eye" in text and "brow" not in text:
            ours = "right_eye" if is_left else "left_eye"
        elif is_left != is_right and ("mouth" in text or "lip" in text):
            ours = "right_mouth" if is_left else "left_mouth"
        else:
            continue
        position = faces.LANDMARK_NAMES.index(ours)
        if indices[position] is None:
            indices[position] = index
    return indices


def _points(keypoints, indices: list[int | None]) -> tuple[np.ndarray, bool]:
    """Five points [5, 2], NaN where unknown, from a list of `x y visibility`, and whether the list was sound."""
    points = np.full((_NUM_POINTS, 2), np.nan)
    if not keypoints:
        return points, True
    numbers = listing.pixels(keypoints) if isinstance(keypoints, list) else None
    if numbers is None or len(numbers) % 3:
        return points, False
    triples = numbers.reshape(-1, 3)
    for position, index in enumerate(indices):
        if index is not None and index < len(triples) and triples[index, 2] > 0:
            points[position] = triples[index, :2]
    return points, True


def _image_dir(directory: str, split: str, first: str) -> str:
    """The first place in which the first picture lies; `images` or else the directory itself where it lies in none."""
    images = os.path.join(directory, "images")
    places = [images, os.path.join(images, split), *(os.path.join(directory, p) for p in (split, f"{split}2017", ""))]
    default = images if files.is_dir(images) else directory
    return next((place for place in places if first and files.is_file(os.path.join(place, first))), default)


def _annotation(picture: dict, image_dir: str) -> faces.Annotation:
    return faces.Annotation(
        os.path.join(image_dir, picture["name"]),
        picture["boxes"],
        five_points.in_picture_order(picture["points"]),
        picture["ignored"],
        picture["is_complete"],
    )
