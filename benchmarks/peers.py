"""Other detectors behind the interface that `mtcnn-evaluate --detector=benchmarks.peers:yunet` takes.

YuNet comes as a file for OpenCV (`face_detection_yunet` in its model zoo); the environment variable YUNET names it.
"""

import functools
import os

import cv2
import numpy as np

from mtcnn_tf import faces

# Settings of the published evaluation of YuNet on WIDER FACE.
_MIN_SCORE, _MAX_IOU, _MAX_WINDOWS = 0.02, 0.45, 5000


@functools.cache
def _load_yunet() -> cv2.FaceDetectorYN:
    path = os.environ.get("YUNET", "")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"expected YuNet's .onnx file where the environment's YUNET says, got {path!r}; set it")
    return cv2.FaceDetectorYN.create(path, "", (320, 320), _MIN_SCORE, _MAX_IOU, _MAX_WINDOWS)


def yunet(image: np.ndarray) -> faces.Detections:
    """What YuNet finds in RGB pixels, uint8 [H, W, 3]."""
    network = _load_yunet()
    network.setInputSize((image.shape[1], image.shape[0]))
    found = network.detect(image[..., ::-1].copy())[1]  # x, y, width, height, five x, y, score; None where nothing
    found = np.zeros((0, 15), np.float32) if found is None else found
    boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
    return faces.Detections(boxes, found[:, 14], found[:, 4:14].reshape(-1, 5, 2))
