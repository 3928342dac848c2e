"""One fixed linear map of all boxes of a detector, fitted to another habit of annotating.

FDDB's ellipses hold the whole head, from the chin to the top of the hair, where detectors that learnt from WIDER FACE
frame the face: a face that is found may miss an IoU of 0.5 for that alone. Papers therefore report FDDB after a map of
the boxes. Here it is four numbers, fitted in one way for every detector and never on the images that it is used on.
"""

from collections.abc import Sequence

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.geometry import boxes as box_geometry

MIN_IOU = 0.3
"""From this IoU on, a detection is taken to show a face, however it is framed."""
IDENTITY = np.array([0.0, 0.0, 1.0, 1.0])
"""The map that changes nothing: shift of the centre right and down, in widths and heights; factors of both."""


def fit(annotated: Sequence[np.ndarray], detections: Sequence[faces.Detections]) -> np.ndarray:
    """The map [4] that brings detections nearest to faces: the medians of what each pair would need.

    Args:
        annotated: Boxes [N, 4] of the faces of each image.
        detections: What was found in them. The best that overlaps a face by `MIN_IOU` is paired with it.
    """
    wanted = [np.zeros((0, 4))]
    for boxes, found in zip(annotated, detections, strict=True):
        covers_mask = box_geometry.iou(boxes, found.boxes) >= MIN_IOU  # [faces, detections], best score first
        rows = np.flatnonzero(covers_mask.any(axis=1))
        centres, sides = _parts(boxes[rows])
        of_found, its_sides = _parts(found.boxes[covers_mask[rows].argmax(axis=1)] if len(rows) else boxes[rows])
        wanted.append(np.concatenate([(centres - of_found) / its_sides, sides / its_sides], axis=1))
    pairs = np.concatenate(wanted)
    return np.median(pairs, axis=0) if len(pairs) else IDENTITY


def apply(box_map: np.ndarray, found: faces.Detections) -> faces.Detections:
    """The detections with their boxes moved and scaled by the map [4]; landmarks stay."""
    centres, sides = _parts(found.boxes)
    centres, half_sides = centres + box_map[:2] * sides, box_map[2:] * sides / 2
    mapped = box_geometry.around(centres, half_sides).astype(np.float32)
    return faces.Detections(mapped, found.scores, found.landmarks)


def apply_crosswise(
    annotated: Sequence[np.ndarray], detections: Sequence[faces.Detections]
) -> tuple[list[faces.Detections], np.ndarray]:
    """All detections, those of every other image mapped by what was fitted on the rest; and both maps [2, 4]."""
    halves = [slice(start, None, 2) for start in (0, 1)]
    maps = np.stack([fit(annotated[half], detections[half]) for half in reversed(halves)])
    return [apply(maps[number % 2], found) for number, found in enumerate(detections)], maps


def _parts(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres and sides, both [N, 2]."""
    return box_geometry.centres(boxes), boxes[:, 2:] - boxes[:, :2]
