"""Which faces a detector finds, and which it misses, at the thresholds it is used with."""

import dataclasses
import itertools
import re

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.evaluation import curves, reports, rotation
from mtcnn_tf.geometry import boxes
from mtcnn_tf.images import image_files

MIN_SIZE = 20
"""Shorter side, in pixels, from which on faces count in every group but those of sizes."""
SIZES = (12, 20, 32, 64, 128, np.inf)
"""Edges of the groups by size."""
ROTATIONS = (15, 30, 45, 90)
"""Degrees, clockwise."""


@dataclasses.dataclass(frozen=True)
class View:
    """An annotated image, perhaps rotated.

    Attributes:
        annotation: What is in it, in pixels of the rotated image.
        groups: Name of a group → which faces belong to it, bool [N]. Every view of a run has the same groups. The last
            word of a name tells groups of one sort apart.
        degrees: How far it is rotated.
    """

    annotation: faces.Annotation
    groups: dict[str, np.ndarray]
    degrees: float = 0

    @property
    def image_path(self) -> str:
        """Where the image lies, upright."""
        return self.annotation.image_path


def upright(annotations: list[faces.Annotation], groups: dict[str, list[np.ndarray]]) -> list[View]:
    """The images as they are.

    Args:
        annotations: What is in the images.
        groups: Name of a group → for each image which faces belong to it, bool [N]; beside those of sizes and turns.
    """
    return [
        View(annotation, _groups(annotation, {name: masks[at] for name, masks in groups.items()}))
        for at, annotation in enumerate(annotations)
    ]


def rotated(views: list[View]) -> list[View]:
    """The upright views rotated, all of them for each of `ROTATIONS`. Reads the images, for their sizes."""
    sizes = [image_files.read(view.image_path).shape for view in views]
    return [
        _rotated(view, width, height, degrees)
        for degrees in ROTATIONS
        for view, (height, width, _) in zip(views, sizes, strict=True)
    ]


def _groups(annotation: faces.Annotation, more: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    sizes = np.min(annotation.boxes[:, 2:] - annotation.boxes[:, :2], axis=1)
    held = {f"faces ≥ {MIN_SIZE} px": sizes >= MIN_SIZE}
    for low, high in itertools.pairwise(SIZES):
        side = f"{low}–{high}" if np.isfinite(high) else f"≥{low}"
        held[f"shorter side in px {side}"] = (sizes >= low) & (sizes < high)
    held |= {name: mask & (sizes >= MIN_SIZE) for name, mask in more.items()}
    return held | {f"rotated by {degrees}°": np.zeros(len(sizes), bool) for degrees in ROTATIONS}


def _rotated(view: View, width: int, height: int, degrees: float) -> View:
    """The upright view rotated; all its faces that are large enough upright belong to one group, that of the turn."""
    rotated = faces.Annotation(
        view.image_path,
        rotation.rotate_boxes(view.annotation.boxes, width, height, degrees),
        ignored=rotation.rotate_boxes(view.annotation.ignored, width, height, degrees),
    )
    groups = {name: np.zeros_like(mask) for name, mask in view.groups.items()}
    groups[f"rotated by {degrees}°"] = view.groups[f"faces ≥ {MIN_SIZE} px"]
    return View(rotated, groups, degrees)


def report(views: list[View], detections: list[faces.Detections]) -> reports.Report:
    """Number and recall of the faces in each group, and how many false positives there are in an upright image."""
    found_masks, num_false_positives, num_upright = [], 0, 0
    for view, found in zip(views, detections, strict=True):
        annotation = view.annotation
        iou = boxes.iou(found.boxes, annotation.boxes)
        found_masks.append(np.isin(np.arange(len(annotation.boxes)), curves.take(iou)))
        if view.degrees == 0:
            num_upright += 1
            both = np.concatenate([annotation.boxes, annotation.ignored])
            ignored_mask = np.arange(len(both)) >= len(annotation.boxes)
            outcomes = curves.match(boxes.iou(found.boxes, both), ignored_mask)
            num_false_positives += int(np.sum(outcomes == curves.FALSE_POSITIVE))
    title = "false positives in an upright image, mean"
    figures = {"num_fp_upright": reports.Figure(num_false_positives / num_upright, title)}
    for name in views[0].groups:
        masks = [view.groups[name] for view in views]
        is_found = np.concatenate([mask[group] for mask, group in zip(found_masks, masks, strict=True)])
        recall = float(np.mean(is_found)) if len(is_found) else float("nan")
        figures[f"num_faces_{figure_name(name)}"] = reports.Figure(len(is_found), f"{name}: faces")
        figures[f"recall_{figure_name(name)}"] = reports.Figure(recall, f"{name}: recall")
    return reports.Report(figures)


def figure_name(group: str) -> str:
    """How the names of a group's figures end: "blur clear" gives "blur_clear"."""
    return re.sub(r"\W+", "_", group).strip("_").lower()
