"""Scores detectors by public protocols.

    mtcnn-evaluate --protocol=wider_face --dataset_dir=DIR --model=ours=networks --model=theirs=exported

Any number of detectors, each given by a flag, are laid side by side: prints a table and writes PROTOCOL.json,
PROTOCOL.png (the curves) and, for each detector, what it found: PROTOCOL-detections-NAME.npz. Scoring can be repeated
from these files with --detections, without looking at the images again.
"""

import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence

from absl import flags

from mtcnn_tf import datasets, faces, files, landmark_sets, programs, runtimes, stages
from mtcnn_tf.detection import cascade, detector, shipped
from mtcnn_tf.evaluation import false_positives, protocols, reports, saved_detections
from mtcnn_tf.images import drawing, image_files
from mtcnn_tf.models import inference

PROTOCOLS = ("wider_face", "fddb", "landmarks", "proposals", "false_positives", "breakdown")

_PROPOSAL_THRESHOLD = 0.01
"""Of the first stage; R-Net's is 0."""
_NUM_DRAWN = 20
"""Images with the worst false positives that are drawn."""
_MAX_PROPOSALS = 4096
"""Enough for the curve up to its end at 3,000 proposals."""

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_PROTOCOL = flags.DEFINE_enum("protocol", None, PROTOCOLS, "What is measured.", required=True, flag_values=FLAGS)
_DATASET_DIR = flags.DEFINE_string(
    "dataset_dir",
    None,
    "The data set, as it is published. [in breakdown and proposals WIDER FACE, in landmarks lists of five points; or "
    "NAME:DIR as in data_prep.build]",
    required=True,
    flag_values=FLAGS,
)
_SPLIT = flags.DEFINE_string(
    "split", None, "Part of the data set. [val of wider_face, test of landmarks]", flag_values=FLAGS
)
_CLASS_NAME = flags.DEFINE_string(
    "class_name",
    None,
    "voc, coco and yolo: the class that is looked for; by default all classes.",
    flag_values=FLAGS,
)
_LANDMARKS = flags.DEFINE_string(
    "landmarks", "5", "landmarks: the points that are compared, as in data_prep.build.", flag_values=FLAGS
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "File with an image in each line, by the last parts of its path (such as EVENT/NAME.jpg), or the held_out.txt of "
    "a build: only these are looked at. [all]",
    flag_values=FLAGS,
)
_MODEL = flags.DEFINE_multi_string(
    "model",
    [],
    "default or classic, the weights that ship, or a folder or .tflite or .onnx file that export.py wrote, or a folder "
    "with trained networks; NAME=DIR gives it a name. Repeatable.",
    flag_values=FLAGS,
)
_DETECTOR = flags.DEFINE_multi_string(
    "detector",
    [],
    "MODULE:CALLABLE from an image (RGB, uint8 [H, W, 3]) to mtcnn_tf.Detections; NAME=MODULE:CALLABLE gives it a "
    "name. Repeatable.",
    flag_values=FLAGS,
)
_DETECTIONS = flags.DEFINE_multi_string(
    "detections",
    [],
    "What an earlier run found: an .npz file; NAME=FILE gives it a name. Repeatable.",
    flag_values=FLAGS,
)
_OUT_DIR = flags.DEFINE_string(
    "out_dir", "evaluation", "Folder for what is written; made if need be.", flag_values=FLAGS
)
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size",
    cascade.MIN_FACE_SIZE,
    "Side of the smallest face that each --model looks for.",
    lower_bound=1,
    flag_values=FLAGS,
)
_THRESHOLDS = flags.DEFINE_list(
    "thresholds",
    None,
    "Scores to exceed after each network of each --model; low ones show more of the curve. [those chosen for the "
    "model; in proposals 0.01, and 0 for R-Net]",
    flag_values=FLAGS,
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    inference.PRECISIONS[0],
    inference.PRECISIONS,
    "What the networks of each --model compute in.",
    flag_values=FLAGS,
)
_UNTIL = flags.DEFINE_enum(
    "until",
    None,
    ["rpn", "pnet", "rnet"],
    "Whose proposals the protocol of this name looks at. [the first stage of each --model]",
    flag_values=FLAGS,
)


def _run() -> None:
    """Scores the detectors named by the flags."""
    try:
        evaluate()
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"mtcnn-evaluate: {error}")


def evaluate() -> None:
    """Reads, detects, scores, prints, writes."""
    programs.check_local(_OUT_DIR)
    protocol, out_dir = _PROTOCOL.value, _OUT_DIR.value
    task = _prepare()
    paths = [annotation.image_path for annotation in task.annotations]
    names = [files.relative(path, _dataset()[1]) for path in paths]
    if task.rotations:
        names = [f"{name} {degrees}" if degrees else name for name, degrees in zip(names, task.rotations, strict=True)]
    loaders = _loaders(task.detect, names)
    os.makedirs(out_dir, exist_ok=True)
    found = {}
    for name, look in loaders.items():
        found[name] = look()
        stem = re.sub("[^A-Za-z0-9.]+", "_", name).strip("_")
        saved_detections.save(os.path.join(out_dir, f"{protocol}-detections-{stem}.npz"), names, found[name])
        if protocol == "false_positives":
            _draw_worst(paths, found[name], os.path.join(out_dir, f"{protocol}-worst-{stem}"))
    results = {name: task.report(task.annotations, detections) for name, detections in found.items()}
    about = {"protocol": protocol, "images": len(paths), "notes": task.notes, "settings": _settings()}
    reports.write_json(os.path.join(out_dir, f"{protocol}.json"), about, results)
    if any(result.curves for result in results.values()):
        reports.plot(os.path.join(out_dir, f"{protocol}.png"), f"{protocol}, {len(paths):,} images", results)
    print(f"{protocol}: {len(paths):,} images", *task.notes, "", reports.table(results), "", sep="\n")
    print(f"The table, the curves and what was found are in {out_dir}")


