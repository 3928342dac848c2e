"""The program as a user runs it: a real process, real records, real signals."""

import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from absl.testing import flagsaver

import train
from data_prep import shards
from mtcnn_tf import kinds, landmark_sets, stages
from mtcnn_tf.geometry import anchor_labels, anchors
from mtcnn_tf.models import networks
from mtcnn_tf.records import crop_records, image_records, manifests, windows
from tests import in_process
from tests.data_prep import drawn_faces, test_remote
from tests.mtcnn_tf.training import easy_images

ROOT = pathlib.Path(__file__).parent.parent
QUICK = ["--epochs=2", "--steps_per_epoch=12", "--batch_size=16", "--checkpoint_minutes=0.000001"]
NOT_REPEATABLE = ("examples_per_second", "input_waiting")


@pytest.fixture(scope="module")
def records_dir(tmp_path_factory):
    """Records of P-Net: bright faces on a dark ground."""
    records_dir = tmp_path_factory.mktemp("records")
    rng = np.random.default_rng(0)
    entries, counts = [], {}
    for split, num_examples in (("train", 200), ("validation", 60)):
        kind = rng.choice(4, num_examples, p=[0.4, 0.2, 0.2, 0.2])
        brightness = np.where(kind == kinds.NEGATIVE, 30, 170)[:, None, None, None]
        examples = crop_records.Examples(
            images=(brightness + rng.integers(0, 60, (num_examples, 12, 12, 3))).astype(np.uint8),
            kinds=kind,
            offsets=np.full((num_examples, 4), 0.1, np.float32),
            landmarks=np.full((num_examples, 10), 0.5, np.float32),
        )
        entries += shards.write(records_dir / "pnet", split, 0, 1, examples)
        counts[split] = crop_records.num_per_kind(examples)
    shards.write_json(
        records_dir / "pnet" / manifests.MANIFEST, {"stage": "pnet", "examples": counts, "shards": entries}
    )
    return records_dir


def start(*flags):
    """The running program, in a process that can be killed."""
    return subprocess.Popen(
        [sys.executable, "train.py", *map(str, flags)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*flags):
    """Its exit status and what it wrote to both streams."""
    done = in_process.run("train", *flags, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


def wait_for_step(process, networks_dir, step):
    """Waits until a checkpoint of at least `step` is there."""
    while not any(int(path.name[5:14]) >= step for path in networks_dir.glob("*/checkpoints/step-*.npz")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def history(networks_dir, stage="pnet"):
    with open(networks_dir / stage / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(x) for name, x in row.items() if name not in NOT_REPEATABLE} for row in rows]


@pytest.mark.slow
def test_killed_and_interrupted_it_goes_on_and_ends_like_a_quiet_run(records_dir, tmp_path):
    flags = ["--stage=pnet", f"--records_dir={records_dir}", *QUICK]
    status, output, _ = run(*flags, f"--networks={tmp_path / 'quiet'}")
    assert status == 0
    assert [line[:9] for line in output.splitlines()] == ["epoch 1/2", "epoch 2/2"]

    networks_dir = tmp_path / "disturbed"
    process = start(*flags, f"--networks={networks_dir}")
    wait_for_step(process, networks_dir, 5)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()

    process = start(*flags, f"--networks={networks_dir}")
    wait_for_step(process, networks_dir, 13)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    if process.returncode:  # on a fast machine the last steps may be over before the signal arrives
        assert process.returncode == 130
        assert "train.py: stopped in epoch 2 after step" in errors
        assert "the same command goes on from the last checkpoint" in errors
        status, output, _ = run(*flags, f"--networks={networks_dir}")
        assert (status, output.startswith("Going on in epoch 2 after step")) == (0, True)

    assert history(networks_dir) == [pytest.approx(row, rel=1e-3, abs=1e-5) for row in history(tmp_path / "quiet")]
    networks = [keras.saving.load_model(tmp_path / name / "pnet.keras") for name in ("disturbed", "quiet")]
    for x, y in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)

    status, _, errors = run(*flags, f"--networks={networks_dir}", "--learning_rate=0.5")
    assert status == 1 and "learning_rate was 0.005 and is now 0.5" in errors
    description = json.loads((networks_dir / "pnet" / "config.json").read_text())
    assert description["facts"]["mix"] == {"negative": 3, "positive": 1, "part": 1, "landmark": 2}
    assert len(description["facts"]["records_sha256"]) == 64


@pytest.mark.slow
def test_two_workers_train_like_one_process_with_the_same_batches(records_dir, tmp_path, monkeypatch):
    listeners = [socket.create_server(("localhost", 0)) for _ in range(2)]
    cluster = {"worker": [f"localhost:{listener.getsockname()[1]}" for listener in listeners]}
    for listener in listeners:
        listener.close()
    flags = ["--stage=pnet", f"--records_dir={records_dir}", *QUICK, "--steps_per_epoch=2", "--batch_size=63"]
    flags += ["--noaugment", "--mix=2:2:2:2"]
    workers = []
    for index in range(2):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}))
        workers.append(start(*flags, f"--networks={tmp_path / 'two'}", "--strategy=multi_worker"))
    told = [(worker.communicate(timeout=300), worker.returncode) for worker in workers]
    assert [status for _, status in told] == [0, 0], told
    assert [len(output.splitlines()) for (output, _), _ in told] == [2, 0]
    monkeypatch.delenv("TF_CONFIG")
    assert run(*flags, f"--networks={tmp_path / 'one'}")[0] == 0
    assert history(tmp_path / "two") == [pytest.approx(row, rel=1e-3, abs=1e-4) for row in history(tmp_path / "one")]


