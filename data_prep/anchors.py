"""Chooses the sizes of the RPN's anchors by the sizes of the faces in data sets: k-means with 1 − IoU as the distance.

    python -m data_prep.anchors --dataset=wider_face:DIR --out=anchors.json --plot=anchors.png

The plot shows the faces' sizes with the anchors, and the anchor overlap: how well a face of each size, at a place of
chance, is met by the anchors on their strides, by the default ones, and by the windows of P-Net.
"""

import sys
from collections.abc import Sequence

from absl import flags

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from mtcnn_tf import datasets, programs, stages
from mtcnn_tf.detection import cascade, first_stages
from mtcnn_tf.geometry import anchors

from . import anchor_plots

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_DATASET = flags.DEFINE_multi_string(
    "dataset", None, "NAME:DIR, repeatable, as in data_prep.build; its training part.", required=True, flag_values=FLAGS
)
_CLASS_NAME = flags.DEFINE_string(
    "class_name", None, "voc and coco: the class to detect; by default all classes.", flag_values=FLAGS
)
_NUM_ANCHORS = flags.DEFINE_integer(
    "num_anchors", anchors.NUM_ANCHORS, "How many sizes.", lower_bound=1, flag_values=FLAGS
)
_LONGEST_SIDE = flags.DEFINE_integer(
    "longest_side",
    None,
    "Measure faces in images shrunk to so many pixels, as in data_prep.build.",
    lower_bound=32,
    flag_values=FLAGS,
)
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size",
    stages.RPN.size,
    "Faces with a shorter longer side in pixels don't count.",
    lower_bound=1,
    flag_values=FLAGS,
)
_OUT = flags.DEFINE_string("out", None, "The anchors go to this JSON file.", required=True, flag_values=FLAGS)
_PLOT = flags.DEFINE_string("plot", None, "Draw a PNG.", flag_values=FLAGS)


def _run() -> None:
    """Chooses anchors, keeps them, and says how well they fit."""
    try:
        _choose()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError) as error:
        sys.exit(f"anchors: {error}")


def _choose() -> None:
    annotations = []
    for spec in _DATASET.value:
        annotations += datasets.read(spec, "train", _CLASS_NAME.value)[0]
    sides = anchor_plots.sides_of_faces(annotations, _LONGEST_SIDE.value)
    sides = sides[sides >= _MIN_FACE_SIZE.value]
    chosen, default = anchors.choose(sides, _NUM_ANCHORS.value), anchors.Anchors()
    anchors.write(_OUT.value, chosen)
    print(f"{len(sides):,} faces of at least {_MIN_FACE_SIZE.value:g} pixels")
    for name, of_name in (("chosen", chosen), ("default", default)):
        sizes = ", ".join(f"{size:g}" for size in of_name.sizes)
        print(f"{name:>7} anchors: mean IoU {anchor_plots.mean_iou(sides, of_name):.3f}, sides {sizes}")
    print(f"written to {_OUT.value}")
    if _PLOT.value is not None:
        size = cascade.MIN_FACE_SIZE
        windows = anchors.pyramid_grids(size, cascade.SCALE_FACTOR, first_stages.PNET_STRIDE, stages.PNET.size, 400)
        grids = {
            "RPN, chosen anchors": chosen.by_stride(),
            "RPN, default anchors": default.by_stride(),
            f"P-Net, smallest face {size:g}": windows,
        }
        anchor_plots.write(_PLOT.value, sides, chosen, grids)
        print(f"plotted in {_PLOT.value}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
