"""What a training shows of its examples: targets in green, predictions in orange."""

import cv2
import numpy as np

from mtcnn_tf import kinds
from mtcnn_tf.geometry import anchor_labels, anchors
from mtcnn_tf.geometry import boxes as box_geometry

NUM_COLUMNS = 8
_ZOOM = 96
_RIM = 0.3
"""How much is drawn round a crop, as a fraction of its side: true boxes reach beyond it."""
_TRUE, _PREDICTED = (60, 200, 60), (240, 90, 40)
_LABEL_COLOURS = {1: (60, 200, 60), 0: (90, 90, 200)}
"""Of the centres of positive and negative anchors."""


def draw_samples(samples: dict, predictions: dict, margin: float = 1.0) -> np.ndarray:
    """A sheet of crops with true (green) and predicted (orange) boxes and points, uint8 [H, W, 3].

    Args:
        samples: At least one: `image` [N, S, S, 3] in 0–255, `kind`, `offsets`, `landmarks` as in a batch.
        predictions: `offsets` [N, 4] and, if the network finds them, `landmarks` [N, 2 P].
        margin: The crops show so many times the squares that offsets and landmarks are relative to.
    """
    tiles = []
    for row in range(len(samples["image"])):
        tile = _enlarge(samples["image"][row])
        for targets, colour in ((samples, _TRUE), (predictions, _PREDICTED)):
            if samples["kind"][row] != kinds.LANDMARK:
                _draw_box(tile, targets["offsets"][row], colour, margin)
            elif "landmarks" in targets:
                _draw_points(tile, targets["landmarks"][row], colour, margin)
        tiles.append(tile)
    while len(tiles) % NUM_COLUMNS:
        tiles.append(np.zeros_like(tiles[0]))
    return np.concatenate(
        [np.concatenate(tiles[k : k + NUM_COLUMNS], axis=1) for k in range(0, len(tiles), NUM_COLUMNS)]
    )


def _enlarge(crop: np.ndarray) -> np.ndarray:
    pixels = np.clip(np.round(crop), 0, 255).astype(np.uint8)
    enlarged = cv2.resize(pixels, (_ZOOM, _ZOOM), interpolation=cv2.INTER_NEAREST)
    rim = round(_RIM * _ZOOM)
    return cv2.copyMakeBorder(enlarged, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(40, 40, 40))


def _to_pixels(points: np.ndarray, margin: float) -> list[tuple[int, int]]:
    """Points [P, 2], relative to the square in a crop's middle, in pixels of the enlarged crop, kept within sight."""
    points = np.clip((np.nan_to_num(points) - 0.5) / margin + 0.5, -9, 9)
    return [(int(x), int(y)) for x, y in np.round((points + _RIM) * _ZOOM)]


def _draw_box(tile: np.ndarray, offsets: np.ndarray, colour: tuple, margin: float):
    corners = offsets.reshape(2, 2) + np.array([[0, 0], [1, 1]])
    first, second = _to_pixels(corners, margin)
    cv2.rectangle(tile, first, second, colour)


def _draw_points(tile: np.ndarray, landmarks: np.ndarray, colour: tuple, margin: float):
    for point in _to_pixels(landmarks.reshape(-1, 2), margin):
        cv2.circle(tile, point, 2, colour, -1, cv2.LINE_AA)


def draw_window(
    batch: dict,
    row: int,
    predictions: dict,
    proposals: np.ndarray,
    scores: np.ndarray,
    its_anchors: anchors.Anchors,
    rules: anchor_labels.Rules,
) -> np.ndarray:
    """One window twice, side by side: its anchors by their labels, and what the RPN proposes; uint8 [S, 2 S, 3].

    On the left, positive anchors are drawn whole and of some negative ones the centres; faces are white. On the right
    are the boxes of the best proposals, as many as there are faces and ten more, the thicker the higher they score.

    Args:
        batch: `image` [B, S, S, 3] in 0–255, `boxes`, `face_mask`, `complete_mask`; see `anchor_labels.assign`.
        row: Which window.
        predictions: Outputs of the RPN for the batch; they decide which negative centres are shown: the highest logits.
        proposals: Boxes [N, 4] in pixels of the window, best first.
        scores: Their scores [N].
        its_anchors: Those of the RPN.
        rules: By which they are labelled.
    """
    pixels = np.clip(np.round(batch["image"][row]), 0, 255).astype(np.uint8)
    left, right = pixels.copy(), pixels.copy()
    boxes, size = its_anchors.boxes(*pixels.shape[:2]), pixels.shape[0]
    of_boxes, is_face, is_complete = (
        np.asarray(batch[name])[row : row + 1] for name in ("boxes", "face_mask", "complete_mask")
    )
    labels = anchor_labels.assign(np, its_anchors, size, of_boxes, is_face, is_complete, rules)[0][0]
    hardest = np.argsort(-np.where(labels == 0, predictions["face"][row], -np.inf))[:200]
    for index in hardest[labels[hardest] == 0]:
        cv2.circle(left, _whole(box_geometry.centres(boxes[index])), 1, _LABEL_COLOURS[0], cv2.FILLED)
    for index in np.flatnonzero(labels == 1):
        cv2.rectangle(left, _whole(boxes[index, :2]), _whole(boxes[index, 2:]), _LABEL_COLOURS[1])
    faces = batch["boxes"][row][batch["face_mask"][row]]
    for box in faces:
        cv2.rectangle(left, _whole(box[:2]), _whole(box[2:]), (255, 255, 255))
    for box, score in list(zip(proposals, scores, strict=True))[: len(faces) + 10]:
        cv2.rectangle(right, _whole(box[:2]), _whole(box[2:]), _PREDICTED, 1 + int(score > 0.5))
    return np.concatenate([left, right], axis=1)


def _whole(point: np.ndarray) -> tuple[int, int]:
    x, y = np.round(np.clip(point, -4096, 4096))
    return int(x), int(y)
