import json
import pathlib

import pytest

import mtcnn_tf
from mtcnn_tf import files, stages
from mtcnn_tf.detection import stored_thresholds


@pytest.fixture
def workdir(tmp_path):
    for stage in stages.ON_CROPS:
        (tmp_path / stage.network_file).write_bytes(stage.name.encode())
    return tmp_path


def test_thresholds_come_back_for_the_same_networks_only(workdir):
    assert stored_thresholds.read(workdir) is None
    stored_thresholds.write(workdir, (0.1, 0.2, 0.3), {"pictures": 5})
    assert stored_thresholds.read(workdir) == (0.1, 0.2, 0.3)
    assert json.loads((workdir / "weights.json").read_text())["calibration"] == {"pictures": 5}
    (workdir / "rnet.keras").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        stored_thresholds.read(workdir)


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[]", "7", '{"thresholds": [0.5, 0.5, 0.5]}', '{"sha256": {}, "thresholds": [0.5, 2, 0.5]}']
    + ['{"thresholds": [0.5, 0.5, 0.5], "sha256": 7}'],
)
def test_what_is_no_such_file_is_one_sentence(workdir, text):
    (workdir / "weights.json").write_text(text)
    with pytest.raises(
        ValueError, match="^expected thresholds and the SHA-256 of .*weights.json'.*; choose again"
    ) as e:
        stored_thresholds.read(workdir)
    assert "\n" not in str(e.value)


def test_a_cascade_that_begins_with_the_rpn_has_as_many_as_it_has_networks(workdir):
    (workdir / "pnet.keras").rename(workdir / "rpn.keras")
    rnet = (workdir / "rnet.keras").rename(workdir / "elsewhere.keras")
    stored_thresholds.write(workdir, (0.1, 0.3), {})
    assert stored_thresholds.read(workdir) == (0.1, 0.3)
    rnet.rename(workdir / "rnet.keras")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        stored_thresholds.read(workdir)


def test_the_weights_that_ship_have_thresholds():
    shipped = f"{mtcnn_tf.__path__[0]}/weights"
    assert stored_thresholds.read(shipped) == pytest.approx(mtcnn_tf.load().thresholds)


def test_networks_at_an_address_have_the_thresholds_that_were_chosen_for_them(workdir):
    address = "ram://calibrated/networks"
    for stage in stages.ON_CROPS:
        files.as_path(address).mkdir()
        (files.as_path(address) / stage.network_file).write_bytes((workdir / stage.network_file).read_bytes())
    assert stored_thresholds.read(address) is None
    stored_thresholds.write(address, (0.1, 0.2, 0.3), {"pictures": 5})
    assert stored_thresholds.read(address) == (0.1, 0.2, 0.3)
    (files.as_path(address) / "rnet.keras").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        stored_thresholds.read(address)


def test_a_detector_is_loaded_from_an_address():
    """TensorFlow's ram:// stands for a bucket."""
    shipped = pathlib.Path(mtcnn_tf.__path__[0]) / "weights"
    address = files.as_path("ram://detectors/networks")
    address.mkdir()
    for path in shipped.glob("*.*"):
        (address / path.name).write_bytes(path.read_bytes())
    loaded = mtcnn_tf.load(str(address))
    assert loaded.thresholds == pytest.approx(mtcnn_tf.load().thresholds)
    with pytest.raises(FileNotFoundError, match="found neither"):
        mtcnn_tf.load("ram://detectors/none")
