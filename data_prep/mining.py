"""The cascade trained so far as a source of candidates: what it proposes is what the next stage must tell apart."""

import dataclasses
from collections.abc import Callable, Iterable

import cv2
import numpy as np
import tensorflow as tf

from mtcnn_tf import rankings, stages
from mtcnn_tf.detection import cascade
from mtcnn_tf.geometry import boxes as box_geometry

LOWEST_THRESHOLD = 0.01
"""No threshold is set lower, whatever recall is asked for: proposals would be countless and mostly noise."""
MIN_NEGATIVES = 10
"""So many proposals of an image, on average, must be background: the next stage starves behind a strict one."""
FOUND_IOU = 0.5
"""A proposal finds a face from this IoU on, as in evaluation."""

Propose = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Image uint8 [H, W, 3] → boxes [N, 4] and scores [N]."""


@dataclasses.dataclass(frozen=True)
class Miner:
    """What a process needs to know to load the cascade so far.

    Attributes:
        networks_dir: Where the trained networks lie.
        last_stage: The name of the last stage that is applied.
        thresholds: A score threshold for each stage applied, in order; see `stages.in_folder`.
        min_face_size: Smallest face to propose, in pixels.
    """

    networks_dir: str
    last_stage: str
    thresholds: tuple[float, ...]
    min_face_size: float

    def load(self) -> Propose:
        """A function that proposes boxes for an image."""
        so_far = cascade.Cascade.from_networks(self.networks_dir, self.last_stage)
        return lambda image: _propose(so_far, image, self)


def _propose(so_far: cascade.Cascade, image: np.ndarray, miner: Miner) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] and scores [N] of the proposals."""
    found = so_far.search(image, miner.min_face_size, miner.thresholds, until=miner.last_stage)
    return found["boxes"].numpy(), found["scores"].numpy()


def use_one_thread() -> None:
    """Keeps TensorFlow and OpenCV of this process on one core. Must come before TensorFlow's first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cv2.setNumThreads(1)


def thresholds_for_recall(
    networks_dir: str,
    mined_for: stages.Stage,
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    min_face_size: float,
    background_iou: float,
) -> tuple[Miner, list[dict]]:
    """Thresholds at which the cascade so far keeps the wanted fraction of the faces, stage by stage.

    On images so easy that this leaves less than `MIN_NEGATIVES` to tell apart from them, thresholds are lower.

    Args:
        networks_dir: Where the trained networks lie.
        mined_for: The stage that will learn; its proposers get thresholds.
        images: Images uint8 [H, W, 3] with the faces [N, 4] that must be found; gone through once for each stage.
        min_face_size: Smallest face to propose, in pixels.
        background_iou: A proposal that overlaps every face less than this is background.

    Returns:
        The miner, and for each stage its name, threshold, the recall reached and the mean number of proposals.
    """
    miner, report = Miner(networks_dir, "", (), min_face_size), []
    for stage in stages.proposers_in_folder(networks_dir, mined_for):
        assert stage.keep_recall is not None  # the last stage, which has none, proposes to nobody
        miner = dataclasses.replace(miner, last_stage=stage.name, thresholds=(*miner.thresholds, LOWEST_THRESHOLD))
        so_far = cascade.Cascade.from_networks(networks_dir, stage.name)
        proposals = [(*_propose(so_far, image, miner), wanted) for image, wanted in images]
        best = np.concatenate([best_scores(*proposal) for proposal in proposals])
        background = np.concatenate([background_scores(*proposal, background_iou) for proposal in proposals])
        threshold = min(
            threshold_that_keeps(best, int(np.ceil(stage.keep_recall * len(best)))),
            threshold_that_keeps(background, MIN_NEGATIVES * len(proposals)),
        )
        miner = dataclasses.replace(miner, thresholds=(*miner.thresholds[:-1], threshold))
        report.append(
            {
                "stage": stage.name,
                "threshold": threshold,
                "recall": float(np.mean(best >= threshold)),
                "proposals": float(np.mean([np.sum(scores >= threshold) for _, scores, _ in proposals])),
            }
        )
    return miner, report


def best_scores(boxes: np.ndarray, scores: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each wanted face [N, 4] the best score of a proposal that finds it: [N], 0 where none does."""
    found_mask = box_geometry.iou(wanted, boxes) >= FOUND_IOU
    return np.where(found_mask, scores, 0).max(axis=1, initial=0)


def background_scores(boxes: np.ndarray, scores: np.ndarray, wanted: np.ndarray, background_iou: float) -> np.ndarray:
    """Scores of the proposals that overlap each wanted face [N, 4] less than `background_iou`."""
    return scores[box_geometry.iou(boxes, wanted).max(axis=1, initial=0) < background_iou]


def threshold_that_keeps(scores: np.ndarray, count: int) -> float:
    """The highest threshold, rounded down to four decimals, that at least `count` of the scores reach.

    Where there are not so many above it, `LOWEST_THRESHOLD`.
    """
    last_kept = rankings.threshold_that_keeps(scores, count)
    return float(max(np.floor(last_kept * 1e4) / 1e4, LOWEST_THRESHOLD))
