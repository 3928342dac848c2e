import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.evaluation import calibration, curves

NUM_FACES, NUM_STRAY = 200, 60
NAMES = ("pnet", "rnet", "onet")
LOWEST = tuple(calibration.LOWEST[name] for name in NAMES)


class Cascade:
    """Of faces in a row, and places that look like faces, the scores of the networks, drawn by chance."""

    def __init__(self, seed, num_networks=3):
        rng = np.random.default_rng(seed)
        self.scores = np.concatenate(
            [rng.beta(4, 2, (NUM_FACES, num_networks)), rng.beta(2, 3, (NUM_STRAY, num_networks))]
        )
        x = 40.0 * np.arange(NUM_FACES + NUM_STRAY)
        self.boxes = np.stack([x, 0 * x, x + 30, 0 * x + 30], axis=1).astype(np.float32)
        self.annotations = [faces.Annotation("", self.boxes[:NUM_FACES])]

    def __call__(self, thresholds, first_weight=0.0):
        del first_weight  # these networks' last one knows all that the first does
        rows = np.flatnonzero(np.all(self.scores > thresholds, axis=1))
        rows = rows[np.argsort(-self.scores[rows, -1])]
        return [faces.Detections(self.boxes[rows], self.scores[rows, -1], faces.no_landmarks(len(rows)))]

    def num_found(self, thresholds):
        return int(np.sum(np.all(self.scores[:NUM_FACES] > thresholds, axis=1)))

    def f1(self, thresholds):
        num_above = int(np.sum(np.all(self.scores > thresholds, axis=1)))
        return 2 * self.num_found(thresholds) / (num_above + NUM_FACES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("keep_recall", [0.5, 0.9, 0.99, 1])
def test_thresholds_are_as_high_as_the_lost_faces_allow(seed, keep_recall):
    cascade = Cascade(seed)
    choice = calibration.choose(cascade, cascade.annotations, 20, keep_recall, NAMES)
    pnet, rnet, onet = choice.thresholds
    low_pnet, low_rnet, _ = LOWEST
    assert cascade.f1((low_pnet, low_rnet, onet)) == max(
        cascade.f1((low_pnet, low_rnet, step / 100)) for step in range(100)
    )
    findable = cascade.num_found((low_pnet, low_rnet, onet))
    assert cascade.num_found((pnet, low_rnet, onet)) >= (1 + keep_recall) / 2 * findable
    assert cascade.num_found((pnet + 0.01, low_rnet, onet)) < (1 + keep_recall) / 2 * findable
    assert cascade.num_found((pnet, rnet, onet)) >= keep_recall * findable
    assert cascade.num_found((pnet, rnet + 0.01, onet)) < keep_recall * findable


@pytest.mark.parametrize("keep_recall", [0.9, 1])
def test_without_rnet_the_first_stage_may_lose_all_that_may_be_lost(keep_recall):
    cascade = Cascade(0, num_networks=2)
    choice = calibration.choose(cascade, cascade.annotations, 20, keep_recall, ("rpn", "onet"))
    rpn, onet = choice.thresholds
    findable = cascade.num_found((calibration.LOWEST["rpn"], onet))
    assert cascade.num_found((rpn, onet)) >= keep_recall * findable > cascade.num_found((rpn + 0.01, onet))
    assert choice.reports["all chosen"].figures["threshold_rpn"] == rpn


def test_figures_are_those_of_the_cascade_itself():
    cascade = Cascade(0)
    choice = calibration.choose(cascade, cascade.annotations, 20, 0.95, NAMES)
    figures = choice.reports["all chosen"].figures
    (found,) = cascade(choice.thresholds)
    assert figures["num_found"] == cascade.num_found(choice.thresholds)
    assert figures["num_fp"] == len(found) - figures["num_found"]
    assert figures["recall"] == figures["num_found"] / NUM_FACES
    assert figures["ap"] <= figures["ap_without_last"]
    assert choice.reports["lowest"].figures["num_found"] == cascade.num_found(LOWEST)


def test_a_cascade_that_finds_nothing_is_refused():
    cascade = Cascade(0)
    nothing = faces.Detections(faces.no_boxes(), np.zeros(0), faces.no_landmarks(0))
    with pytest.raises(ValueError, match="one that finds none"):
        calibration.choose(lambda *_: [nothing], cascade.annotations, 20, 0.99, NAMES)


@pytest.mark.parametrize("last_fine", range(20, 100))
def test_the_search_ends_at_the_last_threshold_that_is_fine(last_fine):
    assert calibration.highest(lambda threshold: threshold * 100 <= last_fine + 1e-6, 0.2) == last_fine / 100


def test_between_equal_scores_the_lowest_threshold_is_best():
    ranking = curves.Ranking(np.array([0.9, 0.505]), np.array([1, 0]), num_faces=1)
    assert calibration.best_threshold(ranking) == 0.51


@pytest.mark.parametrize("best", calibration.FIRST_WEIGHTS)
def test_the_first_stage_gets_the_weight_with_the_best_average_precision(best):
    cascade = Cascade(1, num_networks=2)
    rng = np.random.default_rng(2)

    def find(thresholds, first_weight):
        (found,) = cascade(thresholds)
        noise = rng.normal(0, 3 * abs(first_weight - best), len(found))
        return [faces.Detections(found.boxes, found.scores + noise, found.landmarks)]

    choice = calibration.choose(find, cascade.annotations, 20, 0.97, ("rpn", "onet"))
    assert choice.first_weight == best
    assert choice.reports["lowest"].figures["ap"] >= choice.reports["O-Net alone"].figures["ap"]
