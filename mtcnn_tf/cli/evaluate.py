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
from collections.abc import Callable
from typing import NamedTuple

from absl import app, flags

from mtcnn_tf import datasets, faces, files, programs, stages
from mtcnn_tf.datasets import fddb as fddb_ellipses
from mtcnn_tf.datasets import folder, points, sizes
from mtcnn_tf.datasets import wider_face as wider_face_boxes
from mtcnn_tf.detection import cascade, detector
from mtcnn_tf.evaluation import (
    breakdown,
    curves,
    false_positives,
    fddb,
    landmarks,
    proposals,
    reports,
    saved_detections,
    subset,
    wider_face,
)
from mtcnn_tf.images import drawing, image_files

PROTOCOLS = ("wider_face", "fddb", "landmarks", "proposals", "false_positives", "breakdown")

_PROPOSAL_THRESHOLD = 0.01
"""Of the first stage; R-Net's is 0."""
_NUM_DRAWN = 20
"""Images with the worst false positives that are drawn."""
_MAX_PROPOSALS = 4096
"""Enough for the curve up to its end at 3,000 proposals."""

_PROTOCOL = flags.DEFINE_enum("protocol", None, PROTOCOLS, "What is measured.", required=True)
_DATASET_DIR = flags.DEFINE_string(
    "dataset_dir",
    None,
    "The data set, as it is published. [in breakdown and proposals WIDER FACE, or NAME:DIR as in data_prep.build]",
    required=True,
)
_SPLIT = flags.DEFINE_string("split", None, "Part of the data set. [val of wider_face, test of landmarks]")
_CLASS_NAME = flags.DEFINE_string(
    "class_name", None, "voc, coco and yolo: the class that is looked for; by default all classes."
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "File with an image in each line, by the last parts of its path (such as EVENT/NAME.jpg), or the held_out.txt of "
    "a build: only these are looked at. [all]",
)
_MODEL = flags.DEFINE_multi_string(
    "model",
    [],
    "Folder that export.py wrote, or networks_dir with trained networks; NAME=DIR gives it a name. Repeatable.",
)
_DETECTOR = flags.DEFINE_multi_string(
    "detector",
    [],
    "MODULE:CALLABLE from an image (RGB, uint8 [H, W, 3]) to mtcnn_tf.Detections; NAME=MODULE:CALLABLE gives it a "
    "name. Repeatable.",
)
_DETECTIONS = flags.DEFINE_multi_string(
    "detections", [], "What an earlier run found: an .npz file; NAME=FILE gives it a name. Repeatable."
)
_OUT_DIR = flags.DEFINE_string("out_dir", "evaluation", "Folder for what is written; made if need be.")
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size", cascade.MIN_FACE_SIZE, "Side of the smallest face that each --model looks for.", lower_bound=1
)
_THRESHOLDS = flags.DEFINE_list(
    "thresholds",
    None,
    "Scores to exceed after each network of each --model; low ones show more of the curve. [those chosen for the "
    "model; in proposals 0.01, and 0 for R-Net]",
)
_UNTIL = flags.DEFINE_enum(
    "until",
    None,
    ["rpn", "pnet", "rnet"],
    "Whose proposals the protocol of this name looks at. [the first stage of each --model]",
)


class Task(NamedTuple):
    """A protocol on a data set."""

    annotations: list
    """The images, each with an `image_path`, and what is in them."""
    report: Callable[[list, list[faces.Detections]], reports.Report]
    """Annotations and detections of the same images → what the protocol says."""
    notes: list[str]
    """What a reader of the figures must know."""
    rotations: list[float] | None = None
    """How many degrees each image is rotated; None for not at all."""


def main(argv: list[str]) -> None:
    """Scores the detectors named by the flags."""
    if len(argv) > 1:
        raise app.UsageError(f"expected flags alone, got {argv[1]!r}")
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
    loaders = _loaders(lambda find, name: saved_detections.detect(find, paths, name, task.rotations), names)
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
        image_files.write(os.path.join(drawing_dir, f"{number:02}-{os.path.basename(paths[at])}"), drawn)


def _settings() -> dict:
    """The flags that a figure depends on."""
    held = (_SPLIT, _CLASS_NAME, _IMAGES, _MODEL, _DETECTOR, _DETECTIONS, _MIN_FACE_SIZE, _THRESHOLDS, _UNTIL)
    return {flag.name: flag.value for flag in held}


