"""Builds on Apache Beam, as a user runs them: with processes of their own, which load the networks themselves."""

import subprocess
import sys

import pytest
from absl import flags as flags_module
from absl.testing import flagsaver

from data_prep import build, building
from mtcnn_tf import networks, stages
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


def test_without_beam_one_sentence_tells_where_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "data_prep.distributed", raising=False)
    with flagsaver.flagsaver(), pytest.raises(ValueError, match="needs Apache Beam .*requirements-beam.txt"):
        flags_module.FLAGS(["build", "--stage=pnet", "--dataset=a:b", "--out_dir=c", "--runner=DirectRunner"])
        build._run()
