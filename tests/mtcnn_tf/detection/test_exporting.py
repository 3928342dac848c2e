"""A SavedModel that differs from the Python model is refused."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import locks, stages
from mtcnn_tf.detection import cascade, detector, exporting
from mtcnn_tf.images import alignment
from mtcnn_tf.models import inference, networks


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(3)
    return {stage.name: networks.build(stage) for stage in stages.ON_CROPS}


@pytest.mark.slow
def test_a_saved_model_that_differs_is_refused(models, tmp_path):
    whole = cascade.Cascade(models)
    path = exporting.save(whole, tmp_path)
    exporting.check_cascade(path, whole)
    whole.networks["onet"].weights[-1].assign_add(np.full(10, 0.05, np.float32))
    with pytest.raises(ValueError, match="the SavedModel of cascade, until_onet"):
        exporting.check_cascade(path, whole)


def test_a_network_that_differs_is_refused(models, tmp_path):
    model = models["rnet"]
    network = inference.Network(model)
    network.weights[-1].assign_add(np.full(10, 0.01, np.float32))
    entries = exporting.network_signatures(stages.RNET, network)
    with pytest.raises(ValueError, match="rnet, serving_default differs"):
        exporting.save_version(
            network, tmp_path / "rnet", entries, check=lambda path: exporting.check_network(path, model)
        )
    assert os.listdir(tmp_path / "rnet") == []


@pytest.mark.slow
@pytest.mark.parametrize("names", [("rpn", "onet"), ("rpn", "rnet", "onet")], ids="-".join)
def test_a_cascade_that_begins_with_the_rpn(models, tmp_path, names):
    rpn = networks.build(stages.RPN)
    rpn.get_layer("face8").bias.assign([0.1, 0.2, -0.1, -0.2])  # some fire
    chosen = {"rpn": rpn, **{name: models[name] for name in names[1:]}}
    thresholds = (0.45, 0.0, 0.0)[: len(names)]
    paths = list(exporting.export(chosen, tmp_path, thresholds))
    assert [os.path.relpath(path, tmp_path) for path in paths] == [f"{name}/1" for name in (*names, "cascade")]
    said = tf.saved_model.load(paths[0]).signatures["uint8"](pixels=tf.zeros([1, 64, 32, 3], tf.uint8))
    num_anchors = 8 * 4 * 4 + 4 * 2 * 3 + 2 * 2
    assert {name: values.shape for name, values in said.items()} == {
        "scores": (1, num_anchors),
        "offsets": (1, num_anchors, 4),
        "anchors": (num_anchors, 4),
    }
    loaded, here = detector.load(tmp_path), detector.Detector(cascade.Cascade(chosen, thresholds))
    assert loaded.stages == here.stages == names and loaded.thresholds == pytest.approx(thresholds)
    image = exporting.check_images()[1]
    for until in names:
        found, wanted = (find(image, until=until) for find in (loaded, here))
        assert len(wanted) > 0
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-3)
    with pytest.raises(ValueError, match=f"until must be one of {', '.join(names)}, got 'pnet'"):
        loaded(image, until="pnet")


def test_an_rpn_that_differs_is_refused(tmp_path):
    model = networks.build(stages.RPN)
    network = inference.frozen(model)
    network.weights[-1].assign_add(np.full(8, 0.01, np.float32))
    with pytest.raises(ValueError, match="rpn, serving_default differs"):
        exporting.save_version(
            network,
            tmp_path / "rpn",
            exporting.network_signatures(stages.RPN, network),
            check=lambda path: exporting.check_network(path, model),
        )


def test_a_cascade_without_onet_is_not_saved(models, tmp_path):
    with pytest.raises(ValueError, match="expected a cascade with onet to save, got one of pnet alone"):
        exporting.save(cascade.Cascade({"pnet": models["pnet"]}), tmp_path)


def test_a_full_disk_leaves_no_version_that_serving_would_take(models, tmp_path, file_size_limit):
    """What a killed export left does no harm, and goes with the next."""
    left = tmp_path / "rnet" / ".partial-1-1"
    left.mkdir(parents=True)
    (left / "saved_model.pb").touch()
    exporting_models = exporting.export(models, tmp_path)
    with file_size_limit(200_000), pytest.raises(OSError, match="could not write .*rnet.1: "):
        assert os.path.basename(next(exporting_models)) == "1"
        assert not left.exists()
        next(exporting_models)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")) == ["pnet/1"]


def test_two_exports_into_one_folder_are_refused(models, tmp_path):
    with locks.only_one_in(tmp_path, "export"), pytest.raises(ValueError, match="another export is at work"):
        next(exporting.export(models, tmp_path))


@pytest.mark.slow
def test_without_landmarks_boxes_and_scores_are_the_same_and_nothing_else_is_said(models, tmp_path):
    plain = {}
    for name, model in models.items():
        plain[name] = networks.build(stages.BY_NAME[name], landmarks=False)
        for layer in plain[name].layers:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    for path in exporting.export(plain, tmp_path, (0.0, 0.0, 0.0)):
        signatures = tf.saved_model.load(path).signatures
        assert all("landmarks" not in entry.structured_outputs for entry in signatures.values())

    image = exporting.check_images()[1]
    with_landmarks = detector.Detector(cascade.Cascade(models, (0.0, 0.0, 0.0)))(image)
    for find in (detector.load(tmp_path), detector.Detector(cascade.Cascade(plain, (0.0, 0.0, 0.0)))):
        found = find(image)
        assert len(found) > 0 and found.landmarks.shape == (len(found), 5, 2) and np.isnan(found.landmarks).all()
        np.testing.assert_allclose(found.boxes, with_landmarks.boxes, atol=1e-3)
        np.testing.assert_allclose(found.scores, with_landmarks.scores, atol=1e-5)
        assert len(find(image, thresholds=(1, 1, 1))) == 0
        with pytest.raises(ValueError, match="trained without landmarks"):
            alignment.align(image, found)
