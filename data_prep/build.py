"""Builds the training records of one stage from annotated images.

    python -m data_prep.build --stage=pnet --dataset=wider_face:DIR --dataset=points:DIR --out_dir=records
    python -m data_prep.build --stage=rnet --dataset=… --out_dir=records --networks=networks
    python -m data_prep.build --stage=rpn --dataset=… --out_dir=records

DIR, records and networks may be folders or addresses that `tf.io.gfile` opens, such as gs://BUCKET/NAME.

P-Net's boxes are drawn by chance. Once it is trained it may learn from its own mistakes, too: give --networks and
another --out_dir.

The RPN learns from windows of whole images, which the training cuts anew in every step: its records hold images.
R-Net and O-Net may learn in the same way, from images with what the cascade proposes: --crops=on_the_fly.

A build that was stopped goes on where it stopped when the same command is given again. Given again after its end, the
command builds those records again that were damaged since, which their SHA-256 tells.
"""

import functools
import os
import sys

from absl import app, flags

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from data_prep import building, jobs, labels, recipes
from mtcnn_tf import datasets, programs, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.records import manifests

_STAGE = flags.DEFINE_enum("stage", None, list(stages.BY_NAME), "Whose training records to build.", required=True)
_DATASET = flags.DEFINE_multi_string(
    "dataset",
    None,
    f"NAME:DIR, repeatable; the training part of a data set in one of the formats {', '.join(datasets.NAMES)}.",
    required=True,
)
_CLASS_NAME = flags.DEFINE_string(
    "class_name", None, "voc, coco and yolo: the class to detect; by default all classes."
)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Records go to OUT_DIR/STAGE.", required=True)
_NETWORKS = flags.DEFINE_string(
    "networks",
    None,
    "The folder of the networks trained so far, which propose boxes: with rpn.keras or pnet.keras. May be left out for "
    "pnet.",
)
_RESTART = flags.DEFINE_bool("restart", False, "Throw away what OUT_DIR/STAGE holds and begin anew.")
_NUM_WORKERS = flags.DEFINE_integer("num_workers", os.cpu_count(), "Processes.", lower_bound=1)
_RUNNER = flags.DEFINE_string(
    "runner", None, "Run on Apache Beam, and on which engine of it, such as DirectRunner or FlinkRunner: docs/scale.md."
)
_RUNNER_OPTIONS = flags.DEFINE_multi_string("runner_option", [], "NAME=VALUE, repeatable: Beam's options.")
_NUM_SHARDS = flags.DEFINE_integer("num_shards", 16, "Files for each kind of example.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same records.", lower_bound=0)
_VALIDATION_FRACTION = flags.DEFINE_float(
    "validation_fraction", 0.05, "Fraction of the images held out.", lower_bound=0, upper_bound=0.9
)
_MAX_IMAGES = flags.DEFINE_integer("max_images", None, "Take so many images of each data set.", lower_bound=1)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels", image_files.MAX_PIXELS, "An image file of more pixels is stepped over.", lower_bound=1
)

_NEGATIVES = flags.DEFINE_integer("negatives", 50, "pnet: random negatives an image.", lower_bound=0)
_NEGATIVES_NEAR_FACE = flags.DEFINE_integer(
    "negatives_near_face", 5, "pnet: squares tried near each face.", lower_bound=0
)
_MAX_MINED_NEGATIVES = flags.DEFINE_integer(
    "max_mined_negatives", 60, "Background proposals of the networks kept an image.", lower_bound=0
)
_TRIALS_PER_FACE = flags.DEFINE_integer(
    "trials_per_face", None, "Jittered squares a face; by default 20 for pnet, 5 for rnet and onet.", lower_bound=0
)
_LANDMARK_TRIALS_PER_FACE = flags.DEFINE_integer(
    "landmark_trials_per_face", 20, "Jittered landmark crops a face.", lower_bound=0
)
_MIN_SCALE = flags.DEFINE_float(
    "min_scale", 0.8, "Shortest jittered side over the face's shorter side.", lower_bound=0.1
)
_MAX_SCALE = flags.DEFINE_float(
    "max_scale", 1.25, "Longest jittered side over the face's longer side.", lower_bound=0.1
)
_MAX_SHIFT = flags.DEFINE_float("max_shift", 0.2, "Farthest shift over the face's side.", lower_bound=0)
_MAX_ROTATION = flags.DEFINE_float("max_rotation", 5, "Jittered squares: largest rotation in degrees.", lower_bound=0)
_POSITIVE_IOU = flags.DEFINE_float("positive_iou", 0.65, "From this IoU on a square is a face.", 0, 1)
_PART_IOU = flags.DEFINE_float("part_iou", 0.4, "From this IoU on a square is part of a face.", 0, 1)
_NEGATIVE_IOU = flags.DEFINE_float("negative_iou", 0.3, "Below this IoU with every face a square is background.", 0, 1)
_OVERLAP = flags.DEFINE_enum(
    "overlap", "square", labels.OVERLAPS, "What of a face a square is compared with: the square round it, or its box."
)
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size",
    20,
    "Faces with a shorter side in pixels give no positives; whole images keep them.",
    lower_bound=1,
)

