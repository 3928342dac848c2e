"""Faces of any points through the real programs: records, training, detector, export, figures."""

import csv
import json
import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import mtcnn_tf
from mtcnn_tf import landmark_sets, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.models import networks
from mtcnn_tf.records import input_pipeline, manifests
from tests import in_process
from tests.data_prep import drawn_faces

ROOT = pathlib.Path(__file__).parent.parent
FEW = ("--num_workers=1", "--num_shards=2", "--validation_fraction=0.2")


def shape_of_68():
    """The points of an upright face, [68, 2], whose box is −1–1 in x and y."""
    jaw, outer, inner = (
        np.stack([rx * np.cos(t), middle + ry * np.sin(t)], axis=1)
        for rx, ry, middle, t in (
            (0.9, 0.8, 0.1, np.linspace(np.pi, 0, 17)),
            (0.35, 0.12, 0.55, np.pi + np.arange(12) * np.pi / 6),
            (0.25, 0.05, 0.55, np.pi + np.arange(8) * np.pi / 4),
        )
    )
    brows = [(x, -0.45) for x in (-0.7, -0.6, -0.5, -0.4, -0.3, 0.3, 0.4, 0.5, 0.6, 0.7)]
    nose = [(0, y) for y in (-0.3, -0.2, -0.1, 0)] + [(x, 0.15) for x in (-0.2, -0.1, 0, 0.1, 0.2)]
    eye = np.array([(-0.15, 0), (-0.07, -0.06), (0.07, -0.06), (0.15, 0), (0.07, 0.06), (-0.07, 0.06)])
    return np.concatenate([jaw, brows, nose, eye + (-0.5, -0.25), eye + (0.5, -0.25), outer, inner])


def drawn_face(seed):
    """An image, its face's box [4], and the 68 points [68, 2]."""
    rng = np.random.default_rng(seed)
    corner, width = rng.uniform(5, 45, 2), rng.uniform(40, 65)
    box = np.array([*corner, *(corner + [width, 1.2 * width])])
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return drawn_faces.draw_image(seed, box), box, middle + half * shape_of_68()


