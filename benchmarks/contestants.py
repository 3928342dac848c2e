"""The detectors that `benchmarks.detector` compares: ours in its two forms, and peers, each as it comes.

A contestant runs in a process of its own, so that neither its threads nor its memory are another's.
"""

import concurrent.futures
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks import stage_times

MIN_FACE_SIZE = 20
_PAUSE = 0.1
"""Seconds before a detector is timed, in which the threads of the one before it go to sleep."""

Find = Callable[[np.ndarray], object]
"""Looks for faces in an image, uint8 [H, W, 3]: RGB, for YuNet BGR."""


def ours(precision: str = "float32") -> Find:
    """The detector that ships, called from Python."""
    import mtcnn_tf

    find_faces = mtcnn_tf.load(precision=precision)
    return lambda image: find_faces(image, min_face_size=MIN_FACE_SIZE)


def bfloat16() -> Find:
    """The same, computing in bfloat16: of use on processors with instructions for it."""
    return ours("bfloat16")


def exported() -> Find:
    """The first, exported and loaded again: its signature `detect`."""
    import tensorflow as tf

    import mtcnn_tf
    from mtcnn_tf.detection import exporting

    shipped = mtcnn_tf.load()
    with tempfile.TemporaryDirectory() as export_dir:
        saved = tf.saved_model.load(exporting.save(shipped.cascade, export_dir))
    size, thresholds = tf.constant(float(MIN_FACE_SIZE)), tf.constant(shipped.thresholds)

    def find(image):
        found = saved.signatures["detect"](image=tf.constant(image), min_face_size=size, thresholds=thresholds)
        return {name: values.numpy() for name, values in found.items()}

    return find


def model_file(path: str) -> Find:
    """A file that export.py wrote for a runtime without TensorFlow, with two threads."""
    from mtcnn_tf import runtimes

    return runtimes.FixedSizeDetector(path, num_threads=2)


def mtcnn() -> Find:
    """`mtcnn` from PyPI, on TensorFlow."""
    from mtcnn import MTCNN

    find_faces = MTCNN(device="CPU:0")
    return lambda image: find_faces.detect_faces(image, min_face_size=MIN_FACE_SIZE)


def yunet() -> Find:
    """OpenCV's YuNet with OpenCV's settings, on images as large as they are; the environment's YUNET is its file."""
    path = os.environ.get("YUNET", "")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"the environment's YUNET names no .onnx file, but {path!r}")
    network = cv2.FaceDetectorYN.create(path, "", (320, 320))

    def find(image):
        network.setInputSize((image.shape[1], image.shape[0]))
        return network.detect(image)

    return find


class Contestant:
    """A detector in a process of its own.

    Raises:
        ImportError, FileNotFoundError: It is not here.
    """

    def __init__(self, load: Callable[[], Find], name: str | None = None):
        self.name = name or load.__name__
        self._process = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            self._process.submit(_start, load).result()
        except BaseException:
            self.stop()
            raise

    def milliseconds(self, image: np.ndarray) -> float:
        """How long it takes for RGB pixels, uint8 [H, W, 3]."""
        return self._process.submit(_time, image if self.name != "yunet" else image[..., ::-1].copy()).result()

    def stage_fractions(self, images: list[np.ndarray]) -> dict[str, float]:
        """Fraction of the computing that each step of our cascade takes; adds up to 1."""
        return self._process.submit(_stage_fractions, images).result()

    def peak_megabytes(self) -> float:
        """The most memory that its process has held so far, with all libraries."""
        return self._process.submit(_peak_megabytes).result()

    def stop(self) -> None:
        """Ends the process."""
        self._process.shutdown()


_find: Find


def _start(load: Callable[[], Find]) -> None:
    global _find
    _find = load()


def _time(image: np.ndarray) -> float:
    time.sleep(_PAUSE)
    start = time.perf_counter()
    _find(image)
    return (time.perf_counter() - start) * 1000


def _stage_fractions(images: list[np.ndarray]) -> dict[str, float]:
    return stage_times.fractions(lambda: [_find(image) for image in images])


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