_MARGIN = flags.DEFINE_float(
    "margin", 1, "rnet and onet: a crop shows so many times the square that it tells of.", lower_bound=1, upper_bound=4
)
_SCALE_BOXES = flags.DEFINE_bool(
    "scale_boxes",
    False,
    "Scale boxes whose annotation states another size than the image has but the same proportions, in place of "
    "leaving the image out.",
)

_THRESHOLDS = flags.DEFINE_list(
    "thresholds", None, "Score thresholds, one of each network so far, instead of those found by recall."
)
_CALIBRATION_IMAGES = flags.DEFINE_integer(
    "calibration_images", 200, "Images on which thresholds are found by recall.", lower_bound=1
)
_CROPS = flags.DEFINE_enum(
    "crops",
    "in_records",
    ["in_records", "on_the_fly"],
    "rnet, onet: record crops, or whole images with proposals of which the training cuts crops anew in every step.",
)
_LONGEST_SIDE = flags.DEFINE_integer(
    "longest_side", None, "Whole images: larger ones are shrunk to so many pixels.", lower_bound=32
)


def recipe() -> recipes.Recipe:
    """The recipe that the flags describe."""
    trials = _TRIALS_PER_FACE.value
    if trials is None:
        trials = 20 if stages.BY_NAME[_STAGE.value] in stages.FIRST else 5
    return recipes.Recipe(
        negatives=_NEGATIVES.value,
        negatives_near_face=_NEGATIVES_NEAR_FACE.value,
        trials_per_face=trials,
        landmark_trials_per_face=_LANDMARK_TRIALS_PER_FACE.value,
        min_scale=_MIN_SCALE.value,
        max_scale=_MAX_SCALE.value,
        max_shift=_MAX_SHIFT.value,
        max_rotation=_MAX_ROTATION.value,
        max_mined_negatives=_MAX_MINED_NEGATIVES.value,
        scale_boxes=_SCALE_BOXES.value,
        margin=_MARGIN.value,
        rules=labels.Rules(
            _POSITIVE_IOU.value, _PART_IOU.value, _NEGATIVE_IOU.value, _MIN_FACE_SIZE.value, _OVERLAP.value
        ),
    )


def main(argv: list[str]) -> None:
    """Checks the flags, builds, and says what came of it."""
    if len(argv) > 1:
        raise app.UsageError(f"expected flags only, got {argv[1]!r}")
    _check_flags()
    try:
        manifest = building.build(_config(), _OUT_DIR.value, _NUM_WORKERS.value, _RESTART.value, run=_run())
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
    if is_first and _CROPS.value == "on_the_fly":
        raise app.UsageError(f"--crops=on_the_fly is for rnet and onet, got --stage={_STAGE.value}")
    if _LONGEST_SIDE.value is not None and _config().kind_of_records == manifests.CROPS:
        raise app.UsageError("--longest_side is for whole images: --stage=rpn or --crops=on_the_fly")


def _config() -> building.Config:
    return building.Config(
        stage=_STAGE.value,
        datasets=tuple(_DATASET.value),
        networks=_NETWORKS.value,
        recipe=recipe(),
        seed=_SEED.value,
        num_shards=_NUM_SHARDS.value,
        validation_fraction=_VALIDATION_FRACTION.value,
        max_images=_MAX_IMAGES.value,
        max_pixels=_MAX_PIXELS.value,
        class_name=_CLASS_NAME.value,
        thresholds=_thresholds(),
        calibration_images=_CALIBRATION_IMAGES.value,
        crops=_CROPS.value,
        longest_side=_LONGEST_SIDE.value,
    )


def _thresholds() -> tuple[float, ...] | None:
    if _THRESHOLDS.value is None:
        return None
    try:
        return tuple(map(float, _THRESHOLDS.value))
    except ValueError:
        raise ValueError(f"--thresholds takes numbers, such as 0.3,0.2, got {','.join(_THRESHOLDS.value)!r}") from None


def _run() -> jobs.Run | None:
    """What runs the jobs where that isn't this machine's processes."""
    if _RUNNER.value is None:
        return None
    try:
        from data_prep import distributed
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


def run() -> None:
    """Runs the program."""
    programs.run(main)


if __name__ == "__main__":
    run()
