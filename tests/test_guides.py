"""The guides in docs/ do what they say: their commands run, their links lead somewhere, their flags exist.

Commands run as written, on a miniature of what a guide supposes: programs are told in addition to do little, and to
begin with the weights that ship, since new networks find nothing after so few steps.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import drawn_faces
import numpy as np
import pytest

from data_prep.sample_set import sample_files
from mtcnn_tf import datasets
from mtcnn_tf.detection import stored_calibration

ROOT = pathlib.Path(__file__).parents[1]
GUIDES = sorted(ROOT.glob("docs/*.md"))
PAGES = [ROOT / "README.md", *GUIDES, ROOT / "serving" / "README.md", ROOT / "mtcnn_tf" / "weights" / "README.md"]

SHELL = """
set -e
python() {
    case "$*" in
        *data_prep.build*) set -- "$@" $SMALL ;;
        *train.py*--init_from*) set -- "$@" $TINY ;;
        *train.py*) stage=${2#--stage=}; set -- "$@" $TINY --init_from=mtcnn_tf/weights/classic/$stage.keras ;;
    esac
    command $PYTHON "$@"
}
mtcnn-detect() { python -m mtcnn_tf.cli.detect "$@"; }
mtcnn-evaluate() { python -m mtcnn_tf.cli.evaluate "$@"; }
mtcnn-calibrate() { python -m mtcnn_tf.cli.calibrate "$@"; }
"""
SMALL = "--num_workers=1 --num_shards=1 --validation_fraction=0.3 --landmark_trials_per_face=2"
TINY = "--epochs=1 --steps_per_epoch=2 --batch_size=32 --learning_rate=0.000001"


OURS = r"(?:train\.py|export\.py|mtcnn-\w+|data_prep\.\w+)"


def commands(name):
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / name).read_text(), re.DOTALL | re.MULTILINE))


def run(name, directory):
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "SMALL": SMALL,
        "TINY": TINY,
    }
    script = SHELL + commands(name)
    result = subprocess.run(["bash", "-c", script], cwd=directory, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def material_dir(tmp_path_factory):
    """What the guides suppose to be there."""
    directory = tmp_path_factory.mktemp("material")
    sample_files.write(directory, 12, 12, 0)
    annotations = [a for a in datasets.read(f"wider_face:{directory / 'wider'}")[0] if len(a.boxes)][:6]
    drawn_faces.write_voc(directory / "faces", annotations, "face")
    drawn_faces.write_voc(directory / "cups", annotations, "cup", also="spoon")
    write_coco(directory / "faces_with_points", datasets.read(f"points:{directory / 'points'}")[0][:3])
    (directory / "held_out.txt").write_text(
        "\n".join("/".join(annotation.image_path.split(os.sep)[-2:]) for annotation in annotations[:2])
    )
    empty = [a.image_path for a in datasets.read(f"wider_face:{directory / 'wider'}")[0] if not len(a.boxes)]
    (directory / "no_faces").mkdir()
    for path in empty:
        shutil.copy(path, directory / "no_faces")
    shutil.copy(directory / "group.jpg", directory / "table.jpg")
    return directory


def write_coco(coco_dir, annotations):
    (coco_dir / "images").mkdir(parents=True)
    (coco_dir / "annotations").mkdir()
    content = {"images": [], "annotations": []}
    content["categories"] = [
        {"id": 1, "name": "face", "keypoints": ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"]}
    ]
    for number, annotation in enumerate(annotations):
        path = pathlib.Path(annotation.image_path)
        shutil.copy(path, coco_dir / "images")
        content["images"].append({"id": number, "file_name": path.name})
        for box, points in zip(annotation.boxes, annotation.landmarks[:, [1, 0, 2, 4, 3]], strict=True):
            bbox = [*box[:2], *(box[2:] - box[:2])]
            keypoints = np.hstack([points, np.full((5, 1), 2)]).ravel()
            face = {"image_id": number, "category_id": 1, "bbox": list(map(float, bbox))}
            content["annotations"].append({**face, "keypoints": list(map(float, keypoints))})
    (coco_dir / "annotations" / "train.json").write_text(json.dumps(content))


@pytest.fixture
def directory(material_dir, tmp_path):
    """A copy for one guide, with the programs of the repository and trained networks."""
    copied = shutil.copytree(material_dir, tmp_path / "work")
    for name in ("train.py", "export.py", "mtcnn_tf"):
        (copied / name).symlink_to(ROOT / name)
    (copied / "networks").mkdir()
    for name in ("pnet", "rnet", "onet"):
        shutil.copy(ROOT / "mtcnn_tf" / "weights" / "classic" / f"{name}.keras", copied / "networks")
    return copied


@pytest.mark.slow
def test_own_faces(directory):
    told = run("own_faces.md", directory)
    assert "with all landmarks" in told and "recall" in told
    sheets = {path.name for path in (directory / "sheets").iterdir()}
    assert {"pnet-train-positive.png", "pnet-train-negative.png", "pnet-train-landmark.png"} <= sheets


@pytest.mark.slow
def test_fine_tune(directory):
    shutil.rmtree(directory / "networks")
    told = run("fine_tune.md", directory)
    assert "tuned" in told and "shipped" in told
    assert stored_calibration.read(directory / "networks") is not None
    assert (directory / "exported" / "cascade" / "1" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_other_objects(directory):
    shutil.rmtree(directory / "networks")
    run("other_objects.md", directory)
    (entry,) = json.loads((directory / "found" / "detections.json").read_text())
    assert len(entry["scores"]) > 0 and len(entry["crops"]) == len(entry["scores"])
    assert set(np.ravel(entry["landmarks"])) == {None}


@pytest.mark.slow
def test_thresholds(directory):
    told = run("thresholds.md", directory)
    strict, lenient = (
        json.loads((directory / name / "detections.json").read_text())[0]["scores"] for name in ("strict", "lenient")
    )
    assert 0 < len(strict) <= len(lenient)
    assert stored_calibration.read(directory / "networks") is not None
    assert "AP" in told and (directory / "evaluation" / "wider_face.png").is_file()


@pytest.mark.slow
def test_training_curves(directory):
    assert "recall" in run("training_curves.md", directory)


def test_every_guide_with_commands_is_run_here():
    assert [path.stem for path in GUIDES if commands(path.name) and f"test_{path.stem}" not in globals()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_and_flags_exist(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link
    sources = "".join(
        path.read_text() for path in [*ROOT.glob("*.py"), *ROOT.glob("*/*.py"), *ROOT.glob("mtcnn_tf/cli/*.py")]
    )
    known = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', sources))
    for block in re.findall(rf"```sh\n(.*?)```|`(?:{OURS} )?(--[^`]+)`", text, re.DOTALL):
        for flag in re.findall(r"--(?:no(?=augment))?(\w+)", "".join(block)):
            assert flag in known, flag
