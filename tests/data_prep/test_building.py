import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import cv2
import drawn_faces
import numpy as np
import pytest

from data_prep import building, jobs, plans, recipes, shards
from mtcnn_tf import datasets, faces, kinds, locks, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.models import networks
from mtcnn_tf.records import input_pipeline
from tests import in_process

ROOT = pathlib.Path(__file__).parents[2]


def config_of(*dataset_specs, **changes):
    return recipes.Config(
        **{"stage": "pnet", "datasets": dataset_specs, "num_shards": 4, "validation_fraction": 0.37} | changes
    )


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def wait_for(has_happened):
    deadline = time.monotonic() + 120
    while not has_happened() and time.monotonic() < deadline:
        time.sleep(0.005)


def arguments(dataset, out_dir, *more):
    return [
        "--stage=pnet", f"--dataset={dataset}", f"--out_dir={out_dir}",
        "--num_shards=4", "--validation_fraction=0.37", *more,
    ]  # fmt: skip


def command(*given):
    """A build in a process that can be killed."""
    return [sys.executable, "-m", "data_prep.build", *arguments(*given)]


def run(*given):
    return in_process.run("data_prep.build", *arguments(*given), cwd=ROOT)


@pytest.fixture(scope="module")
def specs(wider_dir, points_dir):
    return f"wider_face:{wider_dir}", f"points:{points_dir}"


@pytest.fixture(scope="module")
def built(specs, tmp_path_factory):
    """An undisturbed build by one worker, and its manifest."""
    out_dir = tmp_path_factory.mktemp("built")
    return out_dir, building.build(config_of(*specs), str(out_dir), num_workers=1)


def test_the_manifest_tells_what_is_there(built):
    out_dir, manifest = built
    stage_dir = out_dir / "pnet"
    assert json.loads((stage_dir / "manifest.json").read_text()) == manifest
    assert manifest["images"] == {"train": 14, "validation": 4}
    assert not manifest["problems"] and not (stage_dir / "unfinished").exists()
    on_disk = {name for name in contents(stage_dir) if name.endswith(".tfrecord")}
    assert on_disk == {shard["file"] for shard in manifest["shards"]}
    assert all(shards.is_intact(stage_dir, shard) for shard in manifest["shards"])
    for split in ("train", "validation"):
        counted = dict.fromkeys(manifest["examples"][split], 0)
        for batch in input_pipeline.batches(str(out_dir), stages.PNET, split, 64, repeat=False):
            for kind in batch["kind"].numpy():
                counted[kinds.NAMES[kind]] += 1
        assert counted == manifest["examples"][split]
        assert all(counted.values())


def test_held_out_images_are_listed_as_the_validation_records_have_them(built, specs):
    listed = (built[0] / "pnet" / "held_out.txt").read_text().splitlines()
    assert len(listed) == len(set(listed)) == 4 and all(map(os.path.isfile, listed))
    annotations = [annotation for spec in specs for annotation in datasets.read(spec)[0]]
    of_validation = [job for job in jobs.split_images(annotations, 4, 0.37, 0) if job.split == "validation"]
    assert set(listed) == {annotation.image_path for job in of_validation for _, annotation in job.images}


def test_any_number_of_workers_gives_the_same_bytes(built, specs, tmp_path):
    building.build(config_of(*specs), str(tmp_path), num_workers=3)
    assert contents(tmp_path) == contents(built[0])