def _draw_worst(paths: list[str], detections: list[faces.Detections], drawing_dir: str) -> None:
    """Writes the images with the highest scores, those drawn in, worst first."""
    os.makedirs(drawing_dir, exist_ok=True)
    for number, at in enumerate(false_positives.worst(detections, _NUM_DRAWN), 1):
        drawn = drawing.draw(image_files.read(paths[at]), detections[at])
        stem = os.path.splitext(os.path.basename(paths[at]))[0]
        image_files.write(os.path.join(drawing_dir, f"{number:02}-{stem}.jpg"), drawn)


def _settings() -> dict:
    """The flags that a figure depends on."""
    held = (
        _SPLIT,
        _CLASS_NAME,
        _LANDMARKS,
        _IMAGES,
        _MODEL,
        _DETECTOR,
        _DETECTIONS,
        _MIN_FACE_SIZE,
        _THRESHOLDS,
        _PRECISION,
        _UNTIL,
    )
    return {flag.name: flag.value for flag in held}


def _prepare() -> protocols.Task:
    """The protocol on the data set that the flags name."""
    directory, split, images = _DATASET_DIR.value, _SPLIT.value, _IMAGES.value
    name, directory_of_set = _dataset()
    prepare = {
        "wider_face": lambda: protocols.wider_face(directory, split or "val", images),
        "fddb": lambda: protocols.fddb(directory, images),
        "landmarks": lambda: protocols.landmarks(
            directory_of_set, split or "test", images, name, landmark_sets.named(_LANDMARKS.value), _CLASS_NAME.value
        ),
        "proposals": lambda: protocols.proposals(
            name, directory_of_set, split, images, _CLASS_NAME.value, _UNTIL.value
        ),
        "false_positives": lambda: protocols.false_positives(directory, images),
        "breakdown": lambda: protocols.breakdown(name, directory_of_set, split, images, _CLASS_NAME.value),
    }
    return prepare[_PROTOCOL.value]()


def _dataset() -> tuple[str, str]:
    """Format and folder of what breakdown, proposals and landmarks look at; the others have one format each."""
    name, _, directory = _DATASET_DIR.value.partition(":")
    default = "points" if _PROTOCOL.value == "landmarks" else "wider_face"
    return (name, directory) if name in datasets.NAMES else (default, _DATASET_DIR.value)


def _loaders(detect: Callable, names: list[str]) -> dict[str, Callable[[], list[faces.Detections]]]:
    """Name of each detector → a function that has its detections. Detectors are loaded at once, so that errors show.

    Args:
        detect: Called with a detector and its name, has what it finds in all images.
        names: Those of the images in files of earlier runs.
    """
    thresholds = programs.parse_thresholds(_THRESHOLDS.value)
    named = {}

    def add(text: str, make) -> None:
        name, _, value = text.partition("=")
        if not value or "/" in name:  # a path may hold one, too
            name, value = text, text
        if name in named:
            raise ValueError(f"expected a different name for each detector, got {name!r} twice; use NAME=…")
        named[name] = make(name, value)

    for text in _MODEL.value:
        add(text, lambda name, value: functools.partial(detect, _load_model(value, thresholds), name))
    for text in _DETECTOR.value:
        add(text, lambda name, value: functools.partial(detect, _load_callable(value), name))
    for text in _DETECTIONS.value:
        add(text, lambda name, value: functools.partial(saved_detections.load, value, names))
    if not named:
        raise ValueError("expected a detector: --model=DIR, --detector=MODULE:CALLABLE or --detections=FILE")
    return named


def _load_model(model_dir: str, thresholds: tuple[float, ...] | None) -> saved_detections.Find:
    until = "onet"
    if model_dir.endswith(runtimes.ENDINGS):
        if thresholds or _PROTOCOL.value == "proposals" or _PRECISION.present or _MIN_FACE_SIZE.present:
            wanted = "proposals, --thresholds, --precision or --min_face_size"
            raise ValueError(f"expected a folder of networks for {wanted}, got {model_dir!r}")
        return runtimes.FixedSizeDetector(model_dir)
    if _PROTOCOL.value != "proposals":
        found = detector.load(model_dir, _PRECISION.value)
    else:
        model_dir = os.fspath(shipped.folder(model_dir))
        until = _UNTIL.value or stages.in_folder(model_dir)[0].name
        caps = {"max_proposals": _MAX_PROPOSALS, "max_proposals_per_scale": 2 * _MAX_PROPOSALS}
        found = detector.from_networks(model_dir, until, precision=_PRECISION.value, **caps)
        thresholds = thresholds or (_PROPOSAL_THRESHOLD, 0.0)[: len(found.stages)]
    programs.check_thresholds(thresholds, found.stages)
    return functools.partial(found, until=until, min_face_size=_MIN_FACE_SIZE.value, thresholds=thresholds)


def _load_callable(spec: str) -> saved_detections.Find:
    """The function that MODULE:CALLABLE names; modules are looked for in the current folder, too."""
    module_name, _, name = spec.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    finally:
        sys.path.remove(os.getcwd())
    if not callable(found):
        raise ValueError(f"expected --detector=MODULE:CALLABLE, got {spec!r}, which names nothing that can be called")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
