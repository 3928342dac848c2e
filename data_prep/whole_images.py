"""From one image file and its annotation to an image record: upright, shrunk where asked for, with proposals."""

import dataclasses
import os
import pathlib

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.images import image_files
from mtcnn_tf.records import image_records

from . import examples, mining

MAX_PROPOSALS = 400
"""So many of an image are kept, the best: more than a stage ever learns from at once."""


def of_file(
    annotation: faces.Annotation,
    max_pixels: int = image_files.MAX_PIXELS,
    longest_side: int | None = None,
    propose: mining.Propose | None = None,
    scale_boxes: bool = False,
) -> tuple[image_records.ImageRecord | None, list[faces.Problem]]:
    """What is to be recorded of an image, and its problems; None where it can't be read or teaches nothing.

    The file's bytes are kept as they are, unless the image must be shrunk or rotated, or is of a format that not
    everything decodes: then it becomes a JPEG. An image without faces is background if it is known to have none.

    Args:
        annotation: The image's faces, as a data set has them.
        max_pixels: An image file of more pixels is not decoded.
        longest_side: Larger images are shrunk so that their longer side has so many pixels.
        propose: The cascade so far, whose proposals are kept.
        scale_boxes: See `examples.fit_to_image`.
    """
    try:
        encoded = image_files.read_bytes(annotation.image_path)
        image = image_files.decode(encoded, annotation.image_path, max_pixels)
        shrunk = image_files.shrink(image, longest_side)
        if shrunk is not image or not image_files.is_plain(encoded):
            encoded = image_files.encode_jpeg(shrunk)
    except (ValueError, OSError) as error:
        return None, [faces.Problem(annotation.image_path, "unreadable image", str(error))]
    fitted, problems = examples.fit_to_image(annotation, image.shape[1], image.shape[0], scale_boxes)
    if fitted is None:
        return None, problems
    if not (len(fitted.boxes) or fitted.is_complete):
        return None, problems
    fitted = scaled(fitted, *(np.array(shrunk.shape[1::-1]) / image.shape[1::-1]))
    boxes, scores = (None, None) if propose is None else best(*propose(shrunk))
    record = image_records.ImageRecord(
        encoded=encoded,
        height=shrunk.shape[0],
        width=shrunk.shape[1],
        path="/".join(pathlib.PurePath(os.fspath(annotation.image_path)).parts[-2:]),
        boxes=fitted.boxes,
        landmarks=fitted.landmarks,
        ignored=fitted.ignored,
        is_complete=fitted.is_complete,
        proposals=boxes,
        proposal_scores=scores,
    )
    return record, problems


def scaled(annotation: faces.Annotation, x_scale: float, y_scale: float) -> faces.Annotation:
    """The annotation of the image after its width and height were multiplied by `x_scale` and `y_scale`."""
    scale = np.array([x_scale, y_scale], np.float32)
    return dataclasses.replace(
        annotation,
        boxes=annotation.boxes * np.tile(scale, 2),
        landmarks=annotation.landmarks * scale,
        ignored=annotation.ignored * np.tile(scale, 2),
    )


def best(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best `MAX_PROPOSALS` of the proposals [N, 4] and their scores [N], best first."""
    order = np.argsort(-scores, kind="stable")[:MAX_PROPOSALS]
    return boxes[order], scores[order]