@pytest.mark.slow
def test_a_killed_build_goes_on_and_ends_the_same(built, specs, tmp_path):
    flags = [f"--dataset={specs[1]}", "--num_workers=1"]
    process = subprocess.Popen(command(specs[0], tmp_path, *flags), cwd=ROOT)
    unfinished = tmp_path / "pnet" / "unfinished"
    wait_for(lambda: list(unfinished.glob("[!.]*-0*.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(unfinished.glob("[!.]*-0*.json")), "the build was killed before its first shard was done"
    assert not (tmp_path / "pnet" / "manifest.json").exists()
    with pytest.raises(FileNotFoundError, match="finished pnet records"):
        input_pipeline.read_manifest(str(tmp_path), stages.PNET)

    # A finished shard is damaged and a half-written one is left: neither is taken for whole.
    marker = json.loads(sorted(unfinished.glob("[!.]*-0*.json"))[0].read_text())
    damaged = tmp_path / "pnet" / max(marker["shards"], key=lambda shard: shard["examples"])["file"]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (damaged.parent / ".partial-99-negative-00001-of-00004.tfrecord").write_bytes(b"half")
    building.build(config_of(*specs), str(tmp_path), num_workers=2)
    assert contents(tmp_path) == contents(built[0])


@pytest.mark.slow
def test_ctrl_c_stops_at_once_says_how_to_go_on_and_loses_nothing(built, specs, tmp_path):
    flags = [f"--dataset={specs[1]}", "--num_workers=2"]
    process = subprocess.Popen(
        command(specs[0], tmp_path, *flags),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell lets what it starts in the background ignore Ctrl-C, and with it these tests and their processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: (tmp_path / "pnet" / "unfinished" / "manifest.json").exists())  # its workers are starting
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "The same command goes on" in stderr and "Traceback" not in stderr
    assert not list(tmp_path.rglob("*partial*"))
    building.build(config_of(*specs), str(tmp_path), num_workers=2)
    assert contents(tmp_path) == contents(built[0])


def test_a_finished_build_is_left_alone(built, specs):
    before = {path: path.stat().st_mtime_ns for path in built[0].rglob("*.tfrecord")}
    assert building.build(config_of(*specs), str(built[0]), num_workers=1) == built[1]
    assert before == {path: path.stat().st_mtime_ns for path in built[0].rglob("*.tfrecord")}


def damage(stage_dir, manifest):
    """Flips a bit of one training shard, cuts another short and removes a third; their paths."""
    flipped, cut, gone = (
        stage_dir / next(entry["file"] for entry in manifest["shards"] if entry["file"].startswith(f"train/{name}"))
        for name in ("negative", "positive", "part")
    )
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-7])
    gone.unlink()
    return flipped, cut, gone


def test_damaged_records_of_a_finished_build_are_built_again(built, specs, tmp_path):
    out_dir = shutil.copytree(built[0], tmp_path / "out")
    damage(out_dir / "pnet", built[1])
    before = {path: path.stat().st_mtime_ns for path in out_dir.rglob("*.tfrecord")}
    with pytest.raises(ValueError, match="2 shards .*cut short.*given again, repairs them"):
        input_pipeline.check_shards(str(out_dir), stages.PNET)
    lines = []
    building.build(config_of(*specs), str(out_dir), num_workers=1, report=lines.append)
    assert len(lines) == 1 and lines[0].startswith("3 shards of") and "train/negative-00000" in lines[0]
    assert contents(out_dir) == contents(built[0])
    for path, time_ns in before.items():
        is_concerned = path.parent.name == "train" and "-00000-of-" in path.name
        assert (path.stat().st_mtime_ns != time_ns) == is_concerned


def test_damaged_records_whose_images_have_changed_are_not_mended_in_silence(built, specs, tmp_path):
    out_dir = shutil.copytree(built[0], tmp_path / "out")
    damage(out_dir / "pnet", built[1])

    def other_images(pending, *_):
        assert len(pending) == 1
        yield pending[0], {"shards": [{**built[1]["shards"][0], "sha256": "0"}]}

    with pytest.raises(ValueError, match="train-00000 have changed or are missing; --restart"):
        building.build(config_of(*specs), str(out_dir), num_workers=1, run=other_images)


def test_other_settings_are_refused_by_name_and_lose_nothing(built, specs):
    before = contents(built[0])
    with pytest.raises(ValueError, match=r"\(seed\).*--restart"):
        building.build(config_of(*specs, seed=1), str(built[0]), num_workers=1)
    assert contents(built[0]) == before


@pytest.mark.parametrize("num_images", [1, 2])
def test_one_image_is_always_left_to_train_with(num_images):
    annotations = [faces.Annotation(f"a/{number}.jpg") for number in range(num_images)]
    held_out = {job.split: len(job.images) for job in jobs.split_images(annotations, 4, 0.9, 0)}
    assert held_out == ({"train": 1, "validation": 1} if num_images == 2 else {"train": 1})


def held_out_of(num_images, fraction=0.05, seed=0):
    annotations = [faces.Annotation(f"faces/{number}.jpg") for number in range(num_images)]
    all_jobs = jobs.split_images(annotations, 4, fraction, seed)
    return {one.image_path for job in all_jobs if job.split == "validation" for _, one in job.images}


def test_images_that_are_added_move_none_into_the_training_or_out_of_it():
    held_out = [held_out_of(num_images) for num_images in (400, 401, 450, 1000)]
    for fewer, more, num_before in zip(held_out, held_out[1:], (400, 401, 450), strict=False):
        assert fewer == {path for path in more if int(path[6:-4]) < num_before}
    assert 35 < len(held_out[-1]) < 65
    assert held_out_of(400, 0.1) > held_out_of(400) != held_out_of(400, seed=1)
    assert not held_out_of(400, 0) and len(held_out_of(3, 1e-6)) == 1


def test_records_that_were_split_otherwise_are_refused(built, specs, tmp_path):
    """Else `held_out.txt` would name images that networks were trained on."""
    out_dir = shutil.copytree(built[0], tmp_path / "out")
    path = out_dir / "pnet" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["settings"]["split"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"built with other settings \(split\)"):
        building.build(config_of(*specs), str(out_dir), num_workers=1)


@pytest.mark.parametrize("changes", [{"datasets": ("wider_face:nowhere",)}, {"networks": "nowhere"}])
def test_a_restart_that_cannot_begin_loses_nothing(built, specs, changes):
    before = contents(built[0])
    with pytest.raises((ValueError, FileNotFoundError), match="nowhere"):
        building.build(config_of(*specs, **changes), str(built[0]), num_workers=1, restart=True)
    assert contents(built[0]) == before


def test_two_builds_into_one_folder_are_refused(built, specs):
    with locks.only_one_in(built[0] / "pnet", "build"), pytest.raises(ValueError, match="another build"):
        building.build(config_of(*specs), str(built[0]), num_workers=1)


def test_bad_images_are_stepped_over_and_listed(tmp_path):
    directory = drawn_faces.write_wider_face(tmp_path / "wider", 8)
    images = directory / "WIDER_train" / "images" / "0--Test"
    (images / "000.png").unlink()
    (images / "001.png").write_bytes((images / "001.png").read_bytes()[:500])
    cv2.imwrite(str(images / "002.png"), drawn_faces.draw_image(2)[..., 0])
    cv2.imwrite(str(images / "003.png"), drawn_faces.draw_image(3).astype(np.uint16) * 257)
    image_files.write(images / "004.png", drawn_faces.draw_image(4)[:60, :60])
    manifest = building.build(config_of(f"wider_face:{directory}"), str(tmp_path / "out"), num_workers=1)
    assert manifest["problems"] == {"unreadable image": 2, "box outside the image": 1}
    report = (tmp_path / "out" / "pnet" / "problems.txt").read_text()
    for name in ("000.png", "001.png", "004.png"):
        assert name in report
    assert "002.png" not in report and "003.png" not in report


def test_a_build_that_met_a_name_that_is_not_utf_8_goes_on(wider_dir, tmp_path):
    (tmp_path / "others").mkdir()
    path = os.path.join(os.fsencode(tmp_path / "others"), b"caf\xe9.jpg")
    with open(path, "wb") as file:
        file.write(b"no image")
    config = config_of(f"wider_face:{wider_dir}", f"folder:{tmp_path / 'others'}")
    first = building.build(config, str(tmp_path / "out"), num_workers=1)
    assert sum(first["problems"].values()) >= 1
    (tmp_path / "out" / "pnet" / "manifest.json").unlink()  # as if it had been stopped just before
    assert building.build(config, str(tmp_path / "out"), num_workers=1) == first


def test_images_for_thresholds_are_read_each_time_and_not_held(wider_dir, tmp_path):
    networks.build(stages.PNET).save(tmp_path / "pnet.keras")
    config = config_of(f"wider_face:{wider_dir}", stage="rnet", networks=str(tmp_path), calibration_images=3)
    images = plans._calibration_images(plans.make(config, tmp_path / "out", print))
    assert len(images) == 3 and [len(boxes) > 0 for _, boxes in images] == [True] * 3
    first, again = (next(iter(images))[0] for _ in range(2))
    assert first is not again and np.array_equal(first, again)


def test_no_usable_face_is_an_error(specs, tmp_path):
    (tmp_path / "empty").mkdir()
    image_files.write(tmp_path / "empty" / "a.png", drawn_faces.draw_image(0))
    with pytest.raises(ValueError, match="expected annotated faces.*found none in 1 images"):
        building.build(config_of(f"folder:{tmp_path / 'empty'}"), str(tmp_path / "out"), num_workers=1)


def test_mining_wants_the_networks_before(specs, tmp_path):
    with pytest.raises(FileNotFoundError, match="train.py --stage=pnet"):
        building.build(config_of(*specs, stage="rnet", networks=str(tmp_path)), str(tmp_path / "out"), num_workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [stages.RNET, stages.ONET])
def test_mined_records_are_the_same_for_any_number_of_workers(stage, wider_dir, tmp_path):
    for earlier in stages.proposers(stage):
        networks.build(earlier).save(tmp_path / earlier.network_file)
    config = config_of(f"wider_face:{wider_dir}", stage=stage.name, networks=str(tmp_path), calibration_images=3)
    manifest = building.build(config, str(tmp_path / "a"), num_workers=1)
    assert building.build(config, str(tmp_path / "b"), num_workers=2) == manifest
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    calibration = manifest["mining"]["calibration"]
    assert [found["stage"] for found in calibration] == [earlier.name for earlier in stages.proposers(stage)]
    assert manifest["mining"]["miner"]["last_stage"] == calibration[-1]["stage"]
    batch = next(iter(input_pipeline.batches(str(tmp_path / "a"), stage, "train", 8)))
    assert batch["image"].shape[1:] == (stage.size, stage.size, 3)


def test_a_failed_build_does_not_wait_for_a_worker_that_ended_with_the_lock(tmp_path, monkeypatch):
    context = jobs._context()
    new_queue = context.SimpleQueue
    progress = new_queue()
    progress._wlock.acquire()
    first_queue = iter([progress])  # the executor asks for another one
    monkeypatch.setattr(context, "SimpleQueue", lambda: next(first_queue, None) or new_queue())
    monkeypatch.setattr(jobs, "_context", lambda: context)
    (tmp_path / "file").touch()
    settings = jobs.Settings(tmp_path / "file" / "pnet", recipes.Config("pnet", ("folder:none",)))
    with pytest.raises(OSError, match="file"):
        list(jobs.run([jobs.Job("train", 0, 1, [])], settings, lambda counts: None, num_workers=1))


@pytest.mark.slow
def test_a_full_disk_stops_the_build_with_one_sentence_and_keeps_what_is_done(specs, tmp_path):
    """A limit on file size stands for a full disk: writing fails in the middle of a shard."""
    limited = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash"]
    result = subprocess.run(limited + command(specs[0], tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "build: could not write" in result.stderr.splitlines()[-1]
    assert not list(tmp_path.rglob("*partial*"))
    assert not (tmp_path / "pnet" / "manifest.json").exists()
    assert run(specs[0], tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--stage=xnet"], "value should be one of <rpn|pnet|rnet|onet>"),
        (["--stage=rnet"], "--stage=rnet needs --networks"),
        (["--positive_iou=1.5"], "flag --positive_iou=1.5"),
        (["--dataset=widerface:nowhere"], "widerface:nowhere"),
        (["--dataset=wider_face:nowhere"], "nowhere"),
        (["pnet"], "'pnet'"),
    ],
)
def test_wrong_flags_are_one_sentence(specs, tmp_path, more, message):
    result = run(specs[0], tmp_path, *more)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path) in ([], ["pnet"])


def write_coco_drawn_at_another_size(directory):
    """Two images, 160 × 120, one of them annotated at twice its size."""
    listed = [{"id": i, "file_name": f"{i}.png", "width": 160 * i, "height": 120 * i} for i in (1, 2)]
    annotations = []
    for i in (1, 2):
        image_files.write(directory / f"{i}.png", drawn_faces.draw_image(i))
        x1, y1, x2, y2 = np.multiply(drawn_faces.FACE, i).tolist()
        annotations.append({"image_id": i, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    content = {"images": listed, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    (directory / "all.json").write_text(json.dumps(content))


def test_boxes_drawn_at_another_size_are_left_out_or_scaled(tmp_path):
    write_coco_drawn_at_another_size(tmp_path)
    config = config_of(f"coco:{tmp_path}", validation_fraction=0, num_shards=1)
    left_out = building.build(config, str(tmp_path / "one"), num_workers=1)
    assert list(left_out["problems"].values()) == [1]
    scaled = building.build(
        dataclasses.replace(config, recipe=recipes.Recipe(scale_boxes=True)), str(tmp_path / "two"), num_workers=1
    )
    assert not scaled["problems"]
    assert scaled["examples"]["train"]["negative"] > 1.5 * left_out["examples"]["train"]["negative"]


def test_faces_that_belong_to_no_image_are_said_before_anything_is_built(tmp_path):
    images_listed = [{"id": 1, "file_name": "a.jpg"}]
    annotation = {"image_id": 2, "category_id": 1, "bbox": [1, 2, 30, 40]}
    content = {"images": images_listed, "annotations": [annotation], "categories": [{"id": 1, "name": "face"}]}
    (tmp_path / "all.json").write_text(json.dumps(content))
    reported = []
    with pytest.raises(ValueError, match="expected annotated faces"):
        building.build(config_of(f"coco:{tmp_path}"), str(tmp_path / "records"), 1, report=reported.append)
    assert len(reported) == 1 and "1 × a face in no known image" in reported[0]


@pytest.mark.parametrize(
    ("stage", "thresholds"),
    [("rnet", (6.0,)), ("rnet", (0.2, 0.2)), ("onet", (0.2,)), ("onet", (0.2, float("nan"))), ("pnet", ())],
)
def test_thresholds_that_fit_no_networks_are_refused(stage, thresholds):
    with pytest.raises(ValueError, match=f"{stage} needs a threshold in 0–1 for each network before it"):
        config_of("folder:none", stage=stage, networks="networks", thresholds=thresholds)


def test_thresholds_of_no_networks_are_refused():
    with pytest.raises(ValueError, match="give --networks"):
        config_of("folder:none", thresholds=(0.5,))


@pytest.mark.parametrize("flags", [["--negative_iou=0.5", "--part_iou=0.4"], ["--networks=none", "--thresholds=x"]])
def test_flags_that_contradict_each_other_end_in_one_sentence(tmp_path, flags):
    done = run(f"folder:{tmp_path}", tmp_path, *flags)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("build: ")
