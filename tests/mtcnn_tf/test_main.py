"""`python -m mtcnn_tf` tells what is installed."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import mtcnn_tf
from mtcnn_tf import __main__ as about

CARD = """
| no score | ours |
|---|---|
| before | 1 |

## Scores

Some words.

| public part | figure | ours | theirs |
|---|---|---|---|
| Faces, 3 pictures | AP | .8 | .9 |
| | recall at 1 / 2 | .4 / .5 | – |
| Rooms | false alarms | 0 | 7 |

## More

| no score | ours |
|---|---|
| after | 1 |
"""


def tell(cwd, *arguments):
    return subprocess.run([sys.executable, "-m", "mtcnn_tf", *arguments], cwd=cwd, capture_output=True, text=True)


def test_scores_are_read_from_the_table_of_the_card():
    assert list(about.scores(CARD)) == [
        ("Faces, 3 pictures", "AP", ".8"),
        ("Faces, 3 pictures", "recall at 1 / 2", ".4 / .5"),
        ("Rooms", "false alarms", "0"),
    ]


@pytest.mark.slow
def test_version_devices_weights_and_their_scores():
    result = tell(pathlib.Path(mtcnn_tf.__file__).parents[1])
    assert result.returncode == 0, result.stderr
    first, devices, weights, *table = result.stdout.splitlines()
    assert first.startswith(f"mtcnn_tf {mtcnn_tf.__version__}, TensorFlow ")
    assert "CPU" in devices and str(os.cpu_count()) in devices
    assert str(about.CARD.parent) in weights and "thresholds" in weights
    rows = list(about.scores(about.CARD.read_text(encoding="utf-8")))
    assert any(part.startswith("WIDER FACE") for part, _, _ in rows)
    assert all(any(row[1] in line and line.endswith(row[2]) for line in table) for row in rows)


@pytest.mark.slow
def test_damaged_weights_are_one_sentence_and_a_status(tmp_path):
    package = shutil.copytree(pathlib.Path(mtcnn_tf.__file__).parent, tmp_path / "mtcnn_tf")
    (package / "weights" / "rnet.keras").write_bytes(b"something else")
    result = tell(tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("mtcnn_tf: expected rnet.keras as it was shipped")
    assert "WIDER" not in result.stdout and mtcnn_tf.__version__ in result.stdout
