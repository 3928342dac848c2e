"""The detector of `portable` as a file for LiteRT or ONNX Runtime."""

import os
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tqdm

from mtcnn_tf import files, runtimes
from mtcnn_tf.detection import exporting, portable
from mtcnn_tf.models import quantization

PRECISIONS = ("float32", "float16", "int8")
"""Of a LiteRT model's weights. With float16 it computes in float32, with int8 its networks compute in integers."""
_OPSET = 18
"""Of ONNX: ONNX Runtime has it since 1.14."""
_PIXELS = 0.5
"""Farthest that a box or point of a converted detector may lie from the Python model's, and a score."""
_SCORE = 0.01


def litert(detector: portable.Portable, precision: str = "float32", images: Iterable[np.ndarray] = ()) -> bytes:
    """The contents of a .tflite file, of LiteRT's own operations alone.

    Its signature `serving_default` takes and returns what the detector does.

    Args:
        detector: What is converted.
        precision: One of `PRECISIONS`. For int8 the `detector` is changed to compute in such numbers, too.
        images: For int8, images of its size with faces, uint8 [H, W, 3], on which the ranges of values are observed.

    Raises:
        ValueError: There are no such images for int8.
    """
    if precision == "int8":
        _quantize(detector, images)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([detector.detect.get_concrete_function()], detector)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _quantize(detector: portable.Portable, images: Iterable[np.ndarray]) -> None:
    observed = [(network, quantization.observe(network)) for network in detector.networks]
    for image in tqdm.tqdm(images, desc="observing", unit=" images", disable=None, leave=False):
        detector(tf.constant(image))
    for network, steps in observed:
        quantization.round_to(network, steps)
    detector.trace()


def onnx(detector: portable.Portable) -> bytes:
    """The contents of an .onnx file: one input, `image`, and the outputs that the detector has.

    Raises:
        ModuleNotFoundError: tf2onnx is not installed.
    """
    try:
        import tf2onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("expected tf2onnx to write ONNX, found none; pip install mtcnn_tf[onnx]") from error
    model, _ = tf2onnx.convert.from_function(
        detector.detect, input_signature=detector.detect.input_signature, opset=_OPSET
    )
    return model.SerializeToString()


def write(contents: bytes, path: str | os.PathLike, detector: portable.Portable, is_exact: bool = True) -> None:
    """Writes a file of `litert` or `onnx` when it has been checked: whole, or not at all.

    Args:
        contents: What the file holds.
        path: Ends in .tflite or .onnx.
        detector: What it must agree with, on images of noise and of waves.
        is_exact: Whether its numbers are float32. Otherwise its faces may be others, and only their form is looked at.

    Raises:
        ValueError: It finds something else than the detector.
        OSError: It could not be written.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with files.atomic_write(path) as partial:
        partial.write_bytes(contents)
        run = runtimes.open_model(partial, os.path.splitext(path)[1])
        for image in _check_images(detector.image_size):
            wanted = {name: x.numpy() for name, x in detector.detect(tf.constant(image)).items()}
            _compare(run(image), wanted, path, is_exact)


def _check_images(image_size: tuple[int, int]) -> list[np.ndarray]:
    height, width = image_size
    images = exporting.check_images()
    return [np.tile(image, (-(-height // 80), -(-width // 104), 1))[:height, :width] for image in images]


def _compare(found: dict, wanted: dict, path: str | os.PathLike, is_exact: bool) -> None:
    for name, values in wanted.items():
        if found[name].shape != values.shape or not np.isfinite(found[name]).all():
            raise ValueError(
                f"the model for {os.fspath(path)} gives other {name} {found[name].shape} than the Python model "
                f"{values.shape}; report this"
            )
        difference = np.max(np.abs(found[name] - values), initial=0)
        if is_exact and difference > (_SCORE if name == "scores" else _PIXELS):
            raise ValueError(
                f"the model for {os.fspath(path)} differs from the Python model in {name} by {difference:.2g}; "
                "report this"
            )
