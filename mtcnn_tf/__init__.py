"""mtcnn_tf: the MTCNN face detector and aligner, trained, measured and served with TensorFlow 2 and Keras 3.

`load` returns a detector, a function from an image to `Detections`:

    import mtcnn_tf

    detector = mtcnn_tf.load()
    detections = detector("photo.jpg")  # or RGB pixels, uint8 [H, W, 3]
    detections.boxes, detections.scores, detections.landmarks
    aligned = mtcnn_tf.align("photo.jpg", detections)  # [N, 112, 112, 3]

Importing the package alone is light: TensorFlow is loaded together with the detector.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # of what `__getattr__` loads when it is asked for, type checkers and editors see the types
    from mtcnn_tf.faces import Detections, Face
    from mtcnn_tf.images.alignment import align, crop
    from mtcnn_tf.loading import load

__version__ = "0.2.0"
__all__ = ["Detections", "Face", "align", "crop", "load"]

_HOMES = {
    "Detections": "mtcnn_tf.faces",
    "Face": "mtcnn_tf.faces",
    "align": "mtcnn_tf.images.alignment",
    "crop": "mtcnn_tf.images.alignment",
    "load": "mtcnn_tf.loading",
}


# TensorFlow, which is loaded after this, leaves oneDNN off on processors without AVX-512's neural network instructions.
# There it makes detection and training faster, too (benchmarks/README.md).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
