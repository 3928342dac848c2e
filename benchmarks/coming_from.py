"""The same eight images, searched by `mtcnn` 1.0.0 and by `mtcnn_tf.compat.mtcnn`: one import line differs.

python -m benchmarks.coming_from

Prints how many faces each finds, how their boxes overlap and how far their points lie apart, and draws
docs/images/coming_from.jpg.
"""

import pathlib

import cv2
import mtcnn
import numpy as np

from data_prep.sample_set import sample_scenes
from mtcnn_tf import faces
from mtcnn_tf.compat import mtcnn as ours
from mtcnn_tf.geometry import boxes
from mtcnn_tf.images import drawing, image_files

PATH = "docs/images/coming_from.jpg"
TILE = (212, 160)
GAP = 4
NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def images() -> list[np.ndarray]:
    """Two portraits, five scenes and a group, of photographs that are free to use; see `sample_scenes`."""
    photos = sample_scenes.backgrounds(sample_scenes.VAL)
    scenes = (sample_scenes.scene(np.random.default_rng([7, i]), photos)[0] for i in range(5))
    group = sample_scenes.group(np.random.default_rng(0))[0]
    return [*(portrait.pixels for portrait in sample_scenes.portraits()), *scenes, group]


def detections(found: list[dict]) -> faces.Detections:
    """What either class has found, "xyxy", as ours."""
    landmarks = [[face["keypoints"][name] for name in NAMES] for face in found]
    return faces.Detections(
        np.array([face["box"] for face in found], np.float32).reshape(-1, 4),
        np.array([face["confidence"] for face in found], np.float32),
        np.array(landmarks, np.float32).reshape(-1, 5, 2),
    )


def compare(theirs: faces.Detections, ours: faces.Detections) -> str:
    """How many faces each has found, and how near the faces lie that overlap most."""
    ious = boxes.iou(theirs.boxes, ours.boxes)
    nearest = ours[np.argmax(ious, axis=1)]
    eyes = np.linalg.norm(theirs.landmarks[:, 1] - theirs.landmarks[:, 0], axis=1)
    apart = np.linalg.norm(nearest.landmarks - theirs.landmarks, axis=2).mean(axis=1) / eyes
    counts = f"{len(theirs)} faces found by mtcnn, {len(ours)} by mtcnn_tf"
    return f"{counts}; IoU {ious.max(axis=1).mean():.2f}, points {apart.mean():.0%} of the eyes' distance apart"


def tile(image: np.ndarray, found: faces.Detections) -> np.ndarray:
    """The image, shrunk to a tile of white, with boxes and eyes of what was found."""
    scale = min(TILE[0] / image.shape[1], TILE[1] / image.shape[0])
    width, height = (round(side * scale) for side in image.shape[1::-1])
    drawn = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    for face in found:
        x1, y1, x2, y2 = (round(float(edge) * scale) for edge in face.box)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), drawing.BOX_COLOUR, 2)
        for x, y in face.landmarks[:2] * scale:
            cv2.circle(drawn, (round(float(x)), round(float(y))), 1, drawing.POINT_COLOURS[2], cv2.FILLED)
    framed = np.full((TILE[1] + GAP, TILE[0] + GAP, 3), 255, np.uint8)
    left, top = (TILE[0] - width) // 2, (TILE[1] - height) // 2
    framed[top : top + height, left : left + width] = drawn
    return framed


def main():
    """Searches, prints and draws."""
    given = images()
    halves = []
    for detector in (mtcnn.MTCNN(), ours.MTCNN()):
        halves.append([detections(detector.detect_faces(image, box_format="xyxy")) for image in given])
    for theirs, found in zip(*halves, strict=True):
        print(compare(theirs, found))
    columns = []
    for half in halves:
        tiles = [tile(image, found) for image, found in zip(given, half, strict=True)]
        columns += [np.vstack(tiles[:4]), np.vstack(tiles[4:])]
    columns.insert(2, np.full((len(columns[0]), 4 * GAP, 3), 255, np.uint8))
    pathlib.Path(PATH).write_bytes(image_files.encode_jpeg(np.hstack(columns), 85))


if __name__ == "__main__":
    main()