@pytest.mark.slow
def test_one_worker_trains_like_one_process(records_dir, tmp_path, monkeypatch):
    with socket.create_server(("localhost", 0)) as listener:
        cluster = {"worker": [f"localhost:{listener.getsockname()[1]}"]}
    flags = ["--stage=pnet", f"--records_dir={records_dir}", *QUICK, "--steps_per_epoch=2", "--batch_size=63"]
    flags += ["--noaugment", "--mix=2:2:2:2"]
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}}))
    worker = start(*flags, f"--networks={tmp_path / 'worker'}", "--strategy=multi_worker")
    told = worker.communicate(timeout=300)
    assert worker.returncode == 0, told
    monkeypatch.delenv("TF_CONFIG")
    assert run(*flags, f"--networks={tmp_path / 'one'}")[0] == 0
    assert history(tmp_path / "worker") == [pytest.approx(row, rel=1e-3, abs=1e-4) for row in history(tmp_path / "one")]


@pytest.mark.slow
def test_records_may_lie_at_an_address(records_dir, tmp_path):
    """In this process, for no other one sees TensorFlow's file system in memory, which stands for a bucket."""
    address = test_remote.upload(records_dir, "ram://train")
    flags = ["--stage=pnet", f"--records_dir={address}", f"--networks={tmp_path}", *QUICK, "--steps_per_epoch=2"]
    train.main(flags)
    assert len(history(tmp_path)) == 2 and (tmp_path / "pnet.keras").is_file()
    description = json.loads((tmp_path / "pnet" / "config.json").read_text())
    assert description["facts"]["records_dir"] == address


