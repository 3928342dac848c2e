"""COCO's JSON: `images`, `annotations` with `bbox` as `x y w h`, `categories` with the names of keypoints.

Lin et al., "Microsoft COCO: Common Objects in Context", 2014. Five points are found by their names. COCO's *left* is
the person's left; where a set names its keypoints by the image, the points themselves show it, see
`five_points.in_image_order`. Other points are the keypoints of a category that names as many, in their order.
"""

import collections
import json
import os
import re

import numpy as np

from mtcnn_tf import faces, files, landmark_sets
from mtcnn_tf.datasets import annotation_lists, five_points, places

SPLITS = ("train", "val", "test")
_WITHOUT_NAME = "an image without file_name or an id of its own"


def read(
    directory: str,
    split: str = "train",
    class_name: str | None = None,
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the file's `images`, and what was wrong in it.

    Crowds (and what is marked `ignore`) become `ignored`; keypoints with visibility 0 are unknown. An image with a
    face whose box or class can't be read keeps its sound faces but is not complete. Where a face belongs to no image
    none of them is, for any may show it.

    Args:
        directory: Holds `annotations/*{split}*.json`, or one JSON file there or in the directory itself, or
            `{split}/*.coco.json`; images are looked for in all its folders, see `places.locate`.
        split: 'train', 'val' or 'test'.
        class_name: The category that is a face; the others aren't. None: every one is.
        landmark_set: The points that are wanted.

    Raises:
        ValueError: Another split, several files that fit, no category of this name, or a file that isn't COCO's JSON.
        FileNotFoundError: No such directory or file.
    """
    path = _find_file(directory, split)
    content = _load(path)
    categories = _with_values({str(c.get("id")): c for c in content["categories"]})
    annotation_lists.check_class_name(class_name, {str(c.get("name", "")) for c in content["categories"]}, directory)
    images, problems = _images(content["images"], path)
    by_id, all_attached = _with_values(images), True
    for index, entry in enumerate(content["annotations"]):
        where = f"{path}: annotation {index}"
        category = _find(categories, entry.get("category_id"))
        name = str((category or {}).get("name", ""))
        if name and not annotation_lists.is_class(name, class_name):
            continue
        image = _find(by_id, entry.get("image_id"))
        if image is None:
            problems.append(faces.Problem(where, annotation_lists.NO_IMAGE, ascii(entry.get("image_id"))[:100]))
            all_attached = False
        elif not name and class_name is not None:
            problems.append(faces.Problem(where, annotation_lists.NO_CLASS, ascii(entry.get("category_id"))[:100]))
            image["is_complete"] = False
        else:
            problems += _add_face(image, entry, _keypoint_indices(category or {}, landmark_set), where)
    named = [image for image in images.values() if image["name"] is not None]
    names = [image["name"] for image in named]
    image_paths = places.locate([[name] for name in names], _image_dirs(directory, split, names[:1]), directory, split)
    annotations = []
    for image, image_path in zip(named, image_paths, strict=True):
        if image_path is None:
            problems.append(faces.Problem(path, annotation_lists.OUTSIDE, ascii(image["name"])[:100]))
        else:
            annotations.append(_annotation(image, image_path, all_attached))
    return annotations, problems


def _find_file(directory: str, split: str) -> str:
    annotation_lists.check_directory(directory)
    if split not in SPLITS:
        raise ValueError(f"COCO's splits are {', '.join(SPLITS)}, got {split!r}; choose one")
    listed = files.glob(directory, "annotations/*.json")
    found = listed + files.glob(directory, "*.json")
    fitting = [path for path in listed if _names_split(path, split)]
    for folder in places.SPLIT_FOLDERS[split] if not fitting else ():  # as Roboflow has it, with the images
        fitting += files.glob(directory, f"{folder}/*.coco.json")
    if not fitting and len(found) == 1:
        names_other_split = any(_names_split(found[0], other) for other in SPLITS if other != split)
        fitting = [] if names_other_split else found
    there = ", ".join(files.relative(path, directory) for path in found) or "none"
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
        content = json.loads(files.read_text(path, "utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} should hold COCO's JSON, can't be read ({str(error)[:100]}); repair it") from error
    lists = {}
    for name in ("images", "annotations", "categories"):
        entries = content.get(name, [] if name == "categories" else None) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{path} should hold COCO's JSON and has no list {name!r} of objects; check the format")
        lists[name] = entries
    return lists


def _with_values(by_id: dict[str, dict]) -> dict[str, dict]:
    """The same entries, also to be found by the value of their ids where no two have the same."""
    counts = collections.Counter(map(annotation_lists.by_value, by_id))
    values = {
        annotation_lists.by_value(key): entry
        for key, entry in by_id.items()
        if counts[annotation_lists.by_value(key)] == 1
    }
    return {**values, **by_id}


def _find(by_id: dict[str, dict], identity: object) -> dict | None:
    """The entry with an id as it is written, or else with its value, see `annotation_lists.by_value`."""
    return by_id.get(str(identity), by_id.get(annotation_lists.by_value(identity)))


def _images(entries: list[dict], path: str) -> tuple[dict[str, dict], list[faces.Problem]]:
    """Image's id → its name, None where it has none that can be used, and empty lists that its faces are put into."""
    images: dict[str, dict] = {}
    problems = []
    for index, entry in enumerate(entries):
        where, name, key = f"{path}: image {index}", entry.get("file_name"), str(entry.get("id"))
        if "id" not in entry or key in images:
            problems.append(faces.Problem(where, _WITHOUT_NAME))
            if key in images:  # whose faces its own are
                images[key]["is_complete"] = False
            continue
        if not isinstance(name, str) or not name:
            problems.append(faces.Problem(where, _WITHOUT_NAME))
            name = None
        name = name and annotation_lists.native_path(name)
        size = annotation_lists.stated_size(entry.get("width"), entry.get("height"))
        images[key] = {"name": name, "boxes": [], "points": [], "ignored": [], "is_complete": True, "size": size}
    return images, problems


def _add_face(image: dict, entry: dict, indices: list[int | None], where: str) -> list[faces.Problem]:
    """Puts one face into its image's lists; what was wrong with it comes back."""
    bbox = entry.get("bbox")
    numbers = annotation_lists.pixels(bbox) if isinstance(bbox, list) and len(bbox) == 4 else None
    if numbers is None:
        image["is_complete"] = False
        return [faces.Problem(where, "a face without the four numbers of its box", ascii(bbox)[:100])]
    box, problems = annotation_lists.sound_box(np.concatenate([numbers[:2], numbers[:2] + numbers[2:]]), where)
    if box is None:
        image["is_complete"] = False
        return problems
    if annotation_lists.is_set(entry.get("iscrowd")) or annotation_lists.is_set(entry.get("ignore")):
        image["ignored"].append(box)
        return problems
    points, is_sound = _points(entry.get("keypoints"), indices)
    image["boxes"].append(box)
    image["points"].append(points)
    if not is_sound:
        problems.append(faces.Problem(where, "keypoints that cannot be read", ascii(entry["keypoints"])[:100]))
    return problems


def _keypoint_indices(category: dict, landmark_set: landmark_sets.LandmarkSet) -> list[int | None]:
    """Where the category's keypoints have the points of the set, None for those it lacks."""
    listed = category.get("keypoints")
    names = listed if isinstance(listed, list) else []
    if landmark_set == landmark_sets.FIVE:
        return _indices_of_five(names)
    return [index if len(names) == landmark_set.num_points else None for index in range(landmark_set.num_points)]


def _indices_of_five(names: list) -> list[int | None]:
    """Where keypoints of these names have our five points; COCO's sides are the person's."""
    indices: list[int | None] = [None] * len(faces.LANDMARK_NAMES)
    for index, name in enumerate(names):
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


def _points(keypoints: object, indices: list[int | None]) -> tuple[np.ndarray, bool]:
    """A face's points [P, 2], NaN where unknown, from a list of `x y visibility`, and whether the list was sound."""
    points = np.full((len(indices), 2), np.nan)
    if not keypoints:
        return points, True
    numbers = annotation_lists.pixels(keypoints) if isinstance(keypoints, list) else None
    if numbers is None or len(numbers) % 3:
        return points, False
    triples = numbers.reshape(-1, 3)
    for position, index in enumerate(indices):
        if index is not None and index < len(triples) and triples[index, 2] > 0:
            points[position] = triples[index, :2]
    return points, True


def _image_dirs(directory: str, split: str, first: list[str]) -> list[str]:
    """The folders that names may be relative to; before all others one in which the first image lies."""
    images = os.path.join(directory, "images")
    others = [os.path.join(images, "default"), *(os.path.join(directory, f) for f in places.SPLIT_FOLDERS[split])]
    found = [images, os.path.join(images, split), *others, os.path.join(directory, f"{split}2017"), directory]
    default = images if files.is_dir(images) else directory
    inside = [name for name in first if annotation_lists.image_path("", name) is not None]
    held = [place for place in found for name in inside if files.is_file(os.path.join(place, name))]
    return list(dict.fromkeys([*(held[:1] or [default]), *found]))


def _annotation(image: dict, image_path: str, all_attached: bool) -> faces.Annotation:
    return faces.Annotation(
        image_path,
        image["boxes"],
        five_points.in_image_order(image["points"]),
        image["ignored"],
        image["is_complete"] and all_attached,
        image["size"],
    )
