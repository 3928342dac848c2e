"""Records under the eyes of a person: shards compared with their manifest, and crops with their targets drawn in."""

import cv2
import numpy as np

from mtcnn_tf import kinds, stages
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.images import drawing
from mtcnn_tf.records import input_pipeline

TILE_SIDE = 240
"""Side of a crop with its margin on a sheet, in pixels."""
CROP_SIDE = 192
"""Side of a crop: P-Net's sixteenfold, R-Net's eightfold, O-Net's fourfold."""
CROP_SIDE_WITH_BOX = 96
"""Where a face's box is shown: it may reach out of the crop, beyond this margin for one part of a face in 150."""
COLUMNS = 8
POINT_RADIUS = 3
BACKGROUND = 64
"""Grey of the margin, in 0–255."""


def read_crops(
    records_dir: str, stage: stages.Stage, split: str, kind: int, num_crops: int, augment: bool, seed: int = 0
) -> dict[str, np.ndarray] | None:
    """A batch of one kind, as the training reads it (see `input_pipeline.batches`); None where the kind has no records.

    The same seed gives the same examples with and without `augment`.

    Args:
        records_dir: Where `data_prep.build` wrote.
        stage: Whose records.
        split: "train" or "validation".
        kind: See `kinds`.
        num_crops: How many to read; fewer where there aren't as many.
        augment: Whether to change the crops by chance.
        seed: Chooses the examples and the changes.
    """
    name = kinds.NAMES[kind]
    num_crops = min(num_crops, input_pipeline.read_manifest(records_dir, stage)["examples"][split][name])
    if not num_crops:
        return None
    batches = input_pipeline.batches(records_dir, stage, split, num_crops, {name: 1}, augment, seed)
    return next(batches.as_numpy_iterator())


def sheet(batch: dict[str, np.ndarray], margin: float = 1.0) -> np.ndarray:
    """The batch's crops enlarged, with the targets that count for their kinds, in rows of 8: uint8 [H, W, 3].

    Args:
        batch: See `crop_records.parse`; `image` in 0–255.
        margin: The crops show so many times their squares.
    """
    examples = zip(batch["image"], batch["kind"], batch["offsets"], batch["landmarks"], strict=True)
    return drawing.contact_sheet(np.stack([draw_targets(*example, margin) for example in examples]), COLUMNS)


def draw_targets(
    image: np.ndarray, kind: int, offsets: np.ndarray, landmarks: np.ndarray, margin: float = 1.0
) -> np.ndarray:
    """One crop enlarged, in the middle of a grey tile, with the true face's box or points: uint8 [240, 240, 3].

    Args:
        image: [S, S, 3] in 0–255.
        kind: Which targets count, see `kinds`.
        offsets: [4], see `boxes.encode`.
        landmarks: [2 P], relative to the square.
        margin: The crop shows so many times the square.
    """
    zoom = (CROP_SIDE_WITH_BOX if kind in kinds.WITH_OFFSETS else CROP_SIDE) // image.shape[0]
    side = image.shape[0] * zoom
    rim = (TILE_SIDE - side) // 2
    pixels = np.rint(image).clip(0, 255).astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)
    tile = np.full((TILE_SIDE, TILE_SIDE, 3), BACKGROUND, np.uint8)
    tile[rim : rim + side, rim : rim + side] = pixels
    crop_box = box_geometry.enlarge(np.array([rim, rim, rim + side, rim + side], np.float32), 1 / margin)  # the square
    if kind in kinds.WITH_OFFSETS:
        x1, y1, x2, y2 = (round(float(edge)) for edge in box_geometry.decode(crop_box, offsets))
        cv2.rectangle(tile, (x1, y1), (x2 - 1, y2 - 1), drawing.BOX_COLOUR)
    if kind in kinds.WITH_LANDMARKS:
        points = box_geometry.decode_points(crop_box[None], landmarks.reshape(1, -1, 2))[0]
        for point, colour in zip(points, drawing.point_colours(len(points)), strict=True):
            x, y = (int(np.floor(coordinate)) for coordinate in point)  # the pixel in which the point lies
            cv2.circle(tile, (x, y), POINT_RADIUS, colour, cv2.FILLED)
    return tile
