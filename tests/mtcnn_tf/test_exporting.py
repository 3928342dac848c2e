"""A SavedModel that differs from the Python model is refused."""

import os

import keras
import numpy as np
import pytest

from mtcnn_tf import cascade, detector, exporting, inference, networks, stages


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(3)
    return {stage.name: networks.build(stage) for stage in stages.ALL}


def test_a_saved_model_that_differs_is_refused(models, tmp_path):
    whole = cascade.Cascade(models)
    path = detector.save(whole, tmp_path)
    exporting.check_cascade(path, whole)
    whole.networks["onet"].weights[-1].assign_add(np.full(15, 0.05, np.float32))
    with pytest.raises(ValueError, match="the SavedModel of cascade, until_onet"):
        exporting.check_cascade(path, whole)


def test_a_network_that_differs_is_refused(models, tmp_path):
    model = models["rnet"]
    network = inference.Network(model)
    network.weights[-1].assign_add(np.full(15, 0.01, np.float32))
    entries = exporting.network_signatures(stages.RNET, network)
    with pytest.raises(ValueError, match="rnet, serving_default differs"):
        detector.save_version(
            network, tmp_path / "rnet", entries, check=lambda path: exporting.check_network(path, model)
        )
    assert os.listdir(tmp_path / "rnet") == []
