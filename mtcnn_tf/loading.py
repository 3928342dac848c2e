"""What `mtcnn_tf.load` is: the one door to all detectors."""

import os
from typing import TYPE_CHECKING, Literal, overload

from mtcnn_tf import arguments, runtimes

if TYPE_CHECKING:
    from mtcnn_tf.detection import detector


@overload
def load(path: Literal["default", "classic"] = ..., precision: str = ...) -> "detector.Detector": ...


@overload
def load(path: str | os.PathLike, precision: str = ...) -> "detector.Detector | runtimes.FixedSizeDetector": ...


def load(
    path: str | os.PathLike = "default", precision: str = "float32"
) -> "detector.Detector | runtimes.FixedSizeDetector":
    """The detector at `path`.

    Args:
        path: "default" or "classic", the weights that come with the package: RPN and O-Net, or the paper's P-, R- and
            O-Net. Or a folder that `export.py` wrote to, or one in which networks were trained, see `detector.load`.
            Or a file of `export.py --format=litert` or `onnx`, which runs without TensorFlow, see `runtimes`.
        precision: What networks compute in: "float32", or "bfloat16", faster where the processor has instructions for
            it (AVX512-BF16 or AMX) and slower elsewhere. Exports and files were written with their own.

    Raises:
        FileNotFoundError: There is no detector at `path`, or the package was installed without its weights.
        ValueError: What lies there is no detector, or its parts don't belong together; `precision` is another, or
            not for what lies there.
        ModuleNotFoundError: The runtime of the file is not installed.
    """
    if isinstance(path, str | os.PathLike) and os.fspath(path).endswith(runtimes.ENDINGS):
        if precision != "float32":
            raise ValueError(
                f"expected networks to compute in {arguments.shown(precision)}, got the file {os.fspath(path)!r}, "
                "which was written with its own precision; leave it out, or see export.py --precision"
            )
        return runtimes.FixedSizeDetector(path)
    from mtcnn_tf.detection import detector  # slow, and needs TensorFlow

    return detector.load(path, precision)
