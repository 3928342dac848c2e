"""Exports trained networks.

    python export.py --networks=networks --out_dir=exported

Writes SavedModels in the layout TensorFlow Serving expects: out_dir/{pnet,rnet,onet,cascade}/N (or rpn for pnet), N
one above the highest version there. Each is loaded back and compared with the Python model before it gets its number;
where they differ that model is not written, and the exit status is 1.

`--from_npy=DIR` in place of `--networks` takes the networks that the method's authors trained, from the det1.npy,
det2.npy and det3.npy that the facenet project passes on.
"""

import sys
from collections.abc import Sequence

from absl import flags, logging

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from mtcnn_tf import programs, stages
from mtcnn_tf.detection import cascade, exporting, stored_calibration
from mtcnn_tf.images import image_files
from mtcnn_tf.models import original_weights

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_NETWORKS = flags.DEFINE_string(
    "networks",
    None,
    "Folder with the networks: rpn.keras or pnet.keras, rnet.keras (behind rpn.keras it may be missing), onet.keras.",
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
flags.mark_flags_as_mutual_exclusive(["networks", "from_npy"], required=True, flag_values=FLAGS)


def _run() -> None:
    """Exports the networks and the cascade."""
    logging.set_verbosity(logging.WARNING)  # TensorFlow tells at length what it writes
    try:
        programs.check_local(_OUT_DIR)
        thresholds, first_weight = programs.parse_thresholds(_THRESHOLDS.value), 0.0
        if _NETWORKS.value is not None:
            models = cascade.load_networks(_NETWORKS.value)
            if chosen := stored_calibration.read(_NETWORKS.value):
                thresholds, first_weight = thresholds or chosen.thresholds, chosen.first_weight
        else:
            assert _FROM_NPY.value is not None  # absl sees to it that one of the two is given
            models = original_weights.load(_FROM_NPY.value)
        for path in exporting.export(models, _OUT_DIR.value, thresholds, _MAX_PIXELS.value, first_weight):
            print(f"wrote {path}")
    except (OSError, ValueError) as error:
        sys.exit(f"export.py: {error}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
