"""`make reproduce`, from photographs to the model card's tables, on a miniature of the photographs it is made for."""

import os
import pathlib
import shutil
import subprocess
import sys

import drawn_faces
import numpy as np
import pytest
import scipy.io
from skimage import data as photographs

from data_prep.sample_set import sample_files
from mtcnn_tf import datasets
from mtcnn_tf.detection import stored_calibration
from mtcnn_tf.images import image_files

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]


def cells(values):
    """A Matlab cell array in a column."""
    column = np.empty((len(values), 1), object)
    column[:, 0] = values
    return column


def write_official_lists(wider_dir):
    annotations, _ = datasets.read(f"wider_face:{wider_dir}", "val")
    sides = [np.hstack([a.boxes[:, :2], a.boxes[:, 2:] - a.boxes[:, :2]]) for a in annotations]
    held = {
        "event_list": cells([sample_files.EVENT]),
        "file_list": cells([cells([pathlib.Path(a.image_path).stem for a in annotations])]),
        "face_bbx_list": cells([cells(sides)]),
        "gt_list": cells([cells([np.arange(1, len(of_image) + 1)[:, None] for of_image in sides])]),
    }
    for setting in ("easy", "medium", "hard"):
        scipy.io.savemat(wider_dir / "wider_face_split" / f"wider_{setting}_val.mat", held)


def write_fddb(fddb_dir, annotations):
    for name in ("FDDB-folds", "originalPics/any"):
        (fddb_dir / name).mkdir(parents=True)
    lines = []
    for annotation in annotations:
        image = pathlib.Path(annotation.image_path)
        shutil.copy(image, fddb_dir / "originalPics" / "any")
        lines += [f"any/{image.stem}", str(len(annotation.boxes))]
        for x1, y1, x2, y2 in annotation.boxes:
            lines.append(f"{(y2 - y1) / 2} {(x2 - x1) / 2} {np.pi / 2} {(x1 + x2) / 2} {(y1 + y2) / 2} 1")
    (fddb_dir / "FDDB-folds" / "FDDB-fold-09-ellipseList.txt").write_text("\n".join(lines))


@pytest.fixture
def photograph_dir(tmp_path):
    """The folders that reproduce.mk names, filled from the sample set."""
    directory = tmp_path / "photographs"
    sample_files.write(directory, 12, 12, 0)
    (directory / "wider").rename(directory / "wider_face")
    (directory / "points").rename(directory / "lfpw")
    shutil.copytree(directory / "lfpw", directory / "lfw_points")
    write_official_lists(directory / "wider_face")
    with_faces = [a for a in datasets.read(f"wider_face:{directory / 'wider_face'}")[0] if len(a.boxes)]
    drawn_faces.write_voc(directory / "face_mask_voc", with_faces[:4], "face")
    write_fddb(directory / "fddb", with_faces[:2])
    for name in ("coffee", "chelsea", "rocket", "grass", "brick"):
        (directory / "no_faces" / "any").mkdir(parents=True, exist_ok=True)
        pixels = getattr(photographs, name)()
        image = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
        image_files.write(directory / "no_faces" / "any" / f"{name}.jpg", image[:200, :200])
    return directory


def make(*arguments):
    # The environment is that of the tests: nothing is to be set up.
    command = ["make", "--old-file=setup", f"RUN={sys.executable}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MAKEFLAGS": ""})


def test_from_photographs_to_the_tables(photograph_dir, tmp_path):
    work_dir = tmp_path / "work"
    result = make(
        "reproduce-classic",
        f"DATA={photograph_dir}",
        f"WORK={work_dir}",
        "INIT_FROM=mtcnn_tf/weights/classic",
        "BUILD_FLAGS=--num_workers=1 --num_shards=1 --validation_fraction=0.3 --landmark_trials_per_face=2",
        "TRAIN_FLAGS=--epochs=1 --steps_per_epoch=2 --batch_size=32 --learning_rate=0.000001 --precision=float32",
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert (work_dir / "exported" / "cascade" / "1" / "saved_model.pb").is_file()
    assert stored_calibration.read(work_dir / "networks") is not None
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")]
    values = {f"{part.removeprefix('| ')}, {name}": value.removesuffix(" |") for part, name, value in rows}
    assert values["FDDB, 2 images, upright boxes, recall at 10 / 50 / 100 / 500 false positives"].count("1.00") == 4
    assert values["1 held-out images without faces, false positives at score ≥ .5 / .7 / .9"] == "0 / 0 / 0"
    assert {name.split(",")[0] for name in values} >= {"WIDER FACE", "LFPW test list", "faces ≥ 20 px"}
    assert any(name.startswith("people with and without masks: faces ≥ 20 px") for name in values)

    trained_with = (work_dir / "no_faces_train.txt").read_text() + (work_dir / "records" / "onet").joinpath(
        "held_out.txt"
    ).read_text()
    assert (work_dir / "no_faces_test.txt").read_text().strip() not in trained_with


def test_behind_an_rpn(photograph_dir, tmp_path):
    work_dir = tmp_path / "work"
    result = make(
        "reproduce",
        f"DATA={photograph_dir}",
        f"WORK={work_dir}",
        "INIT_FROM=mtcnn_tf/weights/default",
        "BUILD_FLAGS=--num_workers=1 --num_shards=1 --validation_fraction=0.3",
        "TRAIN_FLAGS=--epochs=1 --steps_per_epoch=2 --batch_size=8 --window=128 --learning_rate=0.000001",
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert (work_dir / "exported" / "rpn" / "1" / "saved_model.pb").is_file()
    assert len(stored_calibration.read(work_dir / "networks").thresholds) == 2
    assert "| FDDB, 2 images" in result.stdout


def test_without_photographs_it_says_what_it_needs(tmp_path):
    result = make("scores", f"DATA={tmp_path}", f"WORK={tmp_path / 'work'}")
    assert result.returncode != 0 and "make scores DATA=DIR" in result.stderr
    assert not (tmp_path / "work").exists()
