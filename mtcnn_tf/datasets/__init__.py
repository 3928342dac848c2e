"""Reads annotated photographs: one module per format on disk, each with `read(directory, split)`.

Most are *complete*: a region of their images without a box is background, and negatives may be cut there. The point
sets `points`, `mtfl`, `celeba` and `ibug` label one face an image and show other people, too, and are not complete.
An image of which a face's line was damaged isn't complete in any format.

Readers parse text. They open no image (but for `yolo`, whose numbers are fractions of it): one that is missing, or
a box outside of it, is found when it is opened.
"""

import dataclasses

import numpy as np

from mtcnn_tf import faces, landmark_sets
from mtcnn_tf.datasets import (
    annotation_lists,
    celeba,
    coco,
    fddb,
    folder,
    ibug,
    mtfl,
    points,
    voc,
    wider_face,
    wider_face_landmarks,
    yolo,
)

_MODULES = {
    "wider_face": wider_face,
    "wider_face_landmarks": wider_face_landmarks,
    "celeba": celeba,
    "points": points,
    "mtfl": mtfl,
    "ibug": ibug,
    "fddb": fddb,
    "voc": voc,
    "coco": coco,
    "yolo": yolo,
    "folder": folder,
}
NAMES = tuple(_MODULES)
NAMES_WITH_CLASSES = ("voc", "coco", "yolo")
_WITH_ANY_POINTS = ("coco", "yolo", "ibug")


def alarms(spec: str, problems: list[faces.Problem]) -> list[str]:
    """A sentence for each sort of problem that makes the whole set suspicious: faces without image or class."""
    sentences = []
    for what in (annotation_lists.NO_IMAGE, annotation_lists.NO_CLASS):
        met = [problem for problem in problems if problem.what == what]
        if met:
            sentences.append(f"{spec} should say where every face belongs, {len(met):,} × {what}; the first: {met[0]}")
    return sentences


def read(
    spec: str,
    split: str = "train",
    class_name: str | None = None,
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations of the data set `spec`, in the order of its list, and the problems that were stepped over.

    Args:
        spec: `NAME:DIR`, where NAME is one of `NAMES`, and DIR a folder or the address of one, see `files`.
        split: 'train', 'val' or 'test', as far as the format has them. `fddb` and `folder` have no splits.
        class_name: For `voc`, `coco` and `yolo` the class that is a face, None for all; without meaning for the others.
        landmark_set: The points that are wanted; a face that is annotated with others has none.

    Raises:
        ValueError: An unknown name, split or class, or a set without a single image that can be used.
        FileNotFoundError: No such directory or list.
    """
    name, _, directory = spec.partition(":")
    if name not in _MODULES or not directory:
        raise ValueError(f"a data set is given as NAME:DIR with NAME one of {', '.join(NAMES)}, got {spec!r}")
    options: dict = {"class_name": class_name} if name in NAMES_WITH_CLASSES else {}
    options |= {"landmark_set": landmark_set} if name in _WITH_ANY_POINTS else {}
    annotations, problems = _MODULES[name].read(directory, split, **options)
    if not annotations:
        first = f" (the first of {len(problems)} problems: {problems[0]})" if problems else ""
        raise ValueError(f"{spec} should hold images for the split {split!r}, none was found{first}; check it")
    num_points = landmark_set.num_points
    others = [annotation for annotation in annotations if _has_others(annotation, num_points)]
    if others:
        what = f"points that are not the {num_points} wanted, left out"
        problems = [*problems, faces.Problem(spec, what, f"{len(others)} images, the first {others[0].image_path}")]
    return [_with_points(annotation, num_points) for annotation in annotations], problems


def _has_others(annotation: faces.Annotation, num_points: int) -> bool:
    """Whether points are known of a face, and not as many."""
    return annotation.landmarks.shape[1] != num_points and bool(np.isfinite(annotation.landmarks).any())


def _with_points(annotation: faces.Annotation, num_points: int) -> faces.Annotation:
    """The annotation with room for so many points of each face."""
    if annotation.landmarks.shape[1] == num_points:
        return annotation
    return dataclasses.replace(annotation, landmarks=faces.no_landmarks(len(annotation.boxes), num_points))
