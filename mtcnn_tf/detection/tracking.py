"""Which face of a film's frame is which of the frame before."""

import numpy as np
from scipy import optimize

from mtcnn_tf import faces
from mtcnn_tf.geometry import boxes

MIN_IOU = 0.3
"""Of a face with itself, one look later."""
MAX_MISSED = 5


class Tracker:
    """Gives the faces of successive frames identities, by the overlap of their boxes alone.

    What they look like is not asked: who leaves and comes back is another one, and faces that cross may be exchanged.
    """

    def __init__(self, min_iou: float = MIN_IOU, max_missed: int = MAX_MISSED):
        """Knows nobody yet.

        Args:
            min_iou: Least intersection over union of a face's boxes in two frames, in 0–1.
            max_missed: In how many frames, one after another, a face may go unseen and keep its identity.
        """
        self._min_iou = min_iou
        self._max_missed = max_missed
        self._boxes = faces.no_boxes()
        self._identities = np.zeros(0, np.int64)
        self._missed = np.zeros(0, np.int64)
        self._num_seen = 0

    def update(self, detections: faces.Detections) -> np.ndarray:
        """The identity of each face of the next frame, int64 [N]: from 1, in the order in which they appeared.

        Pairs of known and found faces are chosen so that the sum of their overlaps is the largest.
        """
        overlaps = boxes.iou(self._boxes, detections.boxes)
        overlaps[overlaps < self._min_iou] = 0
        known, found = optimize.linear_sum_assignment(overlaps, maximize=True)
        is_pair = overlaps[known, found] > 0
        known, found = known[is_pair], found[is_pair]

        identities = np.zeros(len(detections), np.int64)
        identities[found] = self._identities[known]
        num_new = len(detections) - len(found)
        identities[identities == 0] = self._num_seen + 1 + np.arange(num_new)
        self._num_seen += num_new

        is_unseen = np.ones(len(self._boxes), bool)
        is_unseen[known] = False
        is_unseen &= self._missed < self._max_missed
        self._boxes = np.concatenate([detections.boxes, self._boxes[is_unseen]])
        self._identities = np.concatenate([identities, self._identities[is_unseen]])
        self._missed = np.concatenate([np.zeros(len(detections), np.int64), self._missed[is_unseen] + 1])
        return identities
