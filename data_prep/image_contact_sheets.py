"""Image records under the eyes of a person: images with all that is known about them drawn in."""

import itertools

import cv2
import numpy as np

from mtcnn_tf import faces, stages
from mtcnn_tf.images import drawing, image_files
from mtcnn_tf.records import image_records

TILE_SIDE = 320
"""Side of an image with its margin on a sheet, in pixels."""
COLUMNS = 8
BACKGROUND = 64
"""Grey of the margin, in 0–255."""
IGNORED_COLOUR = (150, 150, 150)
PROPOSAL_COLOUR = (255, 170, 40)
NUM_PROPOSALS = 20
"""So many are drawn, the best."""
POOL = 20
"""Times as many images as wanted are read, from which they are chosen by chance."""


def choose(
    records_dir: str, stage: stages.Stage, split: str, num_images: int, seed: int = 0
) -> list[image_records.ImageRecord]:
    """So many images of a split, or all where there are fewer, chosen by the seed among the first of its records.

    Raises:
        FileNotFoundError, ValueError: See `image_records.read`.
    """
    pool = list(itertools.islice(image_records.read(records_dir, stage, split), POOL * num_images))
    rows = np.random.default_rng(seed).permutation(len(pool))[:num_images]
    return [pool[row] for row in np.sort(rows)]


def sheet(images: list[image_records.ImageRecord]) -> np.ndarray:
    """The images, at least one, with their boxes drawn in, in rows of 8: uint8 [H, W, 3]."""
    return drawing.contact_sheet(np.stack([draw(image) for image in images]), COLUMNS)


def draw(record: image_records.ImageRecord) -> np.ndarray:
    """One image, shrunk and in the middle of a grey tile, with what is known: uint8 [320, 320, 3].

    Faces are green, ignored regions grey, the best proposals thin and orange.

    Raises:
        ValueError: The image can't be decoded.
    """
    image = image_files.decode(record.encoded, record.path, record.width * record.height)
    shrunk = image_files.shrink(image, TILE_SIDE)
    height, width = shrunk.shape[:2]
    left, top = (TILE_SIDE - width) // 2, (TILE_SIDE - height) // 2
    tile = np.full((TILE_SIDE, TILE_SIDE, 3), BACKGROUND, np.uint8)
    tile[top : top + height, left : left + width] = shrunk
    scale = np.tile([width / image.shape[1], height / image.shape[0]], 2)
    proposals = faces.no_boxes() if record.proposals is None else record.proposals[:NUM_PROPOSALS]
    groups = (
        (proposals, PROPOSAL_COLOUR, 1),
        (record.ignored, IGNORED_COLOUR, 2),
        (record.boxes, drawing.BOX_COLOUR, 2),
    )
    for boxes, colour, thickness in groups:
        for box in boxes:
            x1, y1, x2, y2 = (round(float(edge)) for edge in box * scale + (left, top, left, top))
            cv2.rectangle(tile, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), colour, thickness)
    return tile