def run(module_name, *arguments):
    done = in_process.run(module_name, *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ibug_dir(tmp_path_factory):
    """30 images with 68 points, and in `none` some without a face."""
    directory = tmp_path_factory.mktemp("ibug")
    (directory / "none").mkdir()
    for seed in range(30):
        image, _, points = drawn_face(seed)
        rows = "".join(f"{x:.3f} {y:.3f}\n" for x, y in points + 1)
        image_files.write(directory / f"{seed}.png", image)
        (directory / f"{seed}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}}}\n")
    for seed in range(6):
        noise = np.random.default_rng(seed).integers(0, 120, (120, 160, 3), dtype=np.uint8)
        image_files.write(directory / "none" / f"{seed}.png", noise)
    return directory


@pytest.fixture
def coco_dir(tmp_path):
    """12 faces with three keypoints each, and the file that describes these: `three.json`."""
    directory, annotations = tmp_path / "coco", []
    directory.mkdir()
    for seed in range(12):
        image, (x1, y1, x2, y2), points = drawn_face(seed)
        image_files.write(directory / f"{seed}.png", image)
        keypoints = np.pad(points[[36, 45, 57]], [(0, 0), (0, 1)], constant_values=2)
        box = [x1, y1, x2 - x1, y2 - y1]
        annotations.append(
            {"image_id": seed, "category_id": 1, "bbox": box, "keypoints": keypoints.ravel().round(2).tolist()}
        )
    images = [{"id": seed, "file_name": f"{seed}.png"} for seed in range(12)]
    categories = [{"id": 1, "name": "face", "keypoints": ["a", "b", "c"]}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (directory / "train.json").write_text(json.dumps(content))
    (tmp_path / "three.json").write_text(json.dumps({"num_points": 3, "mirror_pairs": [[0, 1]], "eyes": [[0], [1]]}))
    return directory


def build(stage, dataset, out_dir, *more):
    return in_process.run(
        "data_prep.build", f"--stage={stage}", f"--dataset={dataset}", f"--out_dir={out_dir}", *FEW, *more, cwd=ROOT
    )


def test_records_hold_the_points_that_a_file_describes(coco_dir, tmp_path):
    three = f"--landmarks={tmp_path / 'three.json'}"
    done = build("pnet", f"coco:{coco_dir}", tmp_path, three)
    assert done.returncode == 0, done.stderr
    manifest = manifests.read(str(tmp_path), stages.PNET)
    assert manifests.landmark_set(manifest) == landmark_sets.LandmarkSet(3, ((0, 1),), ((0,), (1,)))
    assert manifest["examples"]["train"]["landmark"] > 20
    for augment in (False, True):
        rows = input_pipeline.batches(str(tmp_path), stages.PNET, "train", 64, {"landmark": 1}, augment)
        points = next(iter(rows))["landmarks"].numpy().reshape(-1, 3, 2)
        assert (points[:, 0, 0] < points[:, 1, 0]).all(), "left stays left, mirrored or not"
        assert (points[:, 2, 1] > points[:, :2, 1].max(axis=1)).all()
    run("data_prep.check", f"--records_dir={tmp_path}", "--stage=pnet", f"--out_dir={tmp_path / 'sheets'}")
    assert (tmp_path / "sheets" / "pnet-train-landmark-augmented.png").is_file()
    counted = run("data_prep.check", f"--dataset=coco:{coco_dir}", three)
    assert re.search("with all landmarks +12\n", counted), counted


def test_without_landmarks_none_are_recorded(ibug_dir, tmp_path):
    assert build("pnet", f"ibug:{ibug_dir}", tmp_path, "--landmarks=none").returncode == 0
    assert manifests.read(str(tmp_path), stages.PNET)["examples"]["train"]["landmark"] == 0
    assert build("pnet", f"ibug:{ibug_dir}", tmp_path / "five").returncode == 0
    assert manifests.read(str(tmp_path / "five"), stages.PNET)["examples"]["train"]["landmark"] > 20


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"num_points": 3, "mirror_pairs": [[0, 1], [1, 2]]}, "mirror_pairs with each point once, got 1 twice"),
        (
            {"num_points": 4, "mirror_pairs": []},
            "expected faces with 4 points in coco:.*, found none; give --landmarks",
        ),
        (None, "landmarks are 5, 68 or a file that describes them, got"),
    ],
)
def test_points_that_cannot_be_are_one_sentence(coco_dir, tmp_path, content, sentence):
    path = tmp_path / "points.json"
    if content:
        path.write_text(json.dumps(content))
    done = build("pnet", f"coco:{coco_dir}", tmp_path, f"--landmarks={path}")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("build: ")
    assert re.search(sentence, done.stderr), done.stderr


@pytest.fixture(scope="module")
def trained(ibug_dir, tmp_path_factory):
    """A folder of networks, P-Net and R-Net as they begin, O-Net trained on 68 points."""
    out_dir = tmp_path_factory.mktemp("any_points")
    for stage in (stages.PNET, stages.RNET):
        networks.build(stage).save(out_dir / stage.network_file)
    dataset = (f"--dataset=ibug:{ibug_dir}", f"--dataset=folder:{ibug_dir / 'none'}", "--landmarks=68")
    mined = (f"--networks={out_dir}", "--thresholds=0,0", "--max_mined_negatives=10", "--min_face_size=30")
    run("data_prep.build", "--stage=onet", *dataset, f"--out_dir={out_dir}", *FEW, *mined)
    short = ("--epochs=4", "--steps_per_epoch=40", "--batch_size=32", "--learning_rate=0.003")
    run("train", "--stage=onet", f"--records_dir={out_dir}", f"--networks={out_dir}", *short)
    return out_dir


@pytest.mark.slow
def test_an_onet_learns_68_points(trained):
    with open(trained / "onet" / "history.csv") as file:
        errors = [float(row["val_landmark_error"]) for row in csv.DictReader(file)]
    assert errors[-1] < 15 and errors[-1] < 0.6 * errors[0]
    network = networks.load(trained / "onet.keras")
    assert networks.landmark_set_of(network) == landmark_sets.IBUG and network.output["landmarks"].shape == (None, 136)
    done = in_process.run(
        "train", "--stage=onet", f"--records_dir={trained}", f"--networks={trained / 'x'}", "--landmarks=five", cwd=ROOT
    )
    assert "--landmarks=five needs records of the five points, these hold 68 of another set" in done.stderr