def _prepare() -> Task:
    return {
        "wider_face": _prepare_wider_face,
        "fddb": _prepare_fddb,
        "landmarks": _prepare_landmarks,
        "proposals": _prepare_proposals,
        "false_positives": _prepare_false_positives,
        "breakdown": _prepare_breakdown,
    }[_PROTOCOL.value]()


def _prepare_wider_face() -> Task:
    directory, split = _DATASET_DIR.value, _SPLIT.value or "val"
    annotations, notes = _chosen(*wider_face_boxes.read(directory, split))
    if split != "val":
        return Task(annotations, wider_face.report, notes)  # the official protocol is for the validation part
    official = wider_face.read_official(directory)
    num_listed = len(official["hard"])
    if len(annotations) < num_listed:
        notes.append(f"Official figures are of these images, not of all {num_listed:,}: not comparable to published.")
    return Task(annotations, functools.partial(wider_face.report, official=official), notes)


def _prepare_fddb() -> Task:
    images, notes = _chosen(*fddb_ellipses.read_ellipses(_DATASET_DIR.value))
    return Task(images, functools.partial(fddb.report, sizes=fddb.image_sizes(images)), notes)


def _prepare_landmarks() -> Task:
    annotations, notes = _chosen(*points.read(_DATASET_DIR.value, _SPLIT.value or "test"))
    return Task(annotations, landmarks.report, [*notes, "Errors are in percent of the distance of the eyes."])


def _prepare_proposals() -> Task:
    annotations, notes = _chosen(*_listed())
    keep_recall = stages.BY_NAME[_UNTIL.value or stages.PNET.name].keep_recall
    whose = _UNTIL.value or "the first stage"
    notes.append(f"Proposals of {whose} after its regression that cover a face with an IoU of at least 0.5.")
    return Task(annotations, functools.partial(proposals.report, keep_recall=keep_recall), notes)


def _prepare_false_positives() -> Task:
    annotations, notes = _chosen(*folder.read(_DATASET_DIR.value))
    return Task(annotations, false_positives.report, notes)


def _prepare_breakdown() -> Task:
    name, directory, split = _dataset()
    listed, problems = _listed()
    listed, unfit = sizes.fit_all(listed)
    attributes = wider_face_boxes.read_attributes(directory, split) if name == "wider_face" else {}
    groups = {
        f"{attribute} {word}": [values == value for values in of_images]
        for attribute, of_images in attributes.items()
        for value, word in enumerate(wider_face_boxes.ATTRIBUTES[attribute][1])
    }
    views, notes = _chosen(breakdown.upright(listed, groups), problems + unfit)
    views += breakdown.rotated(views)
    notes.append(f"Images are counted once upright and once for each turn. An IoU of {curves.MIN_IOU} is a find.")
    return Task(views, breakdown.report, notes, [view.degrees for view in views])


def _dataset() -> tuple[str, str, str]:
    """Format, folder and part of what breakdown and proposals look at; the other protocols have one format each."""
    name, _, directory = _DATASET_DIR.value.partition(":")
    if name not in datasets.NAMES:
        name, directory = "wider_face", _DATASET_DIR.value
    return name, directory, _SPLIT.value or ("val" if name == "wider_face" else "train")


def _listed() -> tuple[list[faces.Annotation], list[faces.Problem]]:
    name, directory, split = _dataset()
    return datasets.read(f"{name}:{directory}", split, _CLASS_NAME.value)


def _chosen(listed: list, problems: list[faces.Problem]) -> tuple[list, list[str]]:
    """Of what a reader gave, the images to look at, and what to say about it; see `subset.choose`."""
    return subset.choose(listed, problems, _dataset()[1], _IMAGES.value)


def _loaders(detect: Callable, names: list[str]) -> dict[str, Callable[[], list[faces.Detections]]]:
    """Name of each detector → a function that has its detections. Detectors are loaded at once, so that errors show.

    Args:
        detect: Called with a detector and its name, has what it finds in all images.
        names: Those of the images in files of earlier runs.
    """
    thresholds = programs.parse_thresholds(_THRESHOLDS.value)
    named = {}

    def add(text: str, make) -> None:
        name, _, value = text.rpartition("=")
        name = name or text
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
    if _PROTOCOL.value != "proposals":
        found = detector.load(model_dir)
    else:
        until = _UNTIL.value or stages.in_folder(model_dir)[0].name
        caps = {"max_proposals": _MAX_PROPOSALS, "max_proposals_per_scale": 2 * _MAX_PROPOSALS}
        found = detector.from_networks(model_dir, until, **caps)
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


def run() -> None:
    """The console script `mtcnn-evaluate`."""
    programs.run(main)


if __name__ == "__main__":
    run()
