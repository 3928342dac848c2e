import functools

import numpy as np
import pytest
from scipy import special

from mtcnn_tf import faces
from mtcnn_tf.detection.final_scores import NOT_CALIBRATED
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

    def __call__(self, thresholds, score_weights=NOT_CALIBRATED):
        scores = self.final(score_weights)
        rows = np.flatnonzero(np.all(scores > thresholds, axis=1))
        rows = rows[np.argsort(-scores[rows, -1])]
        return [faces.Detections(self.boxes[rows], scores[rows, -1], faces.no_landmarks(len(rows)))]

    def final(self, score_weights):
        """The scores of the networks, the last one's as they are calibrated; this one knows all that the first does."""
        scale = score_weights.onet + score_weights.first
        final = special.expit(scale * special.logit(self.scores[:, -1]) + score_weights.bias)
        return np.concatenate([self.scores[:, :-1], final[:, None]], axis=1)

    def num_found(self, thresholds, score_weights=NOT_CALIBRATED):
        return int(np.sum(np.all(self.final(score_weights)[:NUM_FACES] > thresholds, axis=1)))

    def f1(self, thresholds, score_weights):
        num_above = int(np.sum(np.all(self.final(score_weights) > thresholds, axis=1)))
        return 2 * self.num_found(thresholds, score_weights) / (num_above + NUM_FACES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("keep_recall", [0.5, 0.9, 0.99, 1])
def test_thresholds_are_as_high_as_the_lost_faces_allow(seed, keep_recall):
    cascade = Cascade(seed)
    choice = calibration.choose(cascade, cascade.annotations, 20, keep_recall, NAMES)
    pnet, rnet, onet = choice.thresholds
    low_pnet, low_rnet, _ = LOWEST
    num_found = functools.partial(cascade.num_found, score_weights=choice.score_weights)
    f1 = functools.partial(cascade.f1, score_weights=choice.score_weights)
    assert f1((low_pnet, low_rnet, onet)) == max(f1((low_pnet, low_rnet, step / 100)) for step in range(100))
    findable = num_found((low_pnet, low_rnet, onet))
    assert num_found((pnet, low_rnet, onet)) >= (1 + keep_recall) / 2 * findable
    assert num_found((pnet + 0.01, low_rnet, onet)) < (1 + keep_recall) / 2 * findable
    assert num_found((pnet, rnet, onet)) >= keep_recall * findable
    assert num_found((pnet, rnet + 0.01, onet)) < keep_recall * findable


@pytest.mark.parametrize("keep_recall", [0.9, 1])
def test_without_rnet_the_first_stage_may_lose_all_that_may_be_lost(keep_recall):
    cascade = Cascade(0, num_networks=2)
    choice = calibration.choose(cascade, cascade.annotations, 20, keep_recall, ("rpn", "onet"))
    rpn, onet = choice.thresholds
    num_found = functools.partial(cascade.num_found, score_weights=choice.score_weights)
    findable = num_found((calibration.LOWEST["rpn"], onet))
    assert num_found((rpn, onet)) >= keep_recall * findable > num_found((rpn + 0.01, onet))
    assert choice.reports["all chosen"].figures["threshold_rpn"] == rpn


def test_figures_are_those_of_the_cascade_itself():
    cascade = Cascade(0)
    choice = calibration.choose(cascade, cascade.annotations, 20, 0.95, NAMES)
    figures = choice.reports["all chosen"].figures
    (found,) = cascade(choice.thresholds, choice.score_weights)
    assert figures["num_found"] == cascade.num_found(choice.thresholds, choice.score_weights)
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


def chosen_where(noise_of):
    """What is chosen for a cascade whose final logits have noise of so large a deviation with these weights."""
    cascade, rng = Cascade(1, num_networks=2), np.random.default_rng(2)

    def find(thresholds, score_weights):
        (found,) = cascade(thresholds, score_weights)
        noise = rng.normal(0, noise_of(score_weights), len(found))
        return [faces.Detections(found.boxes, special.expit(special.logit(found.scores) + noise), found.landmarks)]

    return calibration.choose(find, cascade.annotations, 20, 0.97, ("rpn", "onet"))


@pytest.mark.parametrize("best", calibration.FIRST_WEIGHTS)
def test_the_first_stage_gets_the_weight_with_the_best_average_precision(best):
    choice = chosen_where(lambda weights: 30 * abs(weights.first - best))
    onet, first, size, _ = choice.score_weights
    assert first / (first + onet) == pytest.approx(best) and size == 0
    assert choice.reports["lowest"].figures["ap"] >= choice.reports["O-Net's logit alone"].figures["ap"]


@pytest.mark.parametrize("best", calibration.SIZE_WEIGHTS)
def test_size_gets_the_weight_with_the_best_average_precision(best):
    choice = chosen_where(lambda weights: 200 * weights.first + 20 * abs(weights.size - best))
    onet, first, size, _ = choice.score_weights
    assert first == 0 and size / onet == pytest.approx(best)


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (2.5, -3.0), (0.4, 1.0)])
def test_calibrated_scores_are_the_chances_of_hits(scale, bias):
    rng = np.random.default_rng(0)
    chances = special.expit(rng.normal(0, 3, 20000))
    scores = special.expit((special.logit(chances) - bias) / scale)
    ranking = curves.Ranking(scores, rng.random(len(chances)) < chances, num_faces=len(chances))
    assert calibration.chances(ranking) == pytest.approx((scale, bias), rel=0.05, abs=0.1)


def test_what_there_is_to_learn_chances_from_may_be_little_or_certain():
    certain = curves.Ranking(np.array([0, 0.2, 0.8, 1]), np.array([0, 0, 1, 1]), num_faces=2)
    scale, bias = calibration.chances(certain)
    assert 0 < scale < 10 and abs(bias) < 10
    assert all(map(np.isfinite, calibration.chances(curves.Ranking(np.array([0.8]), np.array([1]), num_faces=1))))


def test_scores_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="one whose scores say nothing; train it further"):
        calibration.chances(curves.Ranking(np.array([0.9, 0.8, 0.1]), np.array([0, 0, 1]), num_faces=1))
