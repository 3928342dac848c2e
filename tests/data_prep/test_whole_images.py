"""Image records from files: what is kept, what is re-encoded; and their builds, under the laws of `test_building`."""

import io
import json
import shutil
import signal
import subprocess

import drawn_faces
import numpy as np
import pytest
from PIL import Image
from test_building import ROOT, arguments, command, contents, wait_for

from data_prep import building, labels, recipes, whole_images
from mtcnn_tf import faces, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.models import networks
from mtcnn_tf.records import image_batches, image_records, input_pipeline, manifests
from tests import in_process

FACE = np.float32([drawn_faces.FACE])
PHOTO = drawn_faces.draw_image(0)  # 160 × 120


def config_of(*dataset_specs, **changes):
    return recipes.Config(
        **{"stage": "rpn", "datasets": dataset_specs, "num_shards": 4, "validation_fraction": 0.37} | changes
    )


def write(path, file_format="JPEG", image=PHOTO, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, file_format, **options)
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def test_what_was_recorded_with_more_pixels_than_usual_is_read(wider_dir, tmp_path, monkeypatch):
    building.build(config_of(f"wider_face:{wider_dir}"), str(tmp_path / "out"), num_workers=1)
    monkeypatch.setattr(image_files.decode, "__defaults__", ("bytes", 1000))
    images, _ = image_batches.read(str(tmp_path / "out"), stages.RPN, "train")
    assert images and min(image.width * image.height for image in images) > 1000


