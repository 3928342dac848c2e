"""What `mtcnn_tf.load` is: the one door to all detectors."""

import os
from typing import TYPE_CHECKING, Literal, overload

from mtcnn_tf import runtimes

if TYPE_CHECKING:
    from mtcnn_tf.detection import detector


@overload
def load(path: Literal["default", "classic"] = ...) -> "detector.Detector": ...


@overload
def load(path: str | os.PathLike) -> "detector.Detector | runtimes.FixedSizeDetector": ...


def load(path: str | os.PathLike = "default") -> "detector.Detector | runtimes.FixedSizeDetector":
    """The detector at `path`.

    Args:
        path: "default" or "classic", the weights that come with the package: RPN and O-Net, or the paper's P-, R- and
            O-Net. Or a folder that `export.py` wrote to, or one in which networks were trained, see `detector.load`.
            Or a file of `export.py --format=litert` or `onnx`, which runs without TensorFlow, see `runtimes`.

    Raises:
        FileNotFoundError: There is no detector at `path`, or the package was installed without its weights.
        ValueError: What lies there is no detector, or its parts don't belong together.
        ModuleNotFoundError: The runtime of the file is not installed.
    """
    if isinstance(path, str | os.PathLike) and os.fspath(path).endswith(runtimes.ENDINGS):
        return runtimes.FixedSizeDetector(path)
    from mtcnn_tf.detection import detector  # slow, and needs TensorFlow

    return detector.load(path)
