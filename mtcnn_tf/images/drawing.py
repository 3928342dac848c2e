"""Images of what was found, and of what is learnt from."""

import cv2
import numpy as np

from mtcnn_tf import faces

BOX_COLOUR = (40, 220, 80)
POINT_COLOURS = ((255, 80, 80), (80, 120, 255), (255, 220, 60), (255, 80, 220), (60, 220, 255))
"""One for each of five landmarks, in the order of `faces.LANDMARK_NAMES`; RGB."""


def point_colours(num_points: int) -> tuple[tuple[int, int, int], ...]:
    """Colours of a face's landmarks: each has its own of five, otherwise all have the same."""
    return POINT_COLOURS if num_points == len(POINT_COLOURS) else POINT_COLOURS[-1:] * num_points


def draw(image: np.ndarray, detections: faces.Detections, identities: np.ndarray | None = None) -> np.ndarray:
    """A copy of the image with boxes, scores and landmarks drawn in, uint8 [H, W, 3].

    Lines grow with the image, points with the face. Unknown landmarks (NaN) are left out.

    Args:
        image: RGB, uint8 [H, W, 3].
        detections: What was found in it.
        identities: Numbers [N] to write behind the scores; see `tracking`.
    """
    drawing = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(drawing.shape[:2]) / 600))
    texts = [f"{score:.2f}" for score in detections.scores]
    if identities is not None:
        texts = [f"{text} #{identity}" for text, identity in zip(texts, identities, strict=True)]
    # The best face last, so that it lies on top.
    for face, text in list(zip(detections, texts, strict=True))[::-1]:
        x1, y1, x2, y2 = (round(float(edge)) for edge in face.box)
        cv2.rectangle(drawing, (x1, y1), (x2 - 1, y2 - 1), BOX_COLOUR, thickness)
        at = (x1, y1 - 2 * thickness if y1 > 12 * thickness else y2 + 11 * thickness)
        cv2.putText(drawing, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * thickness, BOX_COLOUR, thickness, cv2.LINE_AA)
        colours = point_colours(len(face.landmarks))
        radius = max(1, round((x2 - x1) / 8 / max(len(colours), 5)))
        for point, colour in zip(face.landmarks, colours, strict=True):
            if np.isfinite(point).all():
                x, y = (round(float(coordinate)) for coordinate in point)
                cv2.circle(drawing, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA)
    return drawing


def contact_sheet(crops: np.ndarray, columns: int = 16, gap: int = 2) -> np.ndarray:
    """The crops in rows of `columns`, from left to right, on white: uint8 [H, W, 3].

    Args:
        crops: RGB, uint8 [N, S, S, 3], at least one.
        columns: How many side by side.
        gap: Pixels between neighbours, and round the sheet.

    Raises:
        ValueError: There is no crop, or no column.
    """
    if crops.ndim != 4 or len(crops) == 0 or columns < 1:
        raise ValueError(f"a contact sheet needs crops [N, S, S, 3] and a column, got {crops.shape} and {columns}")
    columns = min(columns, len(crops))
    rows = -(-len(crops) // columns)
    height, width = crops.shape[1] + gap, crops.shape[2] + gap
    sheet = np.full((rows * height + gap, columns * width + gap, 3), 255, np.uint8)
    for i, crop in enumerate(crops):
        top, left = gap + i // columns * height, gap + i % columns * width
        sheet[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return sheet
