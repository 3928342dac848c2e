"""FDDB's ellipses: path without ending, count, then `major_radius minor_radius angle center_x center_y 1` per face.

Jain, Learned-Miller, "FDDB: A Benchmark for Face Detection in Unconstrained Settings", 2010. The angle, in radians, is
the major axis's to the image's horizontal one. The ellipses reach from the chin to the top of the head, above the
hairline where WIDER FACE's boxes end.
"""

import dataclasses
import os

import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import annotation_lists, places
from mtcnn_tf.geometry import boxes as box_geometry

LIST_NAMES = "FDDB-folds/FDDB-fold-*-ellipseList.txt"


@dataclasses.dataclass(frozen=True)
class Image:
    """One image of the lists.

    Attributes:
        image_path: Where it lies.
        ellipses: Its faces, float64 [N, 5]: major and minor radius, angle, centre's x and y.
        is_intact: Whether every line of it could be read.
    """

    image_path: str
    ellipses: np.ndarray
    is_intact: bool


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations with upright boxes round the ellipses, fold after fold in the order of the lists, and what was wrong.

    An image with a damaged line or count keeps its sound faces but is not complete.

    Args:
        directory: Holds `FDDB-folds` and `originalPics`.
        split: Without meaning here: FDDB has folds, made for cross-validation, and every fold that is there is read.

    Raises:
        FileNotFoundError: No such directory, or no list of ellipses in it.
    """
    del split
    images, problems = read_ellipses(directory)
    return [annotate(image) for image in images], problems


def annotate(image: Image) -> faces.Annotation:
    """The annotation of upright boxes round the image's ellipses."""
    boxes = boxes_round(image.ellipses)
    return faces.Annotation(image.image_path, boxes, is_complete=image.is_intact)


def read_ellipses(directory: str) -> tuple[list[Image], list[faces.Problem]]:
    """The ellipses themselves; see `read`."""
    annotation_lists.check_directory(directory)
    paths = files.glob(directory, LIST_NAMES)
    if not paths:
        raise FileNotFoundError(f"FDDB needs lists {LIST_NAMES} in {directory}, none is there; check the directory")
    found, names, problems = [], [], []
    for path in paths:
        images, stray = annotation_lists.group(annotation_lists.read_lines(path), _is_path, path)
        problems += stray
        for head, rows in images:
            if annotation_lists.image_path("", head[1]) is None:
                problems.append(annotation_lists.problem(path, head[0], annotation_lists.OUTSIDE, head[1]))
                continue
            count, rows, wrong_count = annotation_lists.split_count(head, rows, path)
            wrong_count += annotation_lists.check_count(count, len(rows), head, path)
            ellipses, wrong_rows, is_intact = _read_rows(rows, path)
            problems += wrong_count + wrong_rows
            names.append([head[1] + ".jpg", head[1]])
            found.append(Image(head[1], np.reshape(ellipses, (-1, 5)), is_intact and not wrong_count))
    image_dir = os.path.join(directory, "originalPics")
    image_paths = places.locate(names, [image_dir], image_dir)
    pairs = zip(found, image_paths, strict=True)
    return [dataclasses.replace(image, image_path=path or image.image_path) for image, path in pairs], problems


def boxes_round(ellipses: np.ndarray) -> np.ndarray:
    """The smallest upright boxes [N, 4] round ellipses [N, 5]: two radii, an angle in radians and a centre."""
    return box_geometry.round_ellipses(ellipses[:, :2], ellipses[:, 2], ellipses[:, 3:])


def _is_path(text: str) -> bool:
    """Whether a line is a path, such as `2002/08/11/big/img_591`."""
    return "/" in text


def _read_rows(rows: list[annotation_lists.Line], path: str) -> tuple[list, list[faces.Problem], bool]:
    """Ellipses and problems of one image's lines, and whether every line could be read."""
    ellipses, problems, is_intact = [], [], True
    for number, text in rows:
        numbers = annotation_lists.pixels(text.split())
        if numbers is None or len(numbers) not in (5, 6):
            problems.append(
                annotation_lists.problem(path, number, "an ellipse's line without its 5 or 6 numbers", text)
            )
            is_intact = False
        elif min(numbers[:2]) <= 0 or not annotation_lists.has_area(boxes_round(numbers[None, :5])[0]):
            problems.append(annotation_lists.problem(path, number, "an ellipse without area", text))
            is_intact = False
        else:
            ellipses.append(numbers[:5])
    return ellipses, problems, is_intact