def test_flags_come_from_a_file_too(records_dir, tmp_path):
    (tmp_path / "flags").write_text("\n".join(["--stage=pnet", f"--records_dir={records_dir}", "--nosuch"]))
    status, _, errors = run(f"--flagfile={tmp_path / 'flags'}", f"--networks={tmp_path}")
    assert status == 1
    assert "Unknown command line flag 'nosuch'" in errors


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--stage=rnet"], "expected finished rnet records in .* found pnet records in .*; build them"),
        (["--mix=3:1:1"], "--mix wants four fractions negative:positive:part:landmark such as 3:1:1:2, got '3:1:1'"),
        (["--mix=a:b:c:d"], "--mix wants four fractions"),
        (["--mix=0:0:0:0"], "--mix wants four fractions"),
        (["--optimizer=nosuch"], "Keras has no optimizer 'nosuch'"),
        (["--optimizer_option=momentum"], "--optimizer_option wants NAME=VALUE"),
        (["--batch_size=0"], "batch_size must be above 0, got 0"),
        (["--learning_rate=nan"], "learning_rate must be above 0, got nan"),
        (["--box_weight=-1"], "loss_weights must be 0 or more"),
        (["--networks=gs://bucket/networks"], "--networks needs a folder, got the address 'gs://bucket/networks'"),
        (["--records_dir=ram://none"], "expected finished pnet records in ram://none/pnet, found no records"),
        (
            ["--train_only=landmarks"],
            "train_only=landmarks needs landmarks, and init_from, which says what stays as it is",
        ),
        (["--strategy=multi_worker"], "the strategy multi_worker needs TF_CONFIG, and it is not set"),
        (["--stage=rnet", "--variant=wide"], "expected paper as the variant of rnet, got wide; choose another"),
        (["--init_from=nowhere.keras"], "init_from must be .keras files, there is none at nowhere.keras"),
    ],
)
def test_wrong_flags_are_one_sentence(records_dir, tmp_path, flags, sentence):
    status, _, errors = run("--stage=pnet", f"--records_dir={records_dir}", f"--networks={tmp_path}", *flags)
    assert status == 1 and "Traceback" not in errors
    assert re.search(sentence, errors)
    assert not list(tmp_path.glob("*/checkpoints"))


def test_landmarks_are_learnt_where_there_are_crops_for_them():
    def has_landmarks(flag, num_crops):
        before = flagsaver.save_flag_values(train.FLAGS)
        try:
            train.FLAGS(["train.py", "--stage=pnet", "--records_dir=a", "--networks=b", *flag])
            return train._has_landmarks(num_crops, landmark_sets.FIVE)
        finally:
            flagsaver.restore_flag_values(before, train.FLAGS)

    assert [has_landmarks([], count) for count in (0, 1)] == [False, True]
    assert not has_landmarks(["--landmarks=none"], 1)
    for flag in ("--landmarks=five", "--train_only=landmarks"):
        assert has_landmarks([flag], 1)
        with pytest.raises(ValueError, match=f"{flag} needs landmark crops"):
            has_landmarks([flag], 0)


def without(kinds_of_split, records_dir, out_dir):
    """A copy of the records without some kinds of examples, by the split."""
    shutil.copytree(records_dir, out_dir)
    path = out_dir / "pnet" / manifests.MANIFEST
    manifest = json.loads(path.read_text())
    for split, names in kinds_of_split.items():
        manifest["shards"] = [
            entry
            for entry in manifest["shards"]
            if not (entry["file"].startswith(f"{split}/") and entry["kind"] in names)
        ]
        manifest["examples"][split] |= dict.fromkeys(names, 0)
    path.write_text(json.dumps(manifest))
    return out_dir


def faces_alone(records_dir, out_dir):
    return without({"train": ["negative"], "validation": ["negative"]}, records_dir, out_dir)


def test_a_training_without_background_is_one_sentence(records_dir, tmp_path):
    flags = ["--stage=pnet", f"--records_dir={faces_alone(records_dir, tmp_path / 'faces')}"]
    status, _, errors = run(*flags, f"--networks={tmp_path}", *QUICK)
    assert status == 1
    assert errors.splitlines()[-1].startswith("train.py: expected background to tell faces from, the records hold none")
    assert not list(tmp_path.glob("*/checkpoints"))


@pytest.mark.slow
def test_a_mix_without_negatives_needs_no_background(records_dir, tmp_path):
    flags = ["--stage=pnet", f"--records_dir={faces_alone(records_dir, tmp_path / 'faces')}", "--mix=0:1:1:2"]
    assert run(*flags, f"--networks={tmp_path}", *QUICK, "--epochs=1")[0] == 0


