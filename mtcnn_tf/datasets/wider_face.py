"""WIDER FACE's text format: path, count, then `x y w h blur expression illumination invalid occlusion pose` per face.

Yang, Luo, Loy, Tang, "WIDER FACE: A Face Detection Benchmark", 2016 (arXiv 1511.06523). A picture without faces has the
count 0 and, in the official files, one dummy line of zeros after it. People's own lists may give `x y w h` alone.
"""

import os

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.datasets import listing

LISTS = {split: [f"wider_face_split/wider_face_{split}_bbx_gt.txt"] for split in ("train", "val")}
_INVALID = 7


def image_dir(directory: str, split: str) -> str:
    """Where WIDER FACE keeps the pictures of `split`."""
    return os.path.join(directory, f"WIDER_{split}", "images")


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list, and what was wrong in it.

    Faces flagged invalid become `ignored`. A box without area can't be a region to ignore: it is a problem, and the
    rest of its picture stands. A picture of which a face's line is damaged, or whose count doesn't match, keeps its
    sound faces but is not complete, for a face may lie anywhere in it.

    Args:
        directory: Holds `wider_face_split` and `WIDER_train` or `WIDER_val`.
        split: 'train' or 'val'. (The faces of WIDER FACE's test part were never published.)

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory or list.
    """
    path = listing.find_list(directory, LISTS, split)
    pictures, problems = listing.group(listing.read_lines(path), listing.is_picture, path)
    annotations = []
    for head, rows in pictures:
        count, rows, wrong_count = listing.split_count(head, rows, path)
        if count == 0 and len(rows) == 1 and _is_dummy(rows[0][1]):
            rows = []
        wrong_count += listing.check_count(count, len(rows), head, path)
        boxes, ignored, wrong_rows, is_whole = _read_rows(rows, path)
        problems += wrong_count + wrong_rows
        image_path = os.path.join(image_dir(directory, split), listing.native_path(head[1]))
        annotations.append(
            faces.Annotation(image_path, boxes, ignored=ignored, is_complete=is_whole and not wrong_count)
        )
    return annotations, problems


def _is_dummy(text: str) -> bool:
    """Whether this is the line without a face that follows the count 0."""
    numbers = listing.pixels(text.split())
    return numbers is not None and not np.any(numbers)


def _read_rows(rows: list[listing.Line], path: str) -> tuple[list, list, list[faces.Problem], bool]:
    """Boxes, ignored boxes and problems of one picture's lines, and whether every line could be read."""
    boxes, ignored, problems, is_whole = [], [], [], True
    for number, text in rows:
        numbers = listing.pixels(text.split())
        if numbers is None or len(numbers) not in (4, 10):
            problems.append(listing.problem(path, number, "a face's line without its 4 or 10 numbers", text))
            is_whole = False
            continue
        box = np.concatenate([numbers[:2], numbers[:2] + numbers[2:4]])
        if not listing.has_area(box):
            problems.append(listing.problem(path, number, "a box without area", text))
        elif len(numbers) > _INVALID and numbers[_INVALID] == 1:
            ignored.append(box)
        else:
            boxes.append(box)
    return boxes, ignored, problems, is_whole
