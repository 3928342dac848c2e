"""Which worker writes, and what is said of a TF_CONFIG that doesn't tell."""

import json

import pytest

from mtcnn_tf import stages, training
from mtcnn_tf.training import cluster

TWO = {"worker": ["10.0.0.1:1", "10.0.0.2:1"]}


@pytest.mark.parametrize(
    ("addresses", "sort", "index", "is_writer"),
    [
        (TWO, "worker", 0, True),
        (TWO, "worker", "1", False),
        ({"chief": ["10.0.0.3:1"], **TWO}, "worker", 0, False),
        ({"chief": ["10.0.0.3:1"], **TWO}, "chief", 0, True),
        ({"worker": ["localhost:1"]}, "worker", 0, True),
    ],
)
def test_the_first_worker_writes(monkeypatch, addresses, sort, index, is_writer):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": addresses, "task": {"type": sort, "index": index}}))
    assert cluster.is_writer("multi_worker") == is_writer
    assert cluster.is_writer("one_device")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "needs TF_CONFIG, and it is not set; give each worker one like"),
        ("", "needs TF_CONFIG, and it is empty"),
        ("{", "TF_CONFIG must name the workers .* got '{'"),
        ("[]", "TF_CONFIG must name the workers"),
        ("{}", "TF_CONFIG must name the workers .* got '{}' .*cluster"),
        (json.dumps({"cluster": TWO}), "TF_CONFIG must name the workers .*task"),
        (json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}), "there is no task worker 2 that trains"),
        (json.dumps({"cluster": TWO, "task": {"type": "ps", "index": 0}}), "there is no task ps 0 that trains"),
        (json.dumps({"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}), "'worker' is no list"),
        (json.dumps({"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}), "'worker' is no list"),
    ],
)
def test_a_cluster_that_is_not_told_is_one_sentence(monkeypatch, tmp_path, text, told):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    config = training.Config(strategy="multi_worker")
    with pytest.raises(ValueError, match=told) as error:
        training.fit(config, stages.PNET, None, None, tmp_path)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
