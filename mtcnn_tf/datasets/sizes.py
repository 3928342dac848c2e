"""Boxes that were drawn on an image of another size: as it was stored, before a viewer rotated it, or before a resize.

An annotation that states its image's size gives itself away there. What can't be put right is left out, for its boxes
lie on background and its faces elsewhere.
"""

import dataclasses

import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import five_points
from mtcnn_tf.images import image_files

TURNED = "boxes drawn before the image was turned upright, turned with it"
OTHER_SIZE = "boxes drawn on an image of another size, left out"
UNCLEAR = "an image stored turned whose size does not tell whether its boxes are, left out; store it upright"

Size = tuple[int, int]
"""Width and height."""


def fit(
    annotation: faces.Annotation, width: int, height: int, scale_boxes: bool = False
) -> tuple[faces.Annotation | None, list[faces.Problem]]:
    """The annotation in pixels of its image as it is here, None where that can't be known, and what was wrong.

    Args:
        annotation: What a reader gave.
        width: The image's, turned upright as `image_files.read` has it.
        height: Likewise.
        scale_boxes: Whether boxes of an image of the same proportions are scaled; otherwise they are left out.
    """
    if annotation.size is None or not (len(annotation.boxes) or len(annotation.ignored)):
        return annotation, []
    orientation = image_files.orientation(annotation.image_path)
    ways = _ways(annotation.size, (width, height), orientation)
    sizes = f"{annotation.size[0]}×{annotation.size[1]} stated, {width}×{height} here"
    if len(ways) > 1:
        return None, [faces.Problem(annotation.image_path, UNCLEAR, f"EXIF orientation {orientation}, {sizes}")]
    if not ways:
        return None, [faces.Problem(annotation.image_path, OTHER_SIZE, sizes)]
    size = _turned(annotation.size, ways[0])
    is_other = np.any(np.abs(np.subtract((width, height), size)) > 1)  # a pixel is how some tools round
    if is_other and not scale_boxes:
        return None, [
            faces.Problem(annotation.image_path, OTHER_SIZE, f"{sizes}; --scale_boxes of a build scales them")
        ]
    problems = [] if ways[0] == 1 else [faces.Problem(annotation.image_path, TURNED, sizes)]
    scale = np.divide((width, height), size)
    return _moved(annotation, annotation.size, ways[0], scale), problems


def fit_all(annotations: list[faces.Annotation]) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Those of the annotations that fit their images, see `fit`. What isn't here stays."""
    fitted, problems = [], []
    for annotation in annotations:
        size = (
            image_files.size(annotation.image_path)
            if annotation.size and files.is_file(annotation.image_path)
            else None
        )
        in_image, met = fit(annotation, *size) if size else (annotation, [])
        problems += met
        if in_image is not None:
            fitted.append(in_image)
    return fitted, problems


def _ways(stated: Size, here: Size, orientation: int) -> list[int]:
    """Orientations (1: as it is here) in which the boxes may have been drawn; exact sizes before proportional ones."""
    candidates = [1] if orientation == 1 else [1, orientation]
    exact = [way for way in candidates if _turned(stated, way) == here]
    return exact or [way for way in candidates if _are_proportional(_turned(stated, way), here)]


def _turned(size: Size, orientation: int) -> Size:
    """The size that an image has after it was turned upright."""
    return size[::-1] if orientation >= 5 else size


def _are_proportional(size: Size, here: Size) -> bool:
    """Whether one is the other resized, give or take a pixel."""
    (width, height), (width_here, height_here) = size, here
    return abs(width * height_here - height * width_here) <= max(width, height, width_here, height_here)


def _moved(annotation: faces.Annotation, size: Size, orientation: int, scale: np.ndarray) -> faces.Annotation:
    """The annotation after its image of the stated `size` was turned upright, which exchanges the sides, and scaled."""

    def move(points: np.ndarray) -> np.ndarray:
        """Where points [..., 2] of the stored image lie then."""
        x, y = np.moveaxis(points, -1, 0)
        far_x, far_y = size[0] - x, size[1] - y
        places = {1: (x, y), 5: (y, x), 6: (far_y, x), 7: (far_y, far_x), 8: (y, far_x)}
        return np.stack(places[orientation], axis=-1) * scale

    def move_boxes(boxes: np.ndarray) -> np.ndarray:
        corners = move(boxes.reshape(-1, 2, 2))
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    landmarks = move(annotation.landmarks)
    return dataclasses.replace(
        annotation,
        boxes=move_boxes(annotation.boxes),
        landmarks=landmarks if orientation == 1 else five_points.in_image_order(landmarks),
        ignored=move_boxes(annotation.ignored),
        size=None,
    )
