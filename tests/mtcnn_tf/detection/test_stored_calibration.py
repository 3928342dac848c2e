import json
import pathlib

import pytest

import mtcnn_tf
from mtcnn_tf import files, stages
from mtcnn_tf.detection import shipped, stored_calibration
from mtcnn_tf.detection.final_scores import NOT_CALIBRATED, ScoreWeights
from mtcnn_tf.detection.stored_calibration import Calibration

WEIGHTS = ScoreWeights(1.25, 0.5, 0.5, -2.0)


@pytest.fixture
def networks_dir(tmp_path):
    for stage in stages.ON_CROPS:
        (tmp_path / stage.network_file).write_bytes(stage.name.encode())
    return tmp_path


def test_thresholds_come_back_for_the_same_networks_only(networks_dir):
    assert stored_calibration.read(networks_dir) is None
    stored_calibration.write(networks_dir, Calibration((0.1, 0.2, 0.3), WEIGHTS), {"images": 5})
    assert stored_calibration.read(networks_dir) == ((0.1, 0.2, 0.3), WEIGHTS)
    assert json.loads((networks_dir / "weights.json").read_text())["calibration"] == {"images": 5}
    (networks_dir / "rnet.keras").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        stored_calibration.read(networks_dir)


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[]", "7", '{"thresholds": [0.5, 0.5, 0.5]}', '{"sha256": {}, "thresholds": [0.5, 2, 0.5]}']
    + ['{"thresholds": [0.5, 0.5, 0.5], "sha256": 7}']
    + [
        f'{{"thresholds": [0.5, 0.5], "sha256": {{"rpn.keras": "", "onet.keras": ""}}, "score_weights": {x}}}'
        for x in ("2", "[1, 0, 0]", '{"first": -1}', '{"bias": "none"}', '{"second": 1}')
    ],
)
def test_what_is_no_such_file_is_one_sentence(networks_dir, text):
    (networks_dir / "weights.json").write_text(text)
    with pytest.raises(
        ValueError, match="^expected thresholds and the SHA-256 of .*weights.json'.*; choose again"
    ) as e:
        stored_calibration.read(networks_dir)
    assert "\n" not in str(e.value)


def test_a_cascade_that_begins_with_the_rpn_has_as_many_as_it_has_networks(networks_dir):
    (networks_dir / "pnet.keras").rename(networks_dir / "rpn.keras")
    rnet = (networks_dir / "rnet.keras").rename(networks_dir / "elsewhere.keras")
    stored_calibration.write(networks_dir, Calibration((0.1, 0.3)), {})
    assert stored_calibration.read(networks_dir) == ((0.1, 0.3), NOT_CALIBRATED)
    rnet.rename(networks_dir / "rnet.keras")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        stored_calibration.read(networks_dir)


def test_the_weights_that_ship_have_thresholds():
    for name in shipped.NAMES:
        held = stored_calibration.read(shipped.folder(name))
        assert held.thresholds == pytest.approx(mtcnn_tf.load(name).thresholds)


def test_networks_at_an_address_have_the_thresholds_that_were_chosen_for_them(networks_dir):
    address = "ram://calibrated/networks"
    for stage in stages.ON_CROPS:
        files.as_path(address).mkdir(exist_ok=True)
        (files.as_path(address) / stage.network_file).write_bytes((networks_dir / stage.network_file).read_bytes())
    assert stored_calibration.read(address) is None
    stored_calibration.write(address, Calibration((0.1, 0.2, 0.3), WEIGHTS), {"images": 5})
    assert stored_calibration.read(address) == ((0.1, 0.2, 0.3), WEIGHTS)
    (files.as_path(address) / "rnet.keras").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        stored_calibration.read(address)


def test_a_detector_is_loaded_from_an_address():
    """TensorFlow's ram:// stands for a bucket."""
    address = files.as_path("ram://detectors/networks")
    address.mkdir()
    for path in pathlib.Path(shipped.folder("default")).glob("*.*"):
        (address / path.name).write_bytes(path.read_bytes())
    loaded = mtcnn_tf.load(str(address))
    assert loaded.thresholds == pytest.approx(mtcnn_tf.load().thresholds)
    with pytest.raises(FileNotFoundError, match="found neither"):
        mtcnn_tf.load("ram://detectors/none")