@pytest.mark.slow
def test_detector_export_and_figures_have_68_points(trained, ibug_dir, tmp_path):
    image, box, points = drawn_face(7)
    search = {"min_face_size": 40, "thresholds": (0, 0, 0.3)}
    found = mtcnn_tf.load(trained)(image, **search)
    assert found.landmarks.shape == (len(found), 68, 2) and np.isfinite(found.landmarks).all()
    best = found[0]
    assert np.linalg.norm(best.landmarks - points, axis=1).mean() < 0.25 * (box[2] - box[0])
    assert best.landmarks[0, 0] < best.landmarks[16, 0], "the jaw goes from left to right"
    with pytest.raises(ValueError, match="expected the five landmarks of each face, got 68"):
        mtcnn_tf.align(image, found)

    run("export", f"--networks={trained}", f"--out_dir={tmp_path / 'exported'}", "--thresholds=0,0,0.3")
    again = mtcnn_tf.load(tmp_path / "exported")(image, **search)
    np.testing.assert_allclose(again.landmarks, found.landmarks, atol=0.05)
    served = tf.saved_model.load(str(tmp_path / "exported" / "cascade" / "1")).signatures["serving_default"]
    encoded = [tf.io.encode_png(image).numpy(), tf.io.encode_png(np.zeros((50, 50, 3), np.uint8)).numpy()]
    assert served(tf.constant(encoded))["landmarks"].shape[2:] == (68, 2)
    onet = tf.saved_model.load(str(tmp_path / "exported" / "onet" / "1")).signatures["uint8"]
    assert onet(pixels=tf.zeros([3, 48, 48, 3], tf.uint8))["landmarks"].shape == (3, 68, 2)

    image_files.write(tmp_path / "face.png", image)
    writes = (
        "--write=drawings,csv,crops",
        f"--model={trained}",
        "--min_face_size=40",
        f"--out_dir={tmp_path / 'found'}",
    )
    run("mtcnn_tf.cli.detect", tmp_path / "face.png", *writes, "--thresholds=0,0,0.3")
    with open(tmp_path / "found" / "detections.csv") as file:
        rows = list(csv.reader(file))
    assert len(rows) == len(found) + 1 and len(rows[1]) == len(rows[0]) == 8 + 136
    assert rows[0][-1] == "point_67_y"
    assert len(os.listdir(tmp_path / "found" / "crops")) == len(found)

    measured = (f"--dataset_dir=ibug:{ibug_dir}", "--landmarks=68", f"--model={trained}", "--thresholds=0,0,0.3")
    out = run("mtcnn_tf.cli.evaluate", "--protocol=landmarks", *measured, f"--out_dir={tmp_path}", "--min_face_size=40")
    assert "size of the face" in out
    figures = json.loads((tmp_path / "landmarks.json").read_text())
    assert "error_of_found_by_size" in json.dumps(figures)


@pytest.mark.slow
def test_crops_of_other_points_are_cut_on_the_fly(trained, ibug_dir, tmp_path):
    dataset = (f"--dataset=ibug:{ibug_dir}", f"--dataset=folder:{ibug_dir / 'none'}", "--landmarks=68")
    mined = (f"--networks={trained}", "--thresholds=0,0", "--crops=on_the_fly", "--margin=1.3")
    run("data_prep.build", "--stage=onet", *dataset, f"--out_dir={tmp_path}", *FEW, *mined)
    short = ("--epochs=1", "--steps_per_epoch=3", "--batch_size=16")
    run("train", "--stage=onet", f"--records_dir={tmp_path}", f"--networks={tmp_path / 'networks'}", *short)
    network = networks.load(tmp_path / "networks" / "onet.keras")
    assert networks.landmark_set_of(network) == landmark_sets.IBUG and networks.margin_of(network) == 1.3
