"""Chooses the thresholds of trained networks, and what scores mean, on images held out from their training.

    mtcnn-calibrate --networks=networks --dataset=wider_face:DIR --images=records/onet/held_out.txt

Prints what they cost and keeps them in NETWORKS/weights.json, where whatever loads the networks looks for them. How
they are chosen: `mtcnn_tf.evaluation.calibration`.
"""

import functools
import os
import sys
from collections.abc import Sequence

from absl import flags

from mtcnn_tf import datasets, programs
from mtcnn_tf.datasets import sizes
from mtcnn_tf.detection import cascade, detector, final_scores, stored_calibration
from mtcnn_tf.evaluation import calibration, reports, saved_detections, subset

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_NETWORKS = flags.DEFINE_string(
    "networks", None, "Folder with the networks: rpn.keras or pnet.keras, and so on.", required=True, flag_values=FLAGS
)
_DATASET = flags.DEFINE_multi_string(
    "dataset",
    None,
    "NAME:DIR, repeatable, as in data_prep.build; its training part. Images of which not every face is annotated are "
    "left out.",
    required=True,
    flag_values=FLAGS,
)
_CLASS_NAME = flags.DEFINE_string(
    "class_name", None, "voc, coco and yolo: the class to detect; by default all classes.", flag_values=FLAGS
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "File with the images to look at, such as the held_out.txt of a build.",
    required=True,
    flag_values=FLAGS,
)
_KEEP_RECALL = flags.DEFINE_float(
    "keep_recall",
    0.97,
    "Fraction of the findable faces that must be found; a lower one is faster.",
    0,
    1,
    flag_values=FLAGS,
)
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size",
    cascade.MIN_FACE_SIZE,
    "Smallest face, in pixels, that is looked for and counts.",
    lower_bound=1,
    flag_values=FLAGS,
)


def _run() -> None:
    """Chooses thresholds, says what they cost and keeps them."""
    try:
        _calibrate()
    except (OSError, ValueError) as error:
        sys.exit(f"mtcnn-calibrate: {error}")


def _calibrate() -> None:
    listed, problems = [], []
    for spec in _DATASET.value:
        annotations, met = datasets.read(spec, class_name=_CLASS_NAME.value)
        for sentence in datasets.alarms(spec, met):
            print(f"mtcnn-calibrate: {sentence}", file=sys.stderr)
        annotations, unfit = sizes.fit_all(annotations)
        listed += [annotation for annotation in annotations if annotation.is_complete]
        problems += met + unfit
    annotations, notes = subset.choose(listed, problems, ", ".join(_DATASET.value), _IMAGES.value)
    paths = [annotation.image_path for annotation in annotations]
    its_cascade = cascade.Cascade.from_networks(_NETWORKS.value)

    def find(thresholds: tuple[float, ...], score_weights: final_scores.ScoreWeights) -> list:
        its_cascade.score_weights.assign(score_weights)
        search = functools.partial(its_detector, min_face_size=_MIN_FACE_SIZE.value, thresholds=thresholds)
        name = ", ".join(f"{number:.2f}" for number in (*thresholds, score_weights.first, score_weights.size))
        return saved_detections.detect(search, paths, name)

    its_detector = detector.Detector(its_cascade)

    choice = calibration.choose(find, annotations, _MIN_FACE_SIZE.value, _KEEP_RECALL.value, its_detector.stages)
    about = {
        "images": len(paths),
        "min_face_size": _MIN_FACE_SIZE.value,
        "keep_recall": _KEEP_RECALL.value,
        "figures": choice.reports["all chosen"].figures,
    }
    chosen = stored_calibration.Calibration(choice.thresholds, choice.score_weights)
    stored_calibration.write(_NETWORKS.value, chosen, about)
    print(f"{len(paths):,} images", *notes, "", reports.table(choice.reports), "", sep="\n")
    kept_in = os.path.join(_NETWORKS.value, stored_calibration.FILE_NAME)
    numbers = ", ".join(map(str, choice.thresholds))
    weights = choice.score_weights
    logit = (
        f"{weights.onet:.2f} · O-Net's + {weights.first:.2f} · the first stage's {weights.size:+.2f} · octaves of size "
        f"{weights.bias:+.2f}"
    )
    print(f"the thresholds {numbers} and the final logit {logit} are kept in {kept_in}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