@pytest.mark.slow
def test_a_training_does_not_go_on_with_other_records(tmp_path):
    """As many as before, in the same folder. A training that was begun before their sums were kept may go on."""

    def build(seed):
        return easy_images.write(tmp_path / "records", [easy_images.some_image(seed)], [easy_images.some_image(9)])

    flags = [*QUICK_RPN, "--epochs=1", f"--records_dir={build(0)}", f"--networks={tmp_path}"]
    assert run(*flags)[0] == 0 == run(*flags)[0]
    build(1)
    status, _, errors = run(*flags)
    assert status == 1 and "holds a training with other settings (records_sha256 was" in errors
    path = tmp_path / "rpn" / "config.json"
    description = json.loads(path.read_text())
    assert len(description["facts"].pop("records_sha256")) == 64
    path.write_text(json.dumps(description))
    status, output, _ = run(*flags)
    assert status == 0 and output.startswith("rpn is finished")


def test_records_of_crops_are_known_by_their_sums(records_dir):
    manifest = manifests.read(str(records_dir), stages.PNET)
    digest = manifests.digest(manifest)
    assert digest == manifests.digest(manifest)
    manifest["shards"][0]["sha256"] = "0" * 64
    assert manifests.digest(manifest) != digest


def test_a_truncated_shard_is_one_sentence(records_dir, tmp_path):
    shutil.copytree(records_dir, tmp_path / "records")
    for shard in (tmp_path / "records").glob("pnet/train/*"):
        shard.write_bytes(shard.read_bytes()[:-5])
    status, _, errors = run(
        "--stage=pnet", f"--records_dir={tmp_path / 'records'}", f"--networks={tmp_path}", *QUICK, "--epochs=1"
    )
    assert status == 1
    assert errors.splitlines()[-1].startswith("train.py: ")
    assert "truncated" in errors.splitlines()[-1] or "corrupted" in errors.splitlines()[-1]


@pytest.fixture(scope="module")
def images_dir(tmp_path_factory):
    """Records of the RPN: easy images."""
    images = [easy_images.some_image(seed) for seed in range(7)]
    return easy_images.write(tmp_path_factory.mktemp("images"), images[:5], images[5:])


QUICK_RPN = ["--stage=rpn", "--epochs=2", "--steps_per_epoch=12", "--batch_size=4", "--window=64", "--ema=0.5"]


