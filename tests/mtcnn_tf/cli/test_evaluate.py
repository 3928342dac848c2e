"""The program `mtcnn-evaluate`, as it is called."""

import json
import os

import numpy as np
import pytest

import mtcnn_tf
from mtcnn_tf import stages
from mtcnn_tf.images import image_files
from mtcnn_tf.models import networks
from tests import in_process

ROOT = os.path.dirname(os.path.dirname(mtcnn_tf.__file__))

DETECTOR = """
import numpy as np
import mtcnn_tf

def corner(image):
    assert image.shape == (60, 80, 3)
    return mtcnn_tf.Detections(np.array([[0, 0, 30, 30.0]]), np.array([0.9]), np.full((1, 5, 2), np.nan))
"""


def call(*arguments, cwd=ROOT):
    return in_process.run("mtcnn_tf.cli.evaluate", *arguments, cwd=cwd)


@pytest.fixture
def wider_dir(tmp_path):
    """Three images, one of them missing, each with a face of 30 px in the corner."""
    (tmp_path / "wider" / "WIDER_train" / "images" / "e").mkdir(parents=True)
    (tmp_path / "wider" / "wider_face_split").mkdir()
    lines = []
    for name in "abc":
        if name != "c":
            noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
            image_files.write(tmp_path / "wider" / "WIDER_train" / "images" / "e" / f"{name}.png", noise)
        lines += [f"e/{name}.png", "1", "0 0 30 30 0 0 0 0 0 0"]
    (tmp_path / "wider" / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text("\n".join(lines))
    (tmp_path / "corner_detector.py").write_text(DETECTOR)
    return tmp_path / "wider"


@pytest.mark.slow
def test_detectors_side_by_side_then_again_from_what_was_kept(tmp_path, wider_dir):
    networks.build(stages.PNET).save(tmp_path / "pnet.keras")
    (tmp_path / "other").mkdir()
    networks.build(stages.RPN).save(tmp_path / "other" / "rpn.keras")
    shared = (f"--dataset_dir={wider_dir}", "--split=train")
    result = call(
        *shared,
        "--protocol=proposals",
        f"--model=new={tmp_path}",
        f"--model=rpn={tmp_path / 'other'}",
        "--detector=corner_detector:corner",
        f"--out_dir={tmp_path / 'out'}",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert "Of the 3 images in the lists, 2 are here and counted." in result.stdout
    rows = {line[:30].strip(): line[30:].split() for line in result.stdout.splitlines()}
    assert rows["faces"] == ["2", "2", "2"]
    written = [f"proposals-detections-{name}.npz" for name in ("corner_detector_corner", "new", "rpn")]
    assert sorted(os.listdir(tmp_path / "out")) == [*written, "proposals.json", "proposals.png"]
    figures = json.loads((tmp_path / "out" / "proposals.json").read_text())["results"]
    assert figures["corner_detector:corner"]["recall_at_40"] == 1
    (tmp_path / "names.txt").write_text("e/b.png\n")
    result = call(
        *shared,
        "--protocol=wider_face",
        f"--detections=kept={tmp_path / 'out' / written[0]}",
        f"--images={tmp_path / 'names.txt'}",
        f"--out_dir={tmp_path / 'again'}",
    )
    assert result.returncode == 0, result.stderr
    held = json.loads((tmp_path / "again" / "wider_face.json").read_text())
    assert held["images"] == 1 and held["results"]["kept"]["ap_min20"] == 1


def test_proposals_of_two_pnets_on_fddb(tmp_path, wider_dir):
    for variant in ("paper", "wide"):
        (tmp_path / variant).mkdir()
        networks.build(stages.PNET, variant=variant).save(tmp_path / variant / "pnet.keras")
    (tmp_path / "fddb" / "FDDB-folds").mkdir(parents=True)
    (tmp_path / "fddb" / "originalPics").symlink_to(wider_dir / "WIDER_train" / "images")
    (tmp_path / "fddb" / "FDDB-folds" / "FDDB-fold-01-ellipseList.txt").write_text("e/a\n1\n20 14 1.57 20 30 1\n")
    image = image_files.read(wider_dir / "WIDER_train" / "images" / "e" / "a.png")
    image_files.write(wider_dir / "WIDER_train" / "images" / "e" / "a.jpg", image)
    models = [f"--model={variant}={tmp_path / variant}" for variant in ("paper", "wide")]
    result = call(
        "--protocol=proposals", f"--dataset_dir=fddb:{tmp_path / 'fddb'}", *models, f"--out_dir={tmp_path / 'out'}"
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "out" / "proposals.json").read_text())["results"]
    assert [figures[variant]["num_faces"] for variant in ("paper", "wide")] == [1, 1]


def test_false_positives_are_drawn(tmp_path, wider_dir):
    result = call(
        "--protocol=false_positives",
        f"--dataset_dir={wider_dir / 'WIDER_train'}",
        "--detector=it=corner_detector:corner",
        f"--out_dir={tmp_path / 'out'}",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert sorted(os.listdir(tmp_path / "out" / "false_positives-worst-it")) == ["01-a.jpg", "02-b.jpg"]


def test_a_path_may_hold_what_parts_a_name_from_it(tmp_path, wider_dir):
    folder = tmp_path / "lr=0.1"
    folder.mkdir()
    networks.build(stages.PNET).save(folder / "pnet.keras")
    shared = ("--protocol=proposals", f"--dataset_dir={wider_dir}", "--split=train", f"--out_dir={tmp_path / 'out'}")
    result = call(*shared, f"--model={folder}", f"--model=new={folder}", "--precision=bfloat16")
    assert result.returncode == 0, result.stderr
    held = json.loads((tmp_path / "out" / "proposals.json").read_text())
    assert set(held["results"]) == {str(folder), "new"} and held["settings"]["precision"] == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--split=train",), "expected a detector"),
        (("--split=train", "--detector=json:nothing"), "names nothing that can be called"),
        (("--split=train", "--images=IMAGES", "--detector=json:loads"), "such as 'e/z.png'"),
    ],
)
def test_wrong_calls_are_told_in_a_sentence(tmp_path, wider_dir, arguments, told):
    (tmp_path / "names.txt").write_text("e/a.png\ne/z.png\n")
    arguments = [argument.replace("IMAGES", str(tmp_path / "names.txt")) for argument in arguments]
    result = call("--protocol=wider_face", f"--dataset_dir={wider_dir}", *arguments, f"--out_dir={tmp_path / 'out'}")
    assert result.returncode == 1 and told in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "out").exists()
