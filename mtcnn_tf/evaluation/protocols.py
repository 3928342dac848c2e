"""The public protocols, each as a function from a data set to a `Task`, which any detector can be put to.

    task = protocols.wider_face("WIDER")
    print(reports.table({"ours": task.report(task.annotations, task.detect(mtcnn_tf.load()))}))

`images` is everywhere a file that lists which images are looked at, see `subset.named`; None looks at all. Errors are
those of the data set's reader and of `subset.choose`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from mtcnn_tf import datasets, faces, landmark_sets, stages
from mtcnn_tf.datasets import fddb as fddb_ellipses
from mtcnn_tf.datasets import folder, sizes
from mtcnn_tf.datasets import wider_face as wider_face_boxes
from mtcnn_tf.evaluation import breakdown as breakdowns
from mtcnn_tf.evaluation import curves, reports, saved_detections, subset
from mtcnn_tf.evaluation import false_positives as all_false
from mtcnn_tf.evaluation import fddb as fddb_scores
from mtcnn_tf.evaluation import landmarks as landmark_errors
from mtcnn_tf.evaluation import proposals as proposal_ranks
from mtcnn_tf.evaluation import wider_face as wider_face_scores


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

    def detect(self, find: saved_detections.Find, name: str = "") -> list[faces.Detections]:
        """What a detector finds in each image, with a progress bar of this name."""
        paths = [annotation.image_path for annotation in self.annotations]
        return saved_detections.detect(find, paths, name, self.rotations)


def wider_face(directory: str, split: str = "val", images: str | None = None) -> Task:
    """WIDER FACE: average precision and recall; of the validation part also the official settings."""
    annotations, notes = subset.choose(*wider_face_boxes.read(directory, split), directory, images)
    if split != "val":
        return Task(annotations, wider_face_scores.report, notes)  # the official protocol is for the validation part
    official = wider_face_scores.read_official(directory)
    num_listed = len(official["hard"])
    if len(annotations) < num_listed:
        notes.append(f"Official figures are of these images, not of all {num_listed:,}: not comparable to published.")
    return Task(annotations, functools.partial(wider_face_scores.report, official=official), notes)


def fddb(directory: str, images: str | None = None) -> Task:
    """FDDB: its discrete and continuous scores, and average precision on upright boxes."""
    chosen, notes = subset.choose(*fddb_ellipses.read_ellipses(directory), directory, images)
    return Task(chosen, functools.partial(fddb_scores.report, sizes=fddb_scores.image_sizes(chosen)), notes)


def landmarks(
    directory: str,
    split: str = "test",
    images: str | None = None,
    name: str = "points",
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
    class_name: str | None = None,
) -> Task:
    """Faces with points, five or others: how far landmarks are off, and how many fail.

    Other arguments as in `breakdown`.
    """
    listed = _read(name, directory, split, class_name, landmark_set)
    annotations, notes = subset.choose(*listed, directory, images)
    notes.append(f"Errors are in percent of the {landmark_errors.unit_of(landmark_set)}.")
    return Task(annotations, functools.partial(landmark_errors.report, landmark_set=landmark_set), notes)


def proposals(
    name: str,
    directory: str,
    split: str | None = None,
    images: str | None = None,
    class_name: str | None = None,
    until: str | None = None,
) -> Task:
    """Any data set with boxes: recall at numbers of proposals of the stage `until`, by default of the first stage.

    Other arguments as in `breakdown`.
    """
    listed = _read(name, directory, split or _default_split(name), class_name)
    annotations, notes = subset.choose(*listed, directory, images)
    keep_recall = stages.BY_NAME[until or stages.PNET.name].keep_recall
    whose = until or "the first stage"
    notes.append(f"Proposals of {whose} after its regression that cover a face with an IoU of at least 0.5.")
    return Task(annotations, functools.partial(proposal_ranks.report, keep_recall=keep_recall), notes)


def false_positives(directory: str, images: str | None = None) -> Task:
    """Images without faces: everything that is found is a false positive."""
    annotations, notes = subset.choose(*folder.read(directory), directory, images)
    return Task(annotations, all_false.report, notes)


def breakdown(
    name: str, directory: str, split: str | None = None, images: str | None = None, class_name: str | None = None
) -> Task:
    """Any data set with boxes: recall by size and rotation, and by what else the data set says of its faces.

    Args:
        name: One of `datasets.NAMES`.
        directory: Where it lies.
        split: By default "val" of WIDER FACE and "train" of the others.
        images: See above.
        class_name: See `datasets.read`.
    """
    split = split or _default_split(name)
    listed, problems = _read(name, directory, split, class_name)
    attributes = wider_face_boxes.read_attributes(directory, split) if name == "wider_face" else {}
    groups = {
        f"{attribute} {word}": [values == value for values in of_images]
        for attribute, of_images in attributes.items()
        for value, word in enumerate(wider_face_boxes.ATTRIBUTES[attribute][1])
    }
    views, notes = subset.choose(breakdowns.upright(listed, groups), problems, directory, images)
    views += breakdowns.rotated(views)
    notes.append(f"Images are counted once upright and once for each rotation. An IoU of {curves.MIN_IOU} is a find.")
    return Task(views, breakdowns.report, notes, [view.degrees for view in views])


def _read(
    name: str,
    directory: str,
    split: str,
    class_name: str | None = None,
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """What a data set says of its images as they are read, upright, and what is wrong with it."""
    listed, problems = datasets.read(f"{name}:{directory}", split, class_name, landmark_set)
    listed, unfit = sizes.fit_all(listed)
    return listed, problems + unfit


def _default_split(name: str) -> str:
    return "val" if name == "wider_face" else "train"
