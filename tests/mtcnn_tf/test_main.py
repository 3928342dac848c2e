"""`python -m mtcnn_tf` tells what is installed."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import mtcnn_tf
from mtcnn_tf.detection import shipped


def scores(name):
    return json.loads(pathlib.Path(shipped.folder(name), "weights.json").read_text(encoding="utf-8"))["scores"]


def tell(cwd, *arguments):
    return subprocess.run([sys.executable, "-m", "mtcnn_tf", *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
def test_version_devices_weights_and_their_scores():
    result = tell(pathlib.Path(mtcnn_tf.__file__).parents[1])
    assert result.returncode == 0, result.stderr
    first, devices, *table = result.stdout.splitlines()
    assert first.startswith(f"mtcnn_tf {mtcnn_tf.__version__}, TensorFlow ")
    assert "CPU" in devices and str(os.cpu_count()) in devices
    for name in shipped.NAMES:
        assert any(line.startswith(f"weights: {name}, ") and "thresholds" in line for line in table)
        assert scores(name)["wider_face"]["figures"]["ap_min20"]["value"] > 0.8
        for protocol in scores(name).values():
            assert f"  {protocol['part']}" in table
            for figure in protocol["figures"].values():
                assert any(figure["title"] in line and line.endswith(f" {figure['value']:g}") for line in table)


@pytest.mark.slow
def test_damaged_weights_are_one_sentence_and_a_status(tmp_path):
    package = shutil.copytree(pathlib.Path(mtcnn_tf.__file__).parent, tmp_path / "mtcnn_tf")
    (package / "weights" / "default" / "rpn.keras").write_bytes(b"something else")
    result = tell(tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("mtcnn_tf: expected rpn.keras as it was shipped")
    assert "WIDER" not in result.stdout and mtcnn_tf.__version__ in result.stdout


@pytest.mark.parametrize("name", shipped.NAMES)
def test_the_card_has_the_scores_that_are_told(name):
    card = pathlib.Path(shipped.folder(name), "..", "README.md").read_text(encoding="utf-8")
    for protocol in scores(name).values():
        for figure in protocol["figures"].values():
            value = figure["value"]
            assert (f"{value:.3f}".removeprefix("0") if 0 < value < 1 else f"{value:g}") in card, figure["title"]