@pytest.mark.parametrize(("file_format", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB")])
@pytest.mark.parametrize("options", [{}, oriented(1)], ids=["", "upright"])
def test_plain_files_are_kept_as_they_are(tmp_path, file_format, mode, options):
    encoded = write(tmp_path / "a.file", file_format, mode=mode, **options)
    annotation = faces.Annotation(str(tmp_path / "a.file"), FACE)
    image, problems = whole_images.of_file(annotation, longest_side=160)
    assert image.encoded == encoded and not problems and image.path == f"{tmp_path.name}/a.file"
    assert (image.width, image.height) == (160, 120) and image.proposals is None
    np.testing.assert_array_equal(image.boxes, FACE)


@pytest.mark.parametrize(
    ("file_format", "mode", "options"),
    [
        *((name, "RGB", {}) for name in ("WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")),
        *(("PNG", mode, {}) for mode in ("RGBA", "P", "1", "LA")),
        ("JPEG", "CMYK", {}),
        *((name, "RGB", oriented(6)) for name in ("JPEG", "PNG", "AVIF")),
    ],
)
def test_what_does_not_decode_everywhere_becomes_an_upright_jpeg(tmp_path, file_format, mode, options):
    write(tmp_path / "a.file", file_format, mode=mode, **options)
    image, _ = whole_images.of_file(faces.Annotation(str(tmp_path / "a.file"), FACE))
    upright = image_files.read(tmp_path / "a.file")
    assert upright.shape == ((160, 120, 3) if options else (120, 160, 3)) == (image.height, image.width, 3)
    assert image_files.is_plain(image.encoded)
    with Image.open(io.BytesIO(image.encoded)) as header:
        assert header.format == "JPEG"
    smooth = [
        pixels.reshape(-1, 10, pixels.shape[1] // 10, 10, 3).mean(axis=(1, 3))
        for pixels in (upright, image_files.decode(image.encoded))
    ]
    np.testing.assert_allclose(*smooth, atol=3)


def test_a_shrunk_image_keeps_its_faces_in_place(tmp_path):
    write(tmp_path / "a.png", "PNG")
    points = np.linspace(30, 90, 10).reshape(1, 5, 2)
    annotation = faces.Annotation(str(tmp_path / "a.png"), FACE, points, ignored=[[100, 0, 200, 60]])
    image, _ = whole_images.of_file(annotation, longest_side=80)
    assert (image.width, image.height) == (80, 60)
    np.testing.assert_allclose(image.boxes, FACE / 2)
    np.testing.assert_allclose(image.landmarks, points / 2, rtol=1e-6)
    np.testing.assert_allclose(image.ignored, [[50, 0, 80, 30]])
    face = image_files.decode(image.encoded)[12:48, 15:45].mean()
    assert face > 1.5 * image_files.decode(image.encoded)[:, 50:].mean()


def test_faces_of_any_size_and_background_are_kept_and_what_teaches_nothing_is_not(tmp_path):
    write(tmp_path / "a.jpg")
    path = str(tmp_path / "a.jpg")
    tiny = faces.Annotation(path, [[5, 5, 7, 8], [-5, 5, 10, 20], [155, 0, 180, 30]])
    image, problems = whole_images.of_file(tiny)
    assert len(image.boxes) == 2 and len(image.ignored) == 1 and len(problems) == 2
    assert len(whole_images.of_file(faces.Annotation(path))[0].boxes) == 0
    assert whole_images.of_file(faces.Annotation(path, is_complete=False)) == (None, [])
    assert not whole_images.of_file(faces.Annotation(path, FACE, is_complete=False))[0].is_complete
    write(tmp_path / "dot.png", "PNG", np.zeros((1, 1, 3), np.uint8))
    assert whole_images.of_file(faces.Annotation(str(tmp_path / "dot.png")))[0].width == 1


def test_images_that_cannot_be_read_are_a_problem(tmp_path):
    (tmp_path / "a.jpg").write_bytes(write(tmp_path / "b.jpg")[:300])
    for name, told in (("a.jpg", "unreadable"), ("nothing.jpg", "found no file"), ("b.jpg", "at most 9 pixels")):
        image, (problem,) = whole_images.of_file(
            faces.Annotation(str(tmp_path / name), FACE), max_pixels=9 if told[0] == "a" else 10**6
        )
        assert image is None and problem.what == "unreadable image" and told in problem.detail


def test_the_best_proposals_are_kept_best_first(tmp_path):
    write(tmp_path / "a.jpg")
    scores = np.random.default_rng(0).permutation(1000).astype(np.float32)
    proposed = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    annotation = faces.Annotation(str(tmp_path / "a.jpg"), FACE)
    image, _ = whole_images.of_file(annotation, propose=lambda _: (proposed, scores))
    assert image.proposal_scores.tolist() == list(range(999, 599, -1))
    np.testing.assert_array_equal(image.proposals, proposed[np.argsort(-scores)[:400]])


@pytest.fixture(scope="module")
def specs(wider_dir, points_dir):
    return f"wider_face:{wider_dir}", f"points:{points_dir}"


@pytest.fixture(scope="module")
def built(specs, tmp_path_factory):
    """An undisturbed build by one worker, and its manifest."""
    out_dir = tmp_path_factory.mktemp("built")
    return out_dir, building.build(config_of(*specs), str(out_dir), num_workers=1)


def test_the_manifest_tells_what_is_there(built, specs):
    out_dir, manifest = built
    assert manifest == manifests.read(out_dir, stages.RPN, manifests.IMAGES) and manifest["records"] == "images"
    manifests.check_shards(out_dir, stages.RPN)
    assert manifest["images"] == {"train": 14, "validation": 4} and not manifest["problems"]
    num_faces = 0
    for split in manifests.SPLITS:
        found = list(image_records.read(out_dir, stages.RPN, split))
        assert manifest["examples"][split] == {"image": len(found), "face": sum(len(of.boxes) for of in found)}
        num_faces += manifest["examples"][split]["face"]
    assert num_faces == 17
    held_out = (out_dir / "rpn" / "held_out.txt").read_text().splitlines()
    assert {"/".join(line.split("/")[-2:]) for line in held_out} == {image.path for image in found}


def test_the_same_images_are_held_out_as_for_crops(built, specs, tmp_path):
    recipe = recipes.Recipe(negatives=1, trials_per_face=2)
    building.build(config_of(*specs, stage="pnet", recipe=recipe), str(tmp_path), num_workers=1)
    assert (tmp_path / "pnet" / "held_out.txt").read_text() == (built[0] / "rpn" / "held_out.txt").read_text()
    with pytest.raises(ValueError, match="got records of whole images"):
        input_pipeline.read_manifest(built[0], stages.RPN)


def test_any_number_of_workers_gives_the_same_bytes(built, specs, tmp_path):
    building.build(config_of(*specs), str(tmp_path), num_workers=2)
    assert contents(tmp_path) == contents(built[0])


@pytest.mark.slow
def test_a_killed_build_goes_on_and_ends_the_same(built, specs, tmp_path):
    flags = ["--stage=rpn", f"--dataset={specs[1]}", "--num_workers=1"]
    process = subprocess.Popen(command(specs[0], tmp_path, *flags), cwd=ROOT)
    unfinished = tmp_path / "rpn" / "unfinished"
    wait_for(lambda: list(unfinished.glob("[!.]*-0*.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "rpn" / "manifest.json").exists()
    marker = json.loads(sorted(unfinished.glob("[!.]*-0*.json"))[0].read_text())
    damaged = tmp_path / "rpn" / marker["shards"][0]["file"]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    building.build(config_of(*specs), str(tmp_path), num_workers=2)
    assert contents(tmp_path) == contents(built[0])


def test_damaged_records_of_a_finished_build_are_built_again(built, specs, tmp_path):
    out_dir = shutil.copytree(built[0], tmp_path / "out")
    path = out_dir / "rpn" / built[1]["shards"][0]["file"]
    path.write_bytes(path.read_bytes()[:-3])
    lines = []
    building.build(config_of(*specs), str(out_dir), num_workers=1, report=lines.append)
    assert len(lines) == 1 and lines[0].startswith("1 shards of")
    assert contents(out_dir) == contents(built[0])


@pytest.mark.slow
@pytest.mark.parametrize("stage", [stages.RNET, stages.ONET])
def test_images_with_proposals(stage, wider_dir, tmp_path):
    for earlier in stages.proposers(stage):
        networks.build(earlier).save(tmp_path / earlier.network_file)
    changes = {"stage": stage.name, "networks": str(tmp_path), "crops": "on_the_fly", "longest_side": 100}
    config = config_of(f"wider_face:{wider_dir}", calibration_images=3, **changes)
    manifest = building.build(config, str(tmp_path / "a"), num_workers=1)
    assert building.build(config, str(tmp_path / "b"), num_workers=2) == manifest
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert manifest["mining"]["miner"]["last_stage"] == stages.proposers(stage)[-1].name
    threshold = manifest["mining"]["miner"]["thresholds"][-1]
    found = list(image_records.read(tmp_path / "a", stage, "train"))
    assert len(found) == manifest["examples"]["train"]["image"] and any(len(image.proposals) for image in found)
    for image in found:
        assert (image.width, image.height) == (100, 75) == image_files.decode(image.encoded).shape[1::-1]
        assert len(image.proposals) == len(image.proposal_scores) <= 400
        assert (np.diff(image.proposal_scores) <= 0).all() and (image.proposal_scores >= threshold - 1e-6).all()


def test_images_none_of_which_can_be_read_are_one_sentence(tmp_path):
    directory = drawn_faces.write_wider_face(tmp_path / "wider", 3)
    for path in directory.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="no image of .* gave a face example; 3 problems, the first: .*unreadable"):
        building.build(config_of(f"wider_face:{directory}"), str(tmp_path / "out"), num_workers=1)
    assert not (tmp_path / "out" / "rpn" / "manifest.json").exists()


def test_no_usable_face_is_one_sentence(wider_dir, tmp_path):
    recipe = recipes.Recipe(rules=labels.Rules(min_face_size=500))
    with pytest.raises(ValueError, match="expected annotated faces of at least 500 pixels"):
        building.build(config_of(f"wider_face:{wider_dir}", recipe=recipe), str(tmp_path / "out"), num_workers=1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--networks=x"], "--stage=rpn takes no --networks"),
        (["--crops=on_the_fly"], "--crops=on_the_fly is for pnet, rnet and onet, got --stage=rpn"),
        (["--max_mined_negatives=9"], "--max_mined_negatives: only for crops in records"),
        (
            [
                "--stage=onet",
                "--crops=on_the_fly",
                "--networks=x",
                "--trials_per_face=5",
                "--landmark_trials_per_face=20",
            ],
            "--trials_per_face, --landmark_trials_per_face: only for crops in records; leave out",
        ),
        (["--stage=pnet", "--longest_side=99"], "--longest_side is for whole images"),
        (["--longest_side=9"], "flag --longest_side=9"),
    ],
)
def test_wrong_flags_are_one_sentence(specs, tmp_path, more, message):
    result = in_process.run("data_prep.build", *arguments(specs[0], tmp_path, "--stage=rpn", *more), cwd=ROOT)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert message in result.stderr + result.stdout
