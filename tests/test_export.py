"""export.py writes what the Python models say, or nothing."""

import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import mtcnn_tf
from mtcnn_tf import stages
from mtcnn_tf.detection import stored_calibration
from mtcnn_tf.models import networks
from tests import in_process

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(mtcnn_tf.__file__)))


@pytest.fixture(scope="module")
def networks_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks_dir")
    keras.utils.set_random_seed(3)
    for stage in stages.ON_CROPS:
        networks.build(stage, shared_slopes=stage is not stages.RNET).save(path / stage.network_file)
    return path


def call(*arguments):
    return in_process.run("export", *arguments, cwd=ROOT)


@pytest.mark.slow
def test_exports_everything_as_the_next_version(networks_dir, tmp_path):
    out_dir = tmp_path / "exported"
    (out_dir / "rnet" / "4").mkdir(parents=True)
    (out_dir / "rnet" / "4" / "saved_model.pb").touch()
    result = call(f"--networks={networks_dir}", f"--out_dir={out_dir}", "--thresholds=0.5,0.6,0.25")
    assert result.returncode == 0, result.stderr
    folders = [out_dir / "pnet" / "1", out_dir / "rnet" / "5", out_dir / "onet" / "1", out_dir / "cascade" / "1"]
    assert result.stdout.splitlines() == [f"wrote {folder}" for folder in folders]
    np.testing.assert_allclose(mtcnn_tf.load(out_dir).thresholds, (0.5, 0.6, 0.25))

    pnet = tf.saved_model.load(str(folders[0]))
    found = pnet.signatures["uint8"](pixels=tf.zeros([2, 20, 31, 3], tf.uint8))
    assert {name: values.shape for name, values in found.items()} == {
        "scores": (2, 5, 11),
        "offsets": (2, 5, 11, 4),
        "landmarks": (2, 5, 11, 5, 2),
    }


@pytest.mark.slow
def test_thresholds_that_were_chosen_for_the_networks_are_exported_with_them(networks_dir, tmp_path):
    chosen_dir = shutil.copytree(networks_dir, tmp_path / "chosen")
    stored_calibration.write(chosen_dir, stored_calibration.Calibration((0.25, 0.5, 0.75)), {})
    result = call(f"--networks={chosen_dir}", f"--out_dir={tmp_path / 'exported'}")
    assert result.returncode == 0, result.stderr
    assert mtcnn_tf.load(tmp_path / "exported").thresholds == (0.25, 0.5, 0.75)


@pytest.mark.parametrize("flag", ["--networks=a --from_npy=b", ""])
def test_networks_come_from_one_place(tmp_path, flag):
    result = call(*flag.split(), f"--out_dir={tmp_path / 'out'}")
    assert result.returncode == 1 and "(networks, from_npy)" in result.stderr and "Traceback" not in result.stderr


def test_missing_original_weights_are_told_in_a_sentence(tmp_path):
    result = call(f"--from_npy={tmp_path}", f"--out_dir={tmp_path / 'out'}")
    assert result.returncode == 1 and "det1.npy" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_wrong_thresholds_are_told_in_a_sentence(networks_dir, tmp_path):
    result = call(f"--networks={networks_dir}", f"--out_dir={tmp_path / 'out'}", "--thresholds=0.5,0.5,1.5")
    assert (
        result.returncode == 1
        and "a number in 0–1 for each network" in result.stderr
        and "Traceback" not in result.stderr
    )
    assert not (tmp_path / "out").exists()


def test_an_address_to_write_to_is_refused(networks_dir):
    result = call(f"--networks={networks_dir}", "--out_dir=gs://bucket/exported")
    assert result.returncode == 1 and "--out_dir takes a local folder" in result.stderr
    assert not os.path.exists("gs:")


def test_missing_network_says_how_to_make_it(tmp_path):
    result = call(f"--networks={tmp_path}", f"--out_dir={tmp_path / 'out'}")
    assert result.returncode == 1 and "train.py --stage=pnet" in result.stderr and "Traceback" not in result.stderr
