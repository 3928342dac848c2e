"""WIDER FACE's text format: path, count, then `x y w h blur expression illumination invalid occlusion pose` per face.

Yang, Luo, Loy, Tang, "WIDER FACE: A Face Detection Benchmark", 2016 (arXiv 1511.06523). An image without faces has the
count 0 and, in the official files, one dummy line of zeros after it. People's own lists may give `x y w h` alone.
"""

import os

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.datasets import annotation_lists

LISTS = {split: [f"wider_face_split/wider_face_{split}_bbx_gt.txt"] for split in ("train", "val")}
_NUM_COLUMNS, _INVALID = 10, 7
ATTRIBUTES = {
    "blur": (4, ("clear", "normal", "heavy")),
    "expression": (5, ("typical", "exaggerated")),
    "illumination": (6, ("normal", "extreme")),
    "occlusion": (8, ("none", "partial", "heavy")),
    "pose": (9, ("typical", "atypical")),
}
"""What the annotators say of a face: its column in the face's line, and the meaning of 0, 1, 2."""


def image_dir(directory: str, split: str) -> str:
    """Where WIDER FACE keeps the images of `split`."""
    return os.path.join(directory, f"WIDER_{split}", "images")


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list, and what was wrong in it.

    Faces flagged invalid become `ignored`. An image of which a face's line is damaged or its box has no area, or whose
    count doesn't match, keeps its sound faces but is not complete, for a face may lie anywhere in it.

    Args:
        directory: Holds `wider_face_split` and `WIDER_train` or `WIDER_val`.
        split: 'train' or 'val'. (The faces of WIDER FACE's test part were never published.)

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory or list.
    """
    annotations, _, problems = _read(directory, split)
    return annotations, problems


def read_attributes(directory: str, split: str = "train") -> dict[str, list[np.ndarray]]:
    """Name in `ATTRIBUTES` → of each image, of each face in its `boxes`, the value: int [N]; -1 is unknown.

    Arguments and errors as in `read`.
    """
    _, rows, _ = _read(directory, split)
    return {
        name: [faces_rows[:, column].astype(int) for faces_rows in rows] for name, (column, _) in ATTRIBUTES.items()
    }


def _read(directory: str, split: str) -> tuple[list[faces.Annotation], list[np.ndarray], list[faces.Problem]]:
    """Annotations, the lines of their `boxes` as numbers [N, 10] (-1 where there are only four), and problems."""
    path = annotation_lists.find_list(directory, LISTS, split)
    images, problems = annotation_lists.group(annotation_lists.read_lines(path), annotation_lists.is_image, path)
    annotations, lines = [], []
    for head, rows in images:
        image_path = annotation_lists.image_path(image_dir(directory, split), head[1])
        if image_path is None:
            problems.append(annotation_lists.problem(path, head[0], annotation_lists.OUTSIDE, head[1]))
            continue
        count, rows, wrong_count = annotation_lists.split_count(head, rows, path)
        if count == 0 and len(rows) == 1 and _is_dummy(rows[0][1]):
            rows = []
        wrong_count += annotation_lists.check_count(count, len(rows), head, path)
        usable, ignored, wrong_rows, is_intact = _read_rows(rows, path)
        problems += wrong_count + wrong_rows
        lines.append(usable)
        annotations.append(
            faces.Annotation(
                image_path, _corners(usable), ignored=_corners(ignored), is_complete=is_intact and not wrong_count
            )
        )
    return annotations, lines, problems


def _is_dummy(text: str) -> bool:
    """Whether this is the line without a face that follows the count 0."""
    numbers = annotation_lists.pixels(text.split())
    return numbers is not None and not np.any(numbers)


def _corners(rows: np.ndarray) -> np.ndarray:
    """Boxes [N, 4] of lines [N, 10] that begin with left, top, width and height."""
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)


def _read_rows(
    rows: list[annotation_lists.Line], path: str
) -> tuple[np.ndarray, np.ndarray, list[faces.Problem], bool]:
    """Of one image's lines: faces [N, 10], ignored [M, 10], problems, and whether every line could be read."""
    usable, ignored, problems, is_intact = [], [], [], True
    for number, text in rows:
        numbers = annotation_lists.pixels(text.split())
        if numbers is None or len(numbers) not in (4, _NUM_COLUMNS):
            problems.append(annotation_lists.problem(path, number, "a face's line without its 4 or 10 numbers", text))
            is_intact = False
            continue
        numbers = np.pad(numbers, (0, _NUM_COLUMNS - len(numbers)), constant_values=-1)
        box, wrong_box = annotation_lists.sound_box(_corners(numbers[None])[0], f"{path}:{number}")
        problems += wrong_box
        if box is None:
            is_intact &= not numbers[:4].any()  # one image of the official list has a line of zeros: no face
            continue
        numbers[:4] = *box[:2], *(box[2:] - box[:2])
        if numbers[_INVALID] == 1:
            ignored.append(numbers)
        else:
            usable.append(numbers)
    return np.reshape(usable, (-1, _NUM_COLUMNS)), np.reshape(ignored, (-1, _NUM_COLUMNS)), problems, is_intact
