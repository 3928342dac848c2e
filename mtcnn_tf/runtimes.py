"""Detectors that run without TensorFlow: files of `export.py --format=litert` or `onnx` in their runtimes.

Such a file finds faces in images of one size. A `FixedSizeDetector` takes images of any size, and gives what
`detector.Detector` gives.
"""

import os
import threading

import cv2
import numpy as np

from mtcnn_tf import arguments, faces
from mtcnn_tf.images import image_files

ENDINGS = (".tflite", ".onnx")


class FixedSizeDetector:
    """Finds faces in images of any size with a model for one size.

    An image is made as large as fits, with its proportions kept, black pixels to the right or below, and never
    enlarged; what is found is told in pixels of the image that was given.

    Attributes:
        image_size: Height and width that the model takes.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int | None = None):
        """Opens the model.

        Args:
            path: Ends in .tflite or .onnx.
            num_threads: For its computing; by default as many as there are cores.

        Raises:
            FileNotFoundError: There is no file at `path`.
            ValueError: It holds something else.
            ModuleNotFoundError: Its runtime is not installed.
        """
        path = arguments.path("path", path, "the path of a .tflite or .onnx file")
        self._run = open_model(path, os.path.splitext(path)[1], num_threads)
        self.image_size = self._run.image_size

    def __call__(
        self, image: image_files.ImageLike, max_faces: int | None = None, color: str = "rgb"
    ) -> faces.Detections:
        """The faces in an image, best score first.

        Args:
            image: See `image_files.as_rgb`.
            max_faces: At most that many; the model itself has a limit, too.
            color: Order of an array's channels, "rgb" or "bgr".

        Raises:
            FileNotFoundError, ValueError: See `image_files.as_rgb`.
        """
        pixels = image_files.as_rgb(image, color)
        fitted_pixels, scale = fitted(pixels, self.image_size)
        found = self._run(fitted_pixels)
        count = int(found["num_faces"])
        if max_faces is not None:
            wanted = "None or a whole number from 0 on"
            count = min(count, arguments.whole_number("max_faces", max_faces, wanted, at_least=0))
        boxes, scores = found["boxes"][:count] / scale, found["scores"][:count]
        height, width = pixels.shape[:2]
        boxes = np.minimum(boxes, np.array([width, height, width, height], np.float32))
        points = found["landmarks"][:count] / scale if "landmarks" in found else faces.no_landmarks(count)
        shown = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)  # not those that lie in the black pixels alone
        return faces.Detections(boxes[shown], scores[shown], points[shown])


def fitted(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The image in the corner of a black one of `size` (height, width), and its scale there, at most 1.

    Args:
        image: uint8 [H, W, 3].
        size: What a model takes.
    """
    height, width = image.shape[:2]
    scale = min(1.0, size[0] / height, size[1] / width)
    whole = np.zeros((*size, 3), np.uint8)
    if scale < 1:
        rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
        image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    whole[: image.shape[0], : image.shape[1]] = image
    return whole, scale


def open_model(path: str | os.PathLike, ending: str, num_threads: int | None = None) -> "_LiteRt | _Onnx":
    """What runs the model at `path`, a file of the kind that `ending` tells.

    It takes an image of the model's `image_size`, uint8 [H, W, 3], and gives its outputs, see `portable.Portable`.

    Raises:
        FileNotFoundError, ValueError, ModuleNotFoundError: See `FixedSizeDetector`.
    """
    if ending not in ENDINGS:
        raise ValueError(f"expected a model that ends in {' or '.join(ENDINGS)}, got {os.fspath(path)!r}")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"expected a model at {os.fspath(path)!r}, found no file; export one with export.py")
    return (_LiteRt if ending == ".tflite" else _Onnx)(path, num_threads or os.cpu_count() or 1)


class _LiteRt:
    """A LiteRT model, whose interpreter does one thing at a time: calls of several threads wait for each other."""

    def __init__(self, path: str | os.PathLike, num_threads: int):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "expected ai-edge-litert to run a .tflite model, found none; pip install mtcnn_tf[litert]"
            ) from error
        try:
            self._interpreter = Interpreter(model_path=os.fspath(path), num_threads=num_threads)
            self._runner = self._interpreter.get_signature_runner("serving_default")
            height, width, _ = map(int, self._runner.get_input_details()["image"]["shape"])
        except (ValueError, KeyError, RuntimeError) as error:
            raise _other_model(path, error) from error
        self.image_size = (height, width)
        self._lock = threading.Lock()

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        _check_size(image, self.image_size)
        with self._lock:
            return self._runner(image=image)


class _Onnx:
    """An ONNX model."""

    def __init__(self, path: str | os.PathLike, num_threads: int):
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "expected onnxruntime to run an .onnx model, found none; pip install mtcnn_tf[onnx]"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=onnxruntime.get_available_providers()
            )
            (given,) = self._session.get_inputs()
            height, width, _ = map(int, given.shape)
        except Exception as error:  # which has a family of its own
            raise _other_model(path, error) from error
        self.image_size = (height, width)
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        _check_size(image, self.image_size)
        return dict(zip(self._names, self._session.run(None, {"image": image}), strict=True))


def _check_size(image: np.ndarray, size: tuple[int, int]) -> None:
    if image.shape != (*size, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"expected an image of {size[0]} × {size[1]} pixels for this model, uint8 [H, W, 3], got {image.dtype} "
            f"{list(image.shape)}; a FixedSizeDetector takes any size"
        )


def _other_model(path: str | os.PathLike, error: Exception) -> ValueError:
    return ValueError(
        f"expected a detector that export.py wrote in {os.fspath(path)!r}, got something else "
        f"({repr(error).splitlines()[0][:200]}); export it again"
    )
