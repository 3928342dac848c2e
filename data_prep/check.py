"""Shows what a data set holds, or what the records built from it hold, before anything is learnt from them.

    python -m data_prep.check --dataset=wider_face:DIR [--split=val] [--report=problems.txt]
    python -m data_prep.check --records_dir=records --stage=pnet --out_dir=sheets

The first prints an integrity report. The second compares every shard with its SHA-256 and writes, for each kind of
example, a contact sheet of crops with their targets drawn in, as they are and as augmented for the training. Of
records of whole images it is one sheet of images with their faces (green), ignored regions (grey) and the best
proposals (orange).
"""

import os
import pathlib
import sys
from collections.abc import Sequence

import numpy as np
from absl import app, flags

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from mtcnn_tf import datasets, kinds, landmark_sets, programs, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.records import manifests

from . import crop_contact_sheets, image_contact_sheets, inspection, shards

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_DATASET = flags.DEFINE_multi_string(
    "dataset",
    None,
    f"NAME:DIR of a data set in one of the formats {', '.join(datasets.NAMES)}; repeat it to look at several as one "
    "and to find the images that they share.",
    flag_values=FLAGS,
)
_SPLIT = flags.DEFINE_enum(
    "split", "train", ["train", "val", "test"], "Which part; records have train and val.", flag_values=FLAGS
)
_CLASS_NAME = flags.DEFINE_string(
    "class_name", None, "voc, coco and yolo: the class to detect; by default all classes.", flag_values=FLAGS
)
_LANDMARKS = flags.DEFINE_string(
    "landmarks", "5", "The points of a data set's faces: see data_prep.build.", flag_values=FLAGS
)
_REPORT = flags.DEFINE_string("report", None, "List every problem of the data set in this file.", flag_values=FLAGS)
_NUM_THREADS = flags.DEFINE_integer(
    "num_threads", os.cpu_count() or 1, "Images read at once.", lower_bound=1, flag_values=FLAGS
)

_RECORDS_DIR = flags.DEFINE_string("records_dir", None, "Where data_prep.build wrote.", flag_values=FLAGS)
_STAGE = flags.DEFINE_enum("stage", None, list(stages.BY_NAME), "Whose records to look at.", flag_values=FLAGS)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Contact sheets go here.", flag_values=FLAGS)
_NUM_CROPS = flags.DEFINE_integer(
    "num_crops", 48, "Crops, or whole images, on each contact sheet.", lower_bound=1, flag_values=FLAGS
)
_SEED = flags.DEFINE_integer("seed", 0, "Chooses them.", lower_bound=0, flag_values=FLAGS)
flags.mark_flags_as_mutual_exclusive(["dataset", "records_dir"], required=True, flag_values=FLAGS)

_RECORDS_SPLITS = {"train": "train", "val": "validation"}
_QUANTILES = {"smallest": 0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "largest": 1}
_SIZE_NAMES = ("< 12", "12-20", "20-40", "40-80", ">= 80")
_BAR = 40
_SQUARE_IOU = 0.65
"""What makes a square a positive example."""
_SQUARE_SIZE = 16
"""Smaller faces are often annotated to the pixel only."""


def _run() -> None:
    """Checks the flags and looks at what they name."""
    try:
        programs.check_local(_OUT_DIR)
        if _DATASET.value:
            _check_datasets(_DATASET.value)
        elif _RECORDS_DIR.value is not None:
            _check_records(_RECORDS_DIR.value)
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError) as error:
        sys.exit(f"check: {error}")


def _check_datasets(specs: list[str]) -> None:
    annotations, problems = [], []
    landmark_set = landmark_sets.named(_LANDMARKS.value)
    for spec in specs:
        found, met = datasets.read(spec, _SPLIT.value, _CLASS_NAME.value, landmark_set)
        for sentence in datasets.alarms(spec, met):
            print(f"check: {sentence}", file=sys.stderr)
        annotations += found
        problems += met
    report = inspection.report(annotations, problems, _NUM_THREADS.value)
    _print_figures(report)
    if report.num_faces:
        _print_sizes(report)
    print("\nproblems")
    for what, count in report.problem_counts.items():
        _print_figure(f"  {what}", count)
    if _REPORT.value:
        lines = "".join(f"{problem}\n" for problem in report.problems)
        shards.write_text(pathlib.Path(_REPORT.value), lines)
        print(f"listed in {_REPORT.value}")
    elif report.problems:
        print("--report=FILE lists them")


