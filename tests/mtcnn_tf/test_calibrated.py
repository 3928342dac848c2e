import json

import pytest

import mtcnn_tf
from mtcnn_tf import calibrated, stages


@pytest.fixture
def workdir(tmp_path):
    for stage in stages.ON_CROPS:
        (tmp_path / stage.network_file).write_bytes(stage.name.encode())
    return tmp_path


def test_thresholds_come_back_for_the_same_networks_only(workdir):
    assert calibrated.read(workdir) is None
    calibrated.write(workdir, (0.1, 0.2, 0.3), {"pictures": 5})
    assert calibrated.read(workdir) == (0.1, 0.2, 0.3)
    assert json.loads((workdir / "weights.json").read_text())["calibration"] == {"pictures": 5}
    (workdir / "rnet.keras").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        calibrated.read(workdir)


def test_a_cascade_that_begins_with_the_rpn_has_as_many_as_it_has_networks(workdir):
    (workdir / "pnet.keras").rename(workdir / "rpn.keras")
    rnet = (workdir / "rnet.keras").rename(workdir / "elsewhere.keras")
    calibrated.write(workdir, (0.1, 0.3), {})
    assert calibrated.read(workdir) == (0.1, 0.3)
    rnet.rename(workdir / "rnet.keras")
    with pytest.raises(ValueError, match=r"another rnet.keras; choose again"):
        calibrated.read(workdir)


def test_the_weights_that_ship_have_thresholds():
    shipped = f"{mtcnn_tf.__path__[0]}/weights"
    assert calibrated.read(shipped) == pytest.approx(mtcnn_tf.load().thresholds)
