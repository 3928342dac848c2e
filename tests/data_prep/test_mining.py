import numpy as np
import pytest
import tensorflow as tf

from data_prep import mining
from mtcnn_tf import stages
from mtcnn_tf.models import networks


def test_best_scores():
    wanted = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [90, 90, 99, 99]], np.float32)
    proposals = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 54], [0, 0, 9, 10]], np.float32)
    scores = np.array([0.3, 0.2, 0.9, 0.8], np.float32)
    np.testing.assert_allclose(mining.best_scores(proposals, scores, wanted), [0.8, 0, 0])
    assert mining.best_scores(np.zeros((0, 4)), np.zeros(0), wanted).tolist() == [0, 0, 0]


def test_background_scores():
    wanted = np.array([[0, 0, 10, 10]], np.float32)
    proposals = np.array([[0, 0, 10, 9], [0, 0, 10, 2], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.3, 0.2, 0.9], np.float32)
    np.testing.assert_allclose(mining.background_scores(proposals, scores, wanted, 0.3), [0.2, 0.9])
    np.testing.assert_allclose(mining.background_scores(proposals, scores, np.zeros((0, 4), np.float32), 0.3), scores)


@pytest.mark.parametrize("count", [1, 500, 970, 1000])
def test_threshold_is_the_highest_that_keeps_so_many(count):
    scores = np.random.default_rng(0).uniform(0.1, 1, 1000)
    threshold = mining.threshold_that_keeps(scores, count)
    assert np.sum(scores >= threshold) >= count
    assert np.sum(scores >= np.sort(scores)[::-1][count - 1] + 1e-9) < count
    assert threshold > np.sort(scores)[::-1][count - 1] - 1e-4


def test_what_is_out_of_reach_gives_the_lowest_threshold():
    assert mining.threshold_that_keeps(np.array([0.9, 0.0, 0.0, 0.0]), 4) == mining.LOWEST_THRESHOLD
    assert mining.threshold_that_keeps(np.array([0.9]), 2) == mining.LOWEST_THRESHOLD


class _FixedCascade:
    """Proposes the same boxes, some on the face and some not, with scores that differ."""

    def __init__(self, face, num_background, scores):
        background = np.tile(np.array([[200, 200, 220, 220]], np.float32), (num_background, 1))
        self.found = {"boxes": tf.constant(np.concatenate([face, background])), "scores": tf.constant(scores)}

    def search(self, image, min_face_size, thresholds, until):
        assert until == "pnet" and len(thresholds) == 1
        mask = self.found["scores"] >= thresholds[0]
        return {name: tf.boolean_mask(value, mask) for name, value in self.found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("names", [("rpn",), ("rpn", "rnet")])
def test_onet_learns_from_whatever_proposes_in_the_folder(tmp_path, names):
    for name in names:
        networks.build(stages.BY_NAME[name]).save(tmp_path / f"{name}.keras")
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    face = np.array([[10, 10, 40, 45]], np.float32)
    miner, report = mining.thresholds_for_recall(str(tmp_path), stages.ONET, [(image, face)], 20.0, 0.3)
    assert [entry["stage"] for entry in report] == list(names)
    assert miner.last_stage == names[-1] and len(miner.thresholds) == len(names)
    assert len(miner.load()(image)) > 0


@pytest.mark.parametrize(("background_score", "threshold"), [(0.95, 0.9), (0.5, 0.5)])
def test_calibration_keeps_faces_and_leaves_something_to_tell_apart(monkeypatch, background_score, threshold):
    face = np.array([[0, 0, 50, 50]], np.float32)
    scores = np.float32([0.9] + [background_score] * 20)
    monkeypatch.setattr(
        mining.cascade.Cascade, "from_networks", lambda *_: _FixedCascade(face, 20, scores), raising=True
    )
    miner, report = mining.thresholds_for_recall(
        "networks", stages.RNET, [(np.zeros((9, 9, 3), np.uint8), face)] * 3, 20.0, 0.3
    )
    assert miner.last_stage == "pnet" and report[0]["recall"] == 1.0
    assert miner.thresholds[0] == pytest.approx(threshold, abs=1e-4)
