"""Exports trained networks.

    python export.py --networks=networks --out_dir=exported

Writes SavedModels in the layout TensorFlow Serving expects: out_dir/{pnet,rnet,onet,cascade}/N (or rpn for pnet), N
one above the highest version there. Each is loaded back and compared with the Python model before it gets its number;
where they differ that model is not written, and the exit status is 1.

    python export.py --networks=default --format=litert,onnx --image_size=480x640
    python export.py --networks=default --format=litert --precision=int8 --calibrate=images

Writes the detector behind an RPN as one file for images of one size, for machines without TensorFlow:
out_dir/detector_480x640_float32.tflite and out_dir/detector_480x640.onnx, checked in the same way.

`--from_npy=DIR` in place of `--networks` takes the networks that the method's authors trained, from the det1.npy,
det2.npy and det3.npy that the facenet project passes on.
"""

import os
import sys
from collections.abc import Sequence

from absl import flags, logging

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from mtcnn_tf import programs, runtimes, stages
from mtcnn_tf.datasets import folder
from mtcnn_tf.detection import cascade, conversion, exporting, final_scores, portable, shipped, stored_calibration
from mtcnn_tf.images import image_files
from mtcnn_tf.models import inference, original_weights

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

PRECISIONS = {"litert": conversion.PRECISIONS, "saved_model": inference.PRECISIONS, "onnx": ("float32",)}
"""What each format may be written in. Where several are, the first of them says what is allowed, and the others are
float32 if they can't be as it wants."""
_CALIBRATION_IMAGES = 100

_NETWORKS = flags.DEFINE_string(
    "networks",
    None,
    "Folder with the networks: rpn.keras or pnet.keras, rnet.keras (behind rpn.keras it may be missing), onet.keras. "
    "Or default or classic, the weights that ship.",
    flag_values=FLAGS,
)
_FROM_NPY = flags.DEFINE_string(
    "from_npy", None, "Folder with the authors' det1.npy, det2.npy and det3.npy.", flag_values=FLAGS
)
_OUT_DIR = flags.DEFINE_string("out_dir", "exported", "Folder for the SavedModels.", flag_values=FLAGS)
_THRESHOLDS = flags.DEFINE_list(
    "thresholds",
    None,
    "Scores to exceed after each network; stored with the cascade as its defaults. [those that mtcnn-calibrate kept in "
    f"--networks; {', '.join(f'{stage.name} {stage.threshold}' for stage in stages.ALL)} where it did not]",
    flag_values=FLAGS,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    image_files.MAX_PIXELS,
    "The served cascade decodes no image file of more pixels.",
    lower_bound=1,
    flag_values=FLAGS,
)
_FORMAT = flags.DEFINE_list(
    "format", ["saved_model"], f"What is written: any of {', '.join(PRECISIONS)}.", flag_values=FLAGS
)
_IMAGE_SIZE = flags.DEFINE_string(
    "image_size", "480x640", "litert and onnx: height and width of the images, in pixels.", flag_values=FLAGS
)
_CALIBRATE = flags.DEFINE_string(
    "calibrate",
    None,
    "int8: folder of images with faces, on which the ranges of the numbers in the networks are observed.",
    flag_values=FLAGS,
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    list(dict.fromkeys([*inference.PRECISIONS, *conversion.PRECISIONS])),
    "litert: what the weights are kept in, float32, float16 or int8. saved_model: with bfloat16 it computes in that, "
    "which is faster where the processor has instructions for it and slower elsewhere.",
    flag_values=FLAGS,
)
_MAX_FACES = flags.DEFINE_integer(
    "max_faces", 50, "litert and onnx: so many faces at most are found.", lower_bound=1, flag_values=FLAGS
)
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size",
    cascade.MIN_FACE_SIZE,
    "litert and onnx: side of the smallest face looked for, in pixels.",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.mark_flags_as_mutual_exclusive(["networks", "from_npy"], required=True, flag_values=FLAGS)


def _run() -> None:
    """Exports the networks and the cascade."""
    logging.set_verbosity(logging.WARNING)  # TensorFlow tells at length what it writes
    try:
        programs.check_local(_OUT_DIR)
        _check_format()
        thresholds, score_weights = programs.parse_thresholds(_THRESHOLDS.value), final_scores.NOT_CALIBRATED
        if _NETWORKS.value is not None:
            networks_dir = shipped.folder(_NETWORKS.value)
            models = cascade.load_networks(networks_dir)
            if chosen := stored_calibration.read(networks_dir):
                thresholds, score_weights = thresholds or chosen.thresholds, chosen.score_weights
        else:
            assert _FROM_NPY.value is not None  # absl sees to it that one of the two is given
            models = original_weights.load(_FROM_NPY.value)
        if "saved_model" in _FORMAT.value:
            precision = _PRECISION.value if _PRECISION.value in inference.PRECISIONS else inference.PRECISIONS[0]
            max_pixels = _MAX_PIXELS.value
            for path in exporting.export(models, _OUT_DIR.value, thresholds, max_pixels, score_weights, precision):
                print(f"wrote {path}")
        if set(_FORMAT.value) - {"saved_model"}:
            _convert(models, thresholds, score_weights)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"export.py: {error}")


def _check_format() -> None:
    """Raises ValueError, before anything is written, where a format is unknown or can't have the precision."""
    others = [name for name in _FORMAT.value if name not in PRECISIONS]
    if others or not _FORMAT.value:
        raise ValueError(f"--format takes any of {', '.join(PRECISIONS)}, got {','.join(_FORMAT.value)!r}")
    demanding = next(name for name in PRECISIONS if name in _FORMAT.value)
    if _PRECISION.value not in PRECISIONS[demanding]:
        wanted = ", ".join(PRECISIONS[demanding])
        raise ValueError(f"--format={demanding} takes --precision of {wanted}, got {_PRECISION.value}; give it another")


def _convert(models: dict, thresholds: tuple[float, ...] | None, score_weights: final_scores.ScoreWeights) -> None:
    """Writes the detector for runtimes that are not TensorFlow."""
    height, width = _image_size(_IMAGE_SIZE.value)
    whole = portable.Portable(
        models, (height, width), thresholds, score_weights, _MIN_FACE_SIZE.value, _MAX_FACES.value
    )
    named = os.path.join(_OUT_DIR.value, f"detector_{height}x{width}")
    if "onnx" in _FORMAT.value:
        path = f"{named}.onnx"
        conversion.write(conversion.onnx(whole), path, whole)
        print(f"wrote {path}")
    if "litert" in _FORMAT.value:
        path, precision = f"{named}_{_PRECISION.value}.tflite", _PRECISION.value
        images = _calibration_images((height, width)) if precision == "int8" else []
        conversion.write(conversion.litert(whole, precision, images), path, whole, precision == "float32")
        print(f"wrote {path}")


def _calibration_images(size: tuple[int, int]) -> list:
    """Images of `size` to observe the networks on."""
    if _CALIBRATE.value is None:
        raise ValueError("--precision=int8 needs images with faces to observe the networks on; give --calibrate=DIR")
    paths = [annotation.image_path for annotation in folder.read(_CALIBRATE.value)[0]]
    if not paths:
        raise ValueError(f"expected images in --calibrate={_CALIBRATE.value}, found none; give another folder")
    chosen = paths[:: -(-len(paths) // _CALIBRATION_IMAGES)]
    return [runtimes.fitted(image_files.read(path), size)[0] for path in chosen]


def _image_size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ValueError(f"--image_size takes HEIGHTxWIDTH in pixels, such as 480x640, got {text!r}")
    return int(height), int(width)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
