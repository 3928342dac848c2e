"""The program `mtcnn-detect`, as it is called."""

import json
import os
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest

import mtcnn_tf
from mtcnn_tf import images, networks, stages

ROOT = os.path.dirname(os.path.dirname(mtcnn_tf.__file__))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("workdir")
    keras.utils.set_random_seed(3)
    for stage in stages.ALL:
        networks.build(stage).save(path / stage.network_file)
    return path


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mtcnn_tf.cli.detect", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def test_draws_and_lists_faces_and_steps_over_what_it_cannot_read(tmp_path, workdir):
    noise = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    (tmp_path / "more").mkdir()
    for name in ("a.png", "more/a.png"):
        cv2.imwrite(str(tmp_path / name), noise)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    out_dir = tmp_path / "out" / "deep"
    result = call(
        *(tmp_path / name for name in ("a.png", "bad.jpg", "nowhere.jpg", "more/a.png")),
        f"--model={workdir}",
        f"--out_dir={out_dir}",
        "--thresholds=0,0,0",
        "--min_face_size=15",
        "--max_faces=4",
    )
    assert result.returncode == 1
    for told in ("unreadable one", "nowhere.jpg", "2 of 4 pictures failed"):
        assert told in result.stderr
    assert "Traceback" not in result.stderr and "%|" not in result.stderr
    assert "8 faces in 2 pictures" in result.stdout
    assert sorted(os.listdir(out_dir)) == ["a-2.faces.jpg", "a.faces.jpg", "detections.json"]
    assert images.read(out_dir / "a.faces.jpg").shape == noise.shape
    entries = json.loads((out_dir / "detections.json").read_text())
    assert [entry["picture"] for entry in entries] == [str(tmp_path / "a.png"), str(tmp_path / "more/a.png")]
    assert [entry["drawing"] for entry in entries] == ["a.faces.jpg", "a-2.faces.jpg"]
    found = mtcnn_tf.load(workdir)(images.read(tmp_path / "a.png"), 15, (0, 0, 0), max_faces=4)
    np.testing.assert_allclose(entries[0]["boxes"], found.boxes, atol=1e-3)
    assert np.shape(entries[0]["landmarks"]) == (4, 5, 2) and np.shape(entries[0]["scores"]) == (4,)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a.jpg", "--thresholds=0.5,0.5,7"), "--thresholds takes three numbers"),
        (("a.jpg", "--model=nowhere"), "found neither"),
    ],
)
def test_wrong_calls_are_told_in_a_sentence(tmp_path, arguments, told):
    result = call(*arguments, f"--out_dir={tmp_path / 'out'}")
    assert result.returncode == 1 and told in result.stdout + result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "out").exists()
