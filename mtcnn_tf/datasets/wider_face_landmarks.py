"""WIDER FACE with five points: RetinaFace's `label.txt` and SCRFD's `labelv2.txt`.

Deng et al., "RetinaFace", 2020 (arXiv 1905.00641); Guo et al., SCRFD, 2021 (arXiv 2105.04714). Each image has a line
that begins with `#`, and a line for each face:

* label.txt: `# path`, then `x y w h`, five times `x y flag` and a score, or `x y w h` alone (the validation list).
* labelv2.txt: `# path width height`, then `x1 y1 x2 y2` and five times `x y flag`; `x1 y1 x2 y2` alone where no points
  are known; `x1 y1 x2 y2 flag` for a region to ignore (flag 1).

A point's flag is −1 where it was not annotated, otherwise 0 (seen) or 1 (hidden, its place guessed): both are kept.
"""

import os

import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import annotation_lists, five_points, wider_face

LISTS = {
    split: [
        f"{split}/labelv2.txt",
        f"labelv2/{split}/labelv2.txt",
        f"{split}/label.txt",
        *(["wider_face_split/label_machine_landmarks.txt"] if split == "train" else []),
    ]
    for split in ("train", "val")
}


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list, and what was wrong in it.

    label.txt leaves out the faces that WIDER FACE flags invalid. Where WIDER FACE's own list lies in the same
    directory, they are taken from there and become `ignored`, so that nobody cuts negatives on them.

    Args:
        directory: Holds one of the lists in `LISTS`. Images lie in `images` beside the list, or else where WIDER FACE
            has them, in `WIDER_train/images` or `WIDER_val/images`.
        split: 'train' or 'val'.

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory or list.
    """
    path = annotation_lists.find_list(directory, LISTS, split)
    beside = os.path.join(os.path.dirname(path), "images")
    image_dir = beside if files.is_dir(beside) else wider_face.image_dir(directory, split)
    invalid, wanting, problems = _invalid_faces(directory, split)
    images, stray = annotation_lists.group(annotation_lists.read_lines(path), lambda text: text.startswith("#"), path)
    problems += stray
    annotations = []
    for (number, head), rows in images:
        name, size = _parse_head(head)
        if name is None:
            problems.append(annotation_lists.problem(path, number, "an image's line without its path", head))
            continue
        image_path = annotation_lists.image_path(image_dir, name)
        if image_path is None:
            problems.append(annotation_lists.problem(path, number, annotation_lists.OUTSIDE, head))
            continue
        boxes, points, ignored, wrong_rows, is_intact = _read_rows(rows, size is not None, path)
        ignored += list(invalid.get(annotation_lists.native_path(name), []))
        is_intact &= annotation_lists.native_path(name) not in wanting
        problems += wrong_rows
        landmarks = five_points.in_image_order(np.array(points)) if points else None
        stated = None if size is None else annotation_lists.stated_size(*size)
        annotations.append(faces.Annotation(image_path, boxes, landmarks, ignored, is_intact, stated))
    return annotations, problems


def _invalid_faces(directory: str, split: str) -> tuple[dict[str, np.ndarray], set[str], list[faces.Problem]]:
    """By WIDER FACE's own list, where it is there: path of an image → its faces to ignore; images not complete."""
    if not files.is_file(os.path.join(directory, wider_face.LISTS[split][0])):
        return {}, set(), []
    annotations, problems = wider_face.read(directory, split)
    image_dir = wider_face.image_dir(directory, split)
    by_name = {os.path.relpath(annotation.image_path, image_dir): annotation for annotation in annotations}
    wanting = {name for name, annotation in by_name.items() if not annotation.is_complete}
    return {name: annotation.ignored for name, annotation in by_name.items()}, wanting, problems


def _parse_head(head: str) -> tuple[str | None, np.ndarray | None]:
    """An image's path, and its size [2], None where none follows: then boxes aren't given by their corners."""
    name = head[1:].strip()
    if annotation_lists.is_image(name):
        return name, None
    name, size = annotation_lists.split_row(name, 2)
    return (name, size) if size is not None and annotation_lists.is_image(name) else (None, None)


def _read_rows(
    rows: list[annotation_lists.Line], has_corners: bool, path: str
) -> tuple[list, list, list, list[faces.Problem], bool]:
    """Boxes, their points, ignored boxes and problems of one image's lines, and whether every line could be read."""
    boxes, points, ignored, problems, is_intact = [], [], [], [], True
    for number, text in rows:
        numbers = annotation_lists.pixels(text.split())
        if numbers is None or len(numbers) not in ((4, 5, 19) if has_corners else (4, 19, 20)):
            problems.append(
                annotation_lists.problem(path, number, "a face's line with a wrong number of numbers", text)
            )
            is_intact = False
            continue
        corners = numbers[:4] if has_corners else np.concatenate([numbers[:2], numbers[:2] + numbers[2:4]])
        box, wrong_box = annotation_lists.sound_box(corners, f"{path}:{number}")
        problems += wrong_box
        if box is None:
            is_intact &= not numbers[:4].any()  # zeros mark no face, as in WIDER FACE's own list
        elif len(numbers) == 5 and numbers[4] == 1:
            ignored.append(box)
        else:
            boxes.append(box)
            points.append(_points(numbers[4:19]))
    return boxes, points, ignored, problems, is_intact


def _points(numbers: np.ndarray) -> np.ndarray:
    """Five points [5, 2] from five times `x y flag`; NaN where the flag is −1 or there are no numbers."""
    if len(numbers) < 15:
        return np.full((5, 2), np.nan)
    triples = numbers.reshape(5, 3)
    return np.where(triples[:, 2:] < 0, np.nan, triples[:, :2])
