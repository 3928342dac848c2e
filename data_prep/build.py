"""Builds the training records of one stage from annotated images.

    python -m data_prep.build --stage=pnet --dataset=wider_face:DIR --dataset=points:DIR --out_dir=records
    python -m data_prep.build --stage=rnet --dataset=… --out_dir=records --networks=networks
    python -m data_prep.build --stage=rpn --dataset=… --out_dir=records

DIR, records and networks may be folders or addresses that `tf.io.gfile` opens, such as gs://BUCKET/NAME.

P-Net's boxes are drawn by chance. Once it is trained it may learn from its own mistakes, too: give --networks and
another --out_dir.

The RPN learns from windows of whole images, which the training cuts anew in every step: its records hold images.
The other stages may learn in the same way, from images with what the networks so far propose: --crops=on_the_fly.

A build that was stopped goes on where it stopped when the same command is given again. Given again after its end, the
command builds those records again that were damaged since, which their SHA-256 tells.
"""

import functools
import os
import sys
from collections.abc import Sequence

from absl import app, flags

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from mtcnn_tf import datasets, landmark_sets, programs, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.records import manifests

from . import building, jobs, labels, recipes

_RECIPE = recipes.Recipe()

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_STAGE = flags.DEFINE_enum(
    "stage", None, list(stages.BY_NAME), "Whose training records to build.", required=True, flag_values=FLAGS
)
_DATASET = flags.DEFINE_multi_string(
    "dataset",
    None,
    f"NAME:DIR, repeatable; the training part of a data set in one of the formats {', '.join(datasets.NAMES)}.",
    required=True,
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "class_name", None, "voc, coco and yolo: the class to detect; by default all classes.", flag_values=FLAGS
)
_LANDMARKS = flags.DEFINE_string(
    "landmarks",
    "5",
    f"The points to learn: {', '.join(landmark_sets.NAMES)}, none, or a file that describes others, see the module "
    "`landmark_sets`. A face that a data set marks with other points is learnt without.",
    flag_values=FLAGS,
)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Records go to OUT_DIR/STAGE.", required=True, flag_values=FLAGS)
_NETWORKS = flags.DEFINE_string(
    "networks",
    None,
    "The folder of the networks trained so far, which propose boxes: with rpn.keras or pnet.keras. May be left out for "
    "pnet.",
    flag_values=FLAGS,
)
_RESTART = flags.DEFINE_bool("restart", False, "Throw away what OUT_DIR/STAGE holds and begin anew.", flag_values=FLAGS)
_NUM_WORKERS = flags.DEFINE_integer("num_workers", os.cpu_count() or 1, "Processes.", lower_bound=1, flag_values=FLAGS)
_RUNNER = flags.DEFINE_string(
    "runner",
    None,
    "Run on Apache Beam, and on which engine of it, such as DirectRunner or FlinkRunner: docs/scale.md.",
    flag_values=FLAGS,
)
_RUNNER_OPTIONS = flags.DEFINE_multi_string(
    "runner_option", [], "NAME=VALUE, repeatable: Beam's options.", flag_values=FLAGS
)
flags.DEFINE_integer("num_shards", 16, "Files for each kind of example.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "The same seed gives the same records.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_float(
    "validation_fraction", 0.05, "Fraction of the images held out.", lower_bound=0, upper_bound=0.9, flag_values=FLAGS
)
flags.DEFINE_integer("max_images", None, "Take so many images of each data set.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "max_pixels",
    image_files.MAX_PIXELS,
    "An image file of more pixels is stepped over.",
    lower_bound=1,
    flag_values=FLAGS,
)

flags.DEFINE_integer(
    "negatives", _RECIPE.negatives, "pnet: random negatives an image.", lower_bound=0, flag_values=FLAGS
)
flags.DEFINE_integer(
    "negatives_near_face",
    _RECIPE.negatives_near_face,
    "pnet: squares tried near each face.",
    lower_bound=0,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "max_mined_negatives",
    _RECIPE.max_mined_negatives,
    "Background proposals of the networks kept an image.",
    lower_bound=0,
    flag_values=FLAGS,
)
_TRIALS_PER_FACE = flags.DEFINE_integer(
    "trials_per_face",
    None,
    "Jittered squares a face; by default 20 for pnet, 5 for rnet and onet.",
    lower_bound=0,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "landmark_trials_per_face",
    _RECIPE.landmark_trials_per_face,
    "Jittered landmark crops a face.",
    lower_bound=0,
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "min_scale",
    _RECIPE.min_scale,
    "Shortest jittered side over the face's shorter side.",
    lower_bound=0.1,
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "max_scale",
    _RECIPE.max_scale,
    "Longest jittered side over the face's longer side.",
    lower_bound=0.1,
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "max_shift", _RECIPE.max_shift, "Farthest shift over the face's side.", lower_bound=0, flag_values=FLAGS
)
flags.DEFINE_float(
    "max_rotation",
    _RECIPE.max_rotation,
    "Jittered squares and half of the negatives: largest rotation in degrees.",
    lower_bound=0,
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "positive_iou", _RECIPE.rules.positive_iou, "From this IoU on a square is a face.", 0, 1, flag_values=FLAGS
)
flags.DEFINE_float(
    "part_iou", _RECIPE.rules.part_iou, "From this IoU on a square is part of a face.", 0, 1, flag_values=FLAGS
)
flags.DEFINE_float(
    "negative_iou",
    _RECIPE.rules.negative_iou,
    "Below this IoU with every face a square is background.",
    0,
    1,
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "overlap",
    _RECIPE.rules.overlap,
    labels.OVERLAPS,
    "What of a face a square is compared with: the square round it, or its box.",
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "min_face_size",
    _RECIPE.rules.min_face_size,
    "Faces with a shorter side in pixels give no positives; whole images keep them.",
    lower_bound=1,
    flag_values=FLAGS,
)

_MARGIN = flags.DEFINE_float(
    "margin",
    _RECIPE.margin,
    "rnet and onet: a crop shows so many times the square that it tells of.",
    lower_bound=1,
    upper_bound=4,
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "scale_boxes",
    False,
    "Scale boxes whose annotation states another size than the image has but the same proportions, in place of "
    "leaving the image out.",
    flag_values=FLAGS,
)

_THRESHOLDS = flags.DEFINE_list(
    "thresholds",
    None,
    "Score thresholds, one of each network so far, instead of those found by recall.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "calibration_images", 200, "Images on which thresholds are found by recall.", lower_bound=1, flag_values=FLAGS
)
_CROPS = flags.DEFINE_enum(
    "crops",
    "in_records",
    ["in_records", "on_the_fly"],
    "pnet, rnet, onet: record crops, or whole images with proposals of which the training cuts crops anew in every "
    "step.",
    flag_values=FLAGS,
)
_LONGEST_SIDE = flags.DEFINE_integer(
    "longest_side", None, "Whole images: larger ones are shrunk to so many pixels.", lower_bound=32, flag_values=FLAGS
)


_OF_CROPS = ("negatives", "negatives_near_face", "max_mined_negatives", "trials_per_face", "landmark_trials_per_face")
"""Flags that count the crops of an image; of whole images the training cuts as many as it wants."""


def recipe() -> recipes.Recipe:
    """The recipe that the flags describe."""
    trials = _TRIALS_PER_FACE.value
    if trials is None:
        trials = 20 if stages.BY_NAME[_STAGE.value] in stages.FIRST else 5
    rules = programs.from_flags(labels.Rules, FLAGS)
    landmark_set = landmark_sets.FIVE if _LANDMARKS.value == "none" else landmark_sets.named(_LANDMARKS.value)
    return programs.from_flags(recipes.Recipe, FLAGS, trials_per_face=trials, rules=rules, landmark_set=landmark_set)


def _run() -> None:
    """Checks the flags, builds, and says what came of it."""
    try:
        _check_flags()
        manifest = building.build(_config(), _OUT_DIR.value, _NUM_WORKERS.value, _RESTART.value, run=_runner())
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        sys.exit(f"build: {error}")
    _summarize(manifest)


def _check_flags() -> None:
    """Raises UsageError where flags don't go together."""
    is_first, mines = stages.BY_NAME[_STAGE.value] in stages.FIRST, _NETWORKS.value is not None
    if not (is_first or mines):
        raise app.UsageError(f"--stage={_STAGE.value} needs --networks, the folder of the networks trained so far")
    if _STAGE.value == stages.RPN.name and mines:
        raise app.UsageError("--stage=rpn takes no --networks: the RPN learns from all of an image, not from proposals")
    if is_first and _MARGIN.value != 1:
        raise app.UsageError(f"--margin is for rnet and onet, got --stage={_STAGE.value}")
    if _STAGE.value == stages.RPN.name and _CROPS.value == "on_the_fly":
        raise app.UsageError("--crops=on_the_fly is for pnet, rnet and onet, got --stage=rpn")
    if _LONGEST_SIDE.value is not None and _config().kind_of_records == manifests.CROPS:
        raise app.UsageError("--longest_side is for whole images: --stage=rpn or --crops=on_the_fly")
    idle = [f"--{name}" for name in _OF_CROPS if FLAGS[name].present]
    if idle and _config().kind_of_records == manifests.IMAGES:
        raise app.UsageError(f"{', '.join(idle)}: only for crops in records; leave out what the training decides")


def _config() -> recipes.Config:
    datasets = tuple(_DATASET.value)
    landmarks = _LANDMARKS.value != "none"
    others = {"recipe": recipe(), "thresholds": _thresholds(), "landmarks": landmarks}
    return programs.from_flags(recipes.Config, FLAGS, datasets=datasets, **others)


def _thresholds() -> tuple[float, ...] | None:
    if _THRESHOLDS.value is None:
        return None
    try:
        return tuple(map(float, _THRESHOLDS.value))
    except ValueError:
        raise ValueError(f"--thresholds takes numbers, such as 0.3,0.2, got {','.join(_THRESHOLDS.value)!r}") from None


def _runner() -> jobs.Run | None:
    """What runs the jobs where that isn't this machine's processes."""
    if _RUNNER.value is None:
        return None
    try:
        from . import distributed
    except ImportError as error:
        raise ValueError(f"--runner needs Apache Beam ({error}); pip install -r requirements-beam.txt") from error
    options = _RUNNER_OPTIONS.value
    if _RUNNER.value == "DirectRunner":
        options = [f"direct_num_workers={_NUM_WORKERS.value}", "direct_running_mode=multi_processing", *options]
    return functools.partial(distributed.run, runner=_RUNNER.value, options=options)


def _summarize(manifest: dict) -> None:
    for stage in (manifest["mining"] or {}).get("calibration", ()):
        print(
            f"{stage['stage']}: threshold {stage['threshold']:.4f} keeps {stage['recall']:.1%} of the faces, "
            f"{stage['proposals']:.0f} proposals an image"
        )
    for split in manifests.SPLITS:
        counts = ", ".join(f"{count:,} {name}" for name, count in manifest["examples"][split].items())
        print(f"{split}: {manifest['images'][split]:,} images gave {counts}")
    if manifest["problems"]:
        what = ", ".join(f"{count:,} × {name}" for name, count in manifest["problems"].items())
        print(f"stepped over: {what}; listed in {os.path.join(_OUT_DIR.value, _STAGE.value, building.PROBLEMS)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
