"""Builds on Apache Beam, as a user runs them: with processes of their own, which load the networks themselves."""

import os
import re
import subprocess

import pytest

from data_prep import building
from mtcnn_tf import stages
from mtcnn_tf.models import networks
from tests.data_prep import test_building

FLAGS = ["--thresholds=0.5", "--trials_per_face=20"]


def test_beam_gives_the_bytes_that_this_machine_gives(wider_dir, tmp_path):
    pytest.importorskip("apache_beam", reason="pip install -r requirements-beam.txt")
    networks.build(stages.PNET).save(tmp_path / "pnet.keras")
    dataset = f"wider_face:{wider_dir}"
    mined = [f"--networks={tmp_path}", "--stage=rnet", *FLAGS]
    command = test_building.command(dataset, tmp_path / "beam", *mined, "--runner=DirectRunner", "--num_workers=2")
    result = subprocess.run(command, cwd=test_building.ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    config = test_building.config_of(dataset, stage="rnet", networks=str(tmp_path), thresholds=(0.5,))
    manifest = building.build(config, str(tmp_path / "local"), num_workers=1)
    assert sum(manifest["examples"]["train"].values()) > 100
    assert test_building.contents(tmp_path / "beam") == test_building.contents(tmp_path / "local")


@pytest.mark.slow
def test_without_beam_one_sentence_tells_where_it_is(tmp_path):
    (tmp_path / "apache_beam.py").write_text("raise ImportError('not here')")
    command = test_building.command("wider_face:none", tmp_path / "records", "--runner=DirectRunner")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, cwd=test_building.ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert re.search("needs Apache Beam .*requirements-beam.txt$", result.stderr.splitlines()[-1])