@pytest.mark.slow
def test_an_rpn_that_is_killed_goes_on_and_ends_like_a_quiet_one(images_dir, tmp_path):
    anchors.write(tmp_path / "anchors.json", anchors.Anchors((16.0, 32.0, 60.0)))
    flags = [*QUICK_RPN, f"--records_dir={images_dir}", f"--anchors={tmp_path / 'anchors.json'}"]
    flags += ["--checkpoint_minutes=0.000001"]
    status, output, errors = run(*flags, f"--networks={tmp_path / 'quiet'}")
    assert status == 0, errors
    assert [line[:9] for line in output.splitlines()] == ["epoch 1/2", "epoch 2/2"] and "val_recall_at_100" in output

    networks_dir = tmp_path / "killed"
    process = start(*flags, f"--networks={networks_dir}")
    wait_for_step(process, networks_dir, 15)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    status, output, errors = run(*flags, f"--networks={networks_dir}")
    assert status == 0 and output.startswith("Going on in epoch 2 after step"), errors

    quiet = [pytest.approx(row, rel=1e-4, abs=1e-6) for row in history(tmp_path / "quiet", "rpn")]
    assert history(networks_dir, "rpn") == quiet
    there, here = (networks.load(tmp_path / name / "rpn.keras") for name in ("quiet", "killed"))
    assert networks.anchors_of(here).sizes == (16.0, 32.0, 60.0)
    for x, y in zip(there.get_weights(), here.get_weights(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    facts = json.loads((networks_dir / "rpn" / "config.json").read_text())["facts"]
    assert facts["num_images"] == {"train": 5, "validation": 2} and facts["positive_iou"] == 0.5


@pytest.mark.slow
def test_an_rpn_goes_on_with_the_anchors_of_its_start(images_dir, tmp_path):
    """Labels too, or there would be one for each of the default anchors."""
    networks.rpn(anchors.Anchors((16.0, 32.0))).save(tmp_path / "start.keras")
    flags = [*QUICK_RPN, "--epochs=1", f"--records_dir={images_dir}", f"--init_from={tmp_path / 'start.keras'}"]
    status, _, errors = run(*flags, f"--networks={tmp_path}")
    assert status == 0, errors
    assert networks.anchors_of(networks.load(tmp_path / "rpn.keras")).sizes == (16.0, 32.0)


def test_sizes_of_faces_are_learnt_that_fit_the_anchors(images_dir, tmp_path, monkeypatch):
    """What the windows show and what the labels tell; the default anchors leave both as they are by default."""
    given = []
    monkeypatch.setattr(train.image_batches, "of_windows", lambda *arguments: sys.exit(given.append(arguments)))
    anchors.write(tmp_path / "anchors.json", anchors.Anchors((48.0, 96.0, 840.0)))
    for flags in ([], [f"--anchors={tmp_path / 'anchors.json'}"]):
        run(*QUICK_RPN, f"--records_dir={images_dir}", f"--networks={tmp_path}", *flags)
    (usual, usual_rules), (large, rules) = ((recipe, rules) for _, _, recipe, _, rules in given)
    assert (usual, usual_rules) == (windows.Recipe(size=64), anchor_labels.Rules())
    assert large.face_sizes == pytest.approx((44, 1200))
    assert (rules.min_face_size, rules.max_face_size) == pytest.approx((38, 1520))


@pytest.mark.slow
@pytest.mark.parametrize("mines", [False, True])
def test_pnet_learns_from_crops_cut_anew(tmp_path, mines):
    """With its own proposals, if there are any."""
    dataset = f"--dataset=wider_face:{drawn_faces.write_wider_face(tmp_path / 'wider', 8)}"
    flags = ["--stage=pnet", dataset, f"--out_dir={tmp_path}", "--crops=on_the_fly", "--validation_fraction=0.2"]
    if mines:
        networks.build(stages.PNET).save(tmp_path / "pnet.keras")
        flags += [f"--networks={tmp_path}", "--thresholds=0"]
    done = in_process.run("data_prep.build", *flags, "--num_workers=1", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (image, *_) = image_records.read(tmp_path, stages.PNET, "train")
    assert (image.proposals is not None) == mines
    short = ["--epochs=1", "--steps_per_epoch=2", "--batch_size=16"]
    trained = f"--networks={tmp_path / 'trained'}"
    status, output, errors = run("--stage=pnet", f"--records_dir={tmp_path}", trained, *short)
    assert status == 0, errors
    assert "val_box_iou" in output and (tmp_path / "trained" / "pnet.keras").is_file()


@pytest.mark.slow
def test_held_out_crops_without_a_face_are_no_validation(records_dir, tmp_path):
    without({"validation": ["positive", "part", "landmark"]}, records_dir, tmp_path / "records")
    flags = ["--stage=pnet", f"--records_dir={tmp_path / 'records'}", *QUICK, "--epochs=1"]
    status, output, errors = run(*flags, f"--networks={tmp_path}")
    assert status == 0, errors
    assert output.startswith("No faces are held out to validate with") and "val_" not in output


@pytest.mark.slow
def test_held_out_images_without_a_face_are_no_validation_of_crops(tmp_path):
    train_on, held_out = (easy_images.with_proposals(easy_images.some_image(0, sizes)) for sizes in ((24, 40), ()))
    records_dir = easy_images.write(tmp_path / "records", [train_on], [held_out], stage="rnet")
    flags = ["--stage=rnet", f"--records_dir={records_dir}", *QUICK, "--epochs=1", "--steps_per_epoch=2"]
    status, output, errors = run(*flags, f"--networks={tmp_path}")
    assert status == 0, errors
    assert "\nNo faces are held out to validate with" in output and "val_" not in output


@pytest.mark.slow
@pytest.mark.parametrize("held_out", [[], [easy_images.some_image(9, sizes=())]], ids=["nothing", "no face"])
def test_a_training_without_validation_says_so(tmp_path, held_out):
    records_dir = easy_images.write(tmp_path / "records", [easy_images.some_image(0)], held_out)
    flags = [*QUICK_RPN, "--epochs=1", f"--records_dir={records_dir}", f"--networks={tmp_path}"]
    status, output, errors = run(*flags)
    assert status == 0, errors
    told, epoch = output.splitlines()
    assert told.startswith("No faces are held out to validate with") and epoch.startswith("epoch 1/1")


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--anchors=nowhere.json"], "nowhere.json"),
        (["--anchors=train.py"], "expected anchors as data_prep.anchors writes them, got something else in 'train.py'"),
        (["--mix=3:1:1:2", "--landmarks=none"], "--landmarks, --mix: only for pnet, rnet and onet, got --stage=rpn"),
        (["--hard_fraction=0.7"], "--hard_fraction: only for pnet"),
        (["--landmark_weight=0"], "--landmark_weight: only for pnet"),
        (["--window=100"], "window must be a multiple of 32 pixels, got 100"),
        (["--ema=1"], "ema must be at least 0 and below 1, got 1"),
        (["--positive_iou=0.2"], "expected 0 < negative_iou, nearest_iou ≤ positive_iou ≤ 1"),
        (["--strategy=mirrored"], "expected --strategy=one_device for records of whole images, got mirrored"),
        (["--records_dir=CROPS"], "expected records of whole images in .*/rpn, got records of crops"),
        (["--records_dir=INCOMPLETE"], "expected background to tell faces from, the records hold none; build them"),
        (["--records_dir=TINY"], "expected faces of at least 10 pixels to draw windows around, found none in 1 images"),
        (["--records_dir=DAMAGED"], "1 shards of .*/rpn are not what was written"),
        (["--records_dir=ram://none"], "expected finished rpn records in ram://none/rpn, found no records"),
        (["--anchors=SIZES", "--init_from=STARTS"], "wanted are 20, 40, .*STARTS.keras has 16, 32; give no anchors"),
    ],
)
def test_what_an_rpn_cannot_be_trained_with_is_one_sentence(images_dir, tmp_path, flags, sentence):
    tiny = easy_images.of_pixels(np.zeros((40, 40, 3), np.uint8), [[1, 1, 9, 9]])
    easy_images.write(tmp_path / "TINY", [tiny])
    easy_images.write(tmp_path / "INCOMPLETE", [easy_images.some_image(0, is_complete=False)])
    shutil.copytree(images_dir, tmp_path / "CROPS")
    manifest = tmp_path / "CROPS" / "rpn" / manifests.MANIFEST
    manifest.write_text(manifest.read_text().replace('"images",', '"crops",', 1))
    shutil.copytree(images_dir, tmp_path / "DAMAGED")
    shard = next((tmp_path / "DAMAGED" / "rpn" / "train").iterdir())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    anchors.write(tmp_path / "SIZES", anchors.Anchors((20.0, 40.0)))
    networks.rpn(anchors.Anchors((16.0, 32.0))).save(tmp_path / "STARTS.keras")
    flags = [re.sub("=([A-Z]+)$", rf"={tmp_path}/\1", flag).replace("STARTS", "STARTS.keras") for flag in flags]
    networks_dir = tmp_path / "networks_dir"
    status, _, errors = run(*QUICK_RPN, f"--records_dir={images_dir}", f"--networks={networks_dir}", *flags)
    assert status == 1 and "Traceback" not in errors
    assert re.search(sentence, errors)
    assert not list(networks_dir.glob("*/checkpoints"))