def _print_figures(report: inspection.Report) -> None:
    _print_figure("images", report.num_images)
    _print_figure("  without faces", report.num_without_faces)
    _print_figure("  not all faces annotated (no negatives)", report.num_incomplete)
    _print_figure("faces", report.num_faces)
    _print_figure("  with all landmarks", report.num_with_landmarks)
    _print_figure("  cut by the image's edge", report.num_cut)
    _print_figure("  more than half outside (not learnt)", report.num_outside)
    _print_figure("ignored regions", report.num_ignored)


def _print_sizes(report: inspection.Report) -> None:
    print("\nshorter side in pixels")
    quantiles = report.size_quantiles(tuple(_QUANTILES.values()))
    print("  " + ", ".join(f"{name} {size:.4g}" for name, size in zip(_QUANTILES, quantiles, strict=True)))
    for name, count in zip(_SIZE_NAMES, report.size_counts, strict=True):
        fraction = count / report.num_faces
        print(f"  {name:>5} {count:>9,} {fraction:>6.1%} {'#' * round(_BAR * fraction)}".rstrip())
    print(f"\nso oblong that no square has an IoU of {_SQUARE_IOU} with them")
    for name, min_size in (("of all faces", 0), (f"of those of {_SQUARE_SIZE} pixels and more", _SQUARE_SIZE)):
        fraction = report.out_of_reach(_SQUARE_IOU, min_size)
        print(f"  {name:<32} {'–' if np.isnan(fraction) else f'{fraction:.1%}':>6}")


def _print_figure(name: str, count: int) -> None:
    print(f"{name:<44}{count:>10,}")


def _check_records(records_dir: str) -> None:
    out_dir = _OUT_DIR.value
    if not (_STAGE.value and out_dir):
        raise app.UsageError("--records_dir needs --stage and --out_dir")
    if _SPLIT.value not in _RECORDS_SPLITS:
        raise app.UsageError(f"records have --split=train and --split=val, got {_SPLIT.value}")
    stage = stages.BY_NAME[_STAGE.value]
    manifests.check_shards(records_dir, stage)
    print(f"every shard of {stage.name} is whole")
    os.makedirs(out_dir, exist_ok=True)
    if manifests.kind_of(manifests.read(records_dir, stage)) == manifests.IMAGES:
        _write_image_sheet(records_dir, stage, out_dir)
        return
    for kind in range(len(kinds.NAMES)):
        _write_sheets(records_dir, stage, kind, out_dir)


def _write_sheets(records_dir: str, stage: stages.Stage, kind: int, out_dir: str) -> None:
    """Writes the kind's two contact sheets: the same crops as they are and as augmented."""
    split, name = _RECORDS_SPLITS[_SPLIT.value], kinds.NAMES[kind]
    for augment, ending in ((False, ""), (True, "-augmented")):
        batch = crop_contact_sheets.read_crops(records_dir, stage, split, kind, _NUM_CROPS.value, augment, _SEED.value)
        if batch is None:
            print(f"no {name} examples")
            return
        path = os.path.join(out_dir, f"{stage.name}-{split}-{name}{ending}.png")
        image_files.write(path, crop_contact_sheets.sheet(batch, manifests.margin(manifests.read(records_dir, stage))))
        print(f"{len(batch['kind'])} {name} crops{' as augmented' if augment else ''}: {path}")


def _write_image_sheet(records_dir: str, stage: stages.Stage, out_dir: str) -> None:
    split = _RECORDS_SPLITS[_SPLIT.value]
    chosen = image_contact_sheets.choose(records_dir, stage, split, _NUM_CROPS.value, _SEED.value)
    if not chosen:
        print(f"no {split} images")
        return
    path = os.path.join(out_dir, f"{stage.name}-{split}-images.png")
    image_files.write(path, image_contact_sheets.sheet(chosen))
    print(f"{len(chosen)} images: {path}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
