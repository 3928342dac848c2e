"""Whole small trainings: what they learn, what they leave behind, and how they go on after every sort of end."""

import contextlib
import csv
import dataclasses
import json
import os
import shutil
import signal

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import kinds, landmark_sets, stages, training
from mtcnn_tf.models import networks
from mtcnn_tf.training import checkpoints, run, tasks
from tests.mtcnn_tf.training import conftest

CONFIG = training.Config(epochs=3, steps_per_epoch=8, batch_size=32, learning_rate=0.01)
NOT_REPEATABLE = ("examples_per_second", "input_waiting")


def assert_same_training(networks_dir, expected_dir):
    """The same figures in the same epochs, and the same network."""
    rows, expected_rows = read_csv(networks_dir), read_csv(expected_dir)
    assert len(rows) == len(expected_rows)
    for row, expected in zip(rows, expected_rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for x, y in zip(weights_of(networks_dir), weights_of(expected_dir), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def weights_of(networks_dir):
    return keras.saving.load_model(networks_dir / "pnet.keras", safe_mode=True).get_weights()


def read_csv(networks_dir):
    with open(networks_dir / "pnet" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(x) for name, x in row.items() if name not in NOT_REPEATABLE} for row in rows]


def stopping(train, at_epoch, at_step, action):
    """The batches of `train`, but `action` happens when the given batch is asked for."""

    def act(index):
        if index == at_step:
            action()
        return index

    def batches(seed):
        if seed != at_epoch:
            return train(seed)
        return (
            train(seed)
            .enumerate()
            .map(lambda index, batch: (tf.numpy_function(act, [index], tf.int64), batch)[1], deterministic=True)
        )

    return batches


@pytest.fixture(scope="module")
def whole_dir(tmp_path_factory, train, validation):
    """The folder of an uninterrupted training."""
    networks_dir = tmp_path_factory.mktemp("whole")
    training.fit(CONFIG, stages.PNET, train, validation, networks_dir)
    return networks_dir


@pytest.fixture
def finished_dir(tmp_path, whole_dir):
    """A copy of it that a test may damage."""
    return shutil.copytree(whole_dir, tmp_path / "finished")


def test_a_separable_problem_is_learnt_and_everything_is_left_behind(tmp_path, train, validation):
    config = dataclasses.replace(CONFIG, epochs=4, steps_per_epoch=25)
    lines = []
    rows = training.fit(config, stages.PNET, train, validation, tmp_path, report=lines.append)
    assert rows[-1]["val_face_accuracy"] > 0.97
    assert rows[-1]["val_auc"] > 0.99
    assert rows[-1]["val_box_iou"] > rows[0]["val_box_iou"]
    assert rows[-1]["val_landmark_error"] < rows[0]["val_landmark_error"]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert [line.split(":")[0] for line in lines] == ["epoch 1/4", "epoch 2/4", "epoch 3/4", "epoch 4/4"]

    network = keras.saving.load_model(tmp_path / "pnet.keras", safe_mode=True)
    assert set(network(np.zeros((1, 30, 40, 3)))) == {"face", "offsets", "landmarks"}
    assert [layer.name for layer in network.layers] == [layer.name for layer in networks.build(stages.PNET).layers]

    assert [row["val_loss"] for row in read_csv(tmp_path)] == [row["val_loss"] for row in rows]
    assert cv2.imread(str(tmp_path / "pnet" / "history.png")).size
    description = json.loads((tmp_path / "pnet" / "config.json").read_text())
    assert description["config"]["loss_weights"] == {"face": 1.0, "box": 0.5, "landmarks": 0.5}
    assert description["versions"]["tensorflow"] == tf.__version__
    assert len(checkpoints.paths(tmp_path / "pnet" / "checkpoints")) == checkpoints.NUM_KEPT
    assert not list(tmp_path.rglob("*partial*"))


@pytest.mark.slow
def test_the_best_epoch_is_the_one_that_is_kept(tmp_path, train, validation):
    def misleading_later(seed):
        """The first epoch's boxes are right, those of later ones far off."""
        return train(seed).map(lambda batch: {**batch, "offsets": batch["offsets"] + (3.0 if seed else 0.0)})

    rows = training.fit(CONFIG, stages.PNET, misleading_later, validation, tmp_path)
    assert rows[1]["val_loss"] > rows[0]["val_loss"] < rows[2]["val_loss"]
    kept = keras.saving.load_model(tmp_path / "pnet.keras")
    (batch,) = validation().unbatch().batch(100)
    has_box = np.isin(batch["kind"], [1, 2])
    error = np.square(np.squeeze(kept(batch["image"])["offsets"]) - batch["offsets"])[has_box].sum(axis=1).mean()
    assert error == pytest.approx(rows[0]["val_box_loss"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("at_step", [3, 7])
def test_an_interrupted_training_ends_like_an_uninterrupted_one(tmp_path, train, validation, whole_dir, at_step):
    interrupted = stopping(train, 1, at_step, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(training.Interrupted, match="in epoch 2 after step") as stop:
        training.fit(CONFIG, stages.PNET, interrupted, validation, tmp_path)
    step = int(str(stop.value).split()[-1])
    assert step in (at_step, at_step + 1)  # batches are fetched while a step runs
    assert stop.value.signal_number == signal.SIGINT
    assert len(read_csv(tmp_path)) == 1

    lines = []
    training.fit(CONFIG, stages.PNET, train, validation, tmp_path, report=lines.append)
    assert lines[0] == f"Going on in epoch 2 after step {step}."
    assert_same_training(tmp_path, whole_dir)


@pytest.mark.slow
def test_ctrl_c_is_python_s_own_again_afterwards(tmp_path, train):
    before = signal.getsignal(signal.SIGINT)
    training.fit(dataclasses.replace(CONFIG, epochs=1), stages.PNET, train, None, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_a_damaged_checkpoint_falls_back_to_the_one_before(finished_dir, train, validation, whole_dir):
    file = finished_dir / "pnet" / "checkpoints" / "step-000000024.npz"
    file.write_bytes(file.read_bytes()[:100])
    lines = []
    training.fit(CONFIG, stages.PNET, train, validation, finished_dir, report=lines.append)
    assert "step-000000024.npz is damaged, trying the one before" in lines[0]
    assert lines[1] == "Going on in epoch 3 after step 0."
    assert_same_training(finished_dir, whole_dir)


@pytest.mark.slow
def test_a_finished_training_does_nothing_and_says_so(finished_dir, train, validation, whole_dir):
    before = (finished_dir / "pnet.keras").stat().st_mtime_ns
    lines = []
    rows = training.fit(CONFIG, stages.PNET, train, validation, finished_dir, report=lines.append)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert lines == [f"pnet is finished after 3 epochs: {finished_dir / 'pnet.keras'}"]
    assert (finished_dir / "pnet.keras").stat().st_mtime_ns == before


@pytest.mark.slow
def test_other_settings_in_the_same_networks_folder_are_refused_until_restart(tmp_path, train, validation):
    config = dataclasses.replace(CONFIG, epochs=1)
    training.fit(config, stages.PNET, train, validation, tmp_path, facts={"mix": "3:1:1:2"})
    other = dataclasses.replace(config, learning_rate=0.02, checkpoint_minutes=1.0)
    with pytest.raises(training.OtherRunError) as error:
        training.fit(other, stages.PNET, train, validation, tmp_path, facts={"mix": "1:1:1:1"})
    message = str(error.value)
    assert "learning_rate was 0.01 and is now 0.02; mix was '3:1:1:2' and is now '1:1:1:1'" in message
    assert "another networks_dir" in message and "restart" in message
    assert "checkpoint_minutes" not in message

    rows = training.fit(other, stages.PNET, train, validation, tmp_path, restart=True)
    assert [row["epoch"] for row in rows] == [1]
    assert json.loads((tmp_path / "pnet" / "config.json").read_text())["config"]["learning_rate"] == 0.02


@pytest.mark.slow
def test_a_restart_that_cannot_begin_loses_nothing(finished_dir, train, validation):
    networks.build(stages.RNET).save(finished_dir / "rnet.keras")
    before = sorted(path for path in finished_dir.rglob("*") if path.name != ".lock")
    for changes in ({"init_from": (str(finished_dir / "rnet.keras"),)}, {"optimizer": "nosuch"}):
        with pytest.raises(ValueError, match="init_from must be|Keras has no optimizer"):
            config = dataclasses.replace(CONFIG, **changes)
            training.fit(config, stages.PNET, train, validation, finished_dir, restart=True)
        assert sorted(path for path in finished_dir.rglob("*") if path.name != ".lock") == before


@pytest.mark.slow
def test_a_second_training_of_the_stage_in_the_networks_folder_is_refused(tmp_path, train):
    def second(seed):
        with pytest.raises(
            ValueError, match="another training is at work in .*pnet; wait for it or take another folder"
        ):
            training.fit(CONFIG, stages.PNET, train, None, tmp_path, restart=True)
        return train(seed)

    rows = training.fit(dataclasses.replace(CONFIG, epochs=1), stages.PNET, second, None, tmp_path)
    assert len(rows) == 1 and checkpoints.paths(tmp_path / "pnet" / "checkpoints")


@pytest.mark.slow
def test_a_full_disk_loses_no_more_than_what_came_after_the_checkpoint(
    tmp_path, train, validation, whole_dir, file_size_limit
):
    """The disk is full when the second epoch ends; what a killed process left does no harm."""
    (tmp_path / "pnet").mkdir()
    for half_written in (tmp_path / ".partial-1-pnet.keras", tmp_path / "pnet" / ".partial-1-history.csv"):
        half_written.touch()
    with contextlib.ExitStack() as limited:

        def filling(seed):
            if seed == 1:
                limited.enter_context(file_size_limit(20_000))  # less than a network
            return train(seed)

        with pytest.raises(OSError):
            training.fit(CONFIG, stages.PNET, filling, validation, tmp_path)
    assert not list(tmp_path.rglob("*partial*"))
    lines = []
    training.fit(CONFIG, stages.PNET, train, validation, tmp_path, report=lines.append)
    assert lines[0] == "Going on in epoch 2 after step 0."
    assert_same_training(tmp_path, whole_dir)


@pytest.mark.slow
def test_settings_that_an_older_version_did_not_know_had_their_defaults(finished_dir, train, validation):
    path = finished_dir / "pnet" / "config.json"
    description = json.loads(path.read_text())
    given = ("epochs", "steps_per_epoch", "batch_size", "learning_rate")
    description["config"] = {name: description["config"][name] for name in given}
    path.write_text(json.dumps(description))
    training.fit(CONFIG, stages.PNET, train, validation, finished_dir)
    with pytest.raises(training.OtherRunError, match="landmarks was True and is now False"):
        training.fit(dataclasses.replace(CONFIG, landmarks=False), stages.PNET, train, validation, finished_dir)


@pytest.mark.parametrize("bad_epoch", [1, 2])
def test_a_validation_loss_of_nan_stops_the_training_with_a_word(tmp_path, train, validation, bad_epoch):
    num_measured = 0

    def measure_nan_at(batch):
        return {**batch, "offsets": batch["offsets"] * tf.where(tf.py_function(is_bad, [], tf.bool), np.nan, 1.0)}

    def is_bad():
        nonlocal num_measured
        num_measured += 1
        return num_measured > 4 * (bad_epoch - 1)  # an epoch's validation has four batches

    with pytest.raises(FloatingPointError) as error:
        training.fit(CONFIG, stages.PNET, train, lambda: validation().map(measure_nan_at), tmp_path)
    told = str(error.value)
    assert f"val_loss became nan in epoch {bad_epoch} (" in told and "val_box_loss" in told
    assert "restart with a lower learning rate" in told and "\n" not in told
    assert (tmp_path / "pnet.keras").is_file() == ("the best network so far is" in told) == (bad_epoch == 2)


@pytest.mark.slow
def test_nan_stops_the_training_and_keeps_the_last_good_state(tmp_path, train, validation):
    def poisoned(seed):
        if seed != 1:
            return train(seed)
        return (
            train(seed)
            .enumerate()
            .map(lambda index, batch: {**batch, "image": batch["image"] * tf.where(index == 4, np.nan, 1.0)})
        )

    with pytest.raises(FloatingPointError) as error:
        training.fit(CONFIG, stages.PNET, poisoned, validation, tmp_path)
    assert "the loss became nan in epoch 2, step 5" in str(error.value)
    assert "step-000000008.npz" in str(error.value) and "lower learning rate" in str(error.value)
    assert all(np.isfinite(x).all() for x in weights_of(tmp_path))
    rows = training.fit(CONFIG, stages.PNET, train, validation, tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_and_leaves_a_float32_network(tmp_path, train, validation, precision):
    config = dataclasses.replace(CONFIG, precision=precision, epochs=2)
    rows = training.fit(config, stages.PNET, train, validation, tmp_path)
    assert rows[1]["loss"] < rows[0]["loss"]
    network = keras.saving.load_model(tmp_path / "pnet.keras")
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_a_training_can_start_from_another_network(tmp_path, train, validation, whole_dir):
    start = str(whole_dir / "pnet.keras")
    config = dataclasses.replace(CONFIG, epochs=1, learning_rate=1e-9, init_from=(start,))
    training.fit(config, stages.PNET, train, validation, tmp_path)
    for x, y in zip(weights_of(tmp_path), weights_of(whole_dir), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    with pytest.raises(ValueError, match="init_from must be a network like pnet with the same form of slopes"):
        other = dataclasses.replace(config, shared_slopes=False)
        training.fit(other, stages.PNET, train, validation, tmp_path / "other")


@pytest.mark.slow
def test_a_training_can_start_from_the_mean_of_networks(tmp_path, train, validation, whole_dir):
    other = networks.build(stages.PNET)
    other.save(tmp_path / "other.keras")
    starts = (str(whole_dir / "pnet.keras"), str(tmp_path / "other.keras"))
    config = dataclasses.replace(CONFIG, epochs=1, learning_rate=1e-9, init_from=starts)
    training.fit(config, stages.PNET, train, validation, tmp_path)
    for x, y, z in zip(weights_of(tmp_path), weights_of(whole_dir), other.get_weights(), strict=True):
        np.testing.assert_allclose(x, (y + z) / 2, atol=1e-6)


@pytest.mark.slow
def test_without_landmarks_the_network_says_nothing_of_them(tmp_path, train, validation, whole_dir):
    """Landmark crops in the batches do no harm, and a network with landmarks can be the start."""
    start = str(whole_dir / "pnet.keras")
    config = dataclasses.replace(CONFIG, epochs=1, learning_rate=1e-9, init_from=(start,), landmarks=False)
    (row,) = training.fit(config, stages.PNET, train, validation, tmp_path)
    assert {"val_box_iou", "box_iou"} < set(row)
    assert not {"landmark_loss", "landmark_error", "val_landmark_loss", "val_landmark_error"} & set(row)
    network = keras.saving.load_model(tmp_path / "pnet.keras")
    assert set(network.output) == {"face", "offsets"}
    source = keras.saving.load_model(start)
    for layer in network.layers:
        for x, y in zip(layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)


@pytest.mark.slow
def test_only_landmarks_are_trained_and_all_else_stays(tmp_path):
    def batches(seed):
        examples = conftest.toy_examples(64, seed, stages.ONET.size)
        rows = examples["kind"] == kinds.LANDMARK
        examples = {name: values[rows] for name, values in examples.items()}
        return tf.data.Dataset.from_tensor_slices(examples).repeat().batch(8)

    start = networks.build(stages.ONET)
    start.save(tmp_path / "start.keras")
    paths = (str(tmp_path / "start.keras"),)
    config = training.Config(epochs=2, steps_per_epoch=6, batch_size=8, init_from=paths, train_only="landmarks")
    first, last = training.fit(config, stages.ONET, batches, lambda: batches(9).take(2), tmp_path)
    assert last["val_landmark_error"] < first["val_landmark_error"] and "face_loss" not in last

    trained = networks.load(tmp_path / "onet.keras")
    for layer in start.layers:
        if layer.weights and not networks.is_of_landmark_branch(layer):
            for there, here in zip(trained.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
                np.testing.assert_array_equal(there, here)

    # It can be the start of a usual training, and of one without landmarks; its branch that of another network.
    again = dataclasses.replace(config, init_from=(str(tmp_path / "onet.keras"),), train_only="", epochs=1)
    training.fit(again, stages.ONET, batches, None, tmp_path / "again")
    assert networks.has_landmark_branch(networks.load(tmp_path / "again" / "onet.keras"))
    training.fit(dataclasses.replace(again, landmarks=False), stages.ONET, batches, None, tmp_path / "without")
    boxes = networks.load(tmp_path / "without" / "onet.keras")
    assert set(boxes.output) == {"face", "offsets"}
    joined = dataclasses.replace(
        config,
        epochs=1,
        learning_rate=1e-9,
        init_from=(str(tmp_path / "without" / "onet.keras"),),
        landmarks_from=str(tmp_path / "onet.keras"),
    )
    training.fit(joined, stages.ONET, batches, None, tmp_path / "joined")
    for layer in networks.load(tmp_path / "joined" / "onet.keras").layers:
        source = trained if networks.is_of_landmark_branch(layer) else boxes
        for there, here in zip(layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_allclose(there, here, atol=1e-6)


def test_a_variant_is_that_of_the_start_where_none_is_wanted(tmp_path):
    networks.build(stages.ONET, landmark_branch=True).save(tmp_path / "paper.keras")
    paper, wide_path = str(tmp_path / "paper.keras"), str(tmp_path / "wide.keras")
    wide, _ = tasks.build(training.Config(init_from=(paper,), variant="wide"), stages.ONET)
    assert networks.variant_of(wide) == "wide"
    np.testing.assert_array_equal(wide.get_layer("conv2").kernel, networks.load(paper).get_layer("conv2").kernel)
    tasks.save(wide, wide_path)
    for only in training.TRAIN_ONLY:
        again, _ = tasks.build(training.Config(init_from=(wide_path,), train_only=only), stages.ONET)
        for there, here in zip(again.get_weights(), wide.get_weights(), strict=True):
            np.testing.assert_array_equal(there, here)
    assert networks.variant_of(tasks.build(training.Config(), stages.ONET)[0]) == "paper"
    with pytest.raises(ValueError, match=r"the same variant.*wide.keras differs in"):
        tasks.build(training.Config(init_from=(wide_path,), variant="paper"), stages.ONET)


def test_a_branch_comes_from_an_onet_with_landmarks(tmp_path):
    networks.build(stages.ONET).save(tmp_path / "start.keras")
    networks.build(stages.ONET, landmarks=False).save(tmp_path / "boxes.keras")
    start, boxes = str(tmp_path / "start.keras"), str(tmp_path / "boxes.keras")
    with pytest.raises(ValueError, match="landmarks_from must be an O-Net that finds landmarks"):
        tasks.build(training.Config(init_from=(start,), train_only="landmarks", landmarks_from=boxes), stages.ONET)
    with pytest.raises(ValueError, match="give train_only=landmarks"):
        training.Config(init_from=(start,), landmarks_from=boxes)
    with pytest.raises(FileNotFoundError, match="landmarks_from must be .keras files, there is none at nowhere"):
        training.Config(init_from=(start,), train_only="landmarks", landmarks_from="nowhere")


def test_a_branch_begins_at_the_pixels_where_the_one_it_begins_as_does(tmp_path):
    networks.build(stages.ONET, landmarks=False).save(tmp_path / "boxes.keras")
    source = networks.build(stages.ONET, landmark_branch=True, margin=1.3, landmark_margin=1.1)
    source.save(tmp_path / "points.keras")
    boxes, points = str(tmp_path / "boxes.keras"), str(tmp_path / "points.keras")
    config = training.Config(init_from=(boxes,), train_only="landmarks", landmarks_from=points)
    network, _ = tasks.build(config, stages.ONET)
    assert (networks.margin_of(network), networks.landmark_margin_of(network)) == (1.0, 1.0)
    for layer in filter(networks.is_of_landmark_branch, network.layers):
        for there, here in zip(layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(there, here)


def test_landmarks_from_crops_of_another_margin_share_nothing(tmp_path):
    networks.build(stages.ONET, landmarks=False, margin=1.3).save(tmp_path / "boxes.keras")
    networks.build(stages.ONET, landmark_branch=True).save(tmp_path / "points.keras")
    boxes, points = str(tmp_path / "boxes.keras"), str(tmp_path / "points.keras")
    config = training.Config(init_from=(boxes,), train_only="landmarks", landmarks_from=points, margin=1.1)
    network, _ = tasks.build(config, stages.ONET)
    assert (networks.margin_of(network), networks.landmark_margin_of(network)) == (1.3, 1.1)
    source = networks.load(points)
    names = {layer.name for layer in source.layers}
    for layer in filter(networks.is_of_landmark_branch, network.layers):
        name = layer.name if layer.name in names else layer.name.removeprefix("landmark_")
        for there, here in zip(layer.get_weights(), source.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(there, here)
    trained = {layer.name for layer in network.layers if layer.trainable_weights}
    assert {"landmark_conv1", "landmark_conv4", "landmarks"} < trained and not {"conv1", "face"} & trained

    # With the same crops the branch goes on, faces and boxes alone do without it, and with theirs it stays as it is.
    tasks.save(network, tmp_path / "both.keras")
    both = (str(tmp_path / "both.keras"),)
    again, _ = tasks.build(dataclasses.replace(config, init_from=both, landmarks_from=""), stages.ONET)
    for there, here in zip(again.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(there, here)
    alone, _ = tasks.build(training.Config(init_from=both, landmarks=False, margin=1.3), stages.ONET)
    assert set(alone.output) == {"face", "offsets"} and networks.landmark_margin_of(alone) is None
    with pytest.warns(UserWarning, match=r"told from crops of 1.1 times .*1.3 times: they stay as they are"):
        together, _ = tasks.build(training.Config(init_from=both, margin=1.3), stages.ONET)
    assert {layer.name for layer in together.layers if layer.trainable_weights} >= {"conv1", "dense", "face", "offsets"}
    assert not any(layer.trainable_weights for layer in together.layers if networks.is_of_landmark_branch(layer))
    for there, here in zip(together.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(there, here)


def test_other_points_begin_with_what_is_known_of_faces_and_boxes(tmp_path):
    keras.utils.set_random_seed(5)
    networks.build(stages.ONET, landmark_branch=True).save(tmp_path / "five.keras")
    start = networks.load(tmp_path / "five.keras")
    paths = (str(tmp_path / "five.keras"),)
    for config in (
        training.Config(init_from=paths, landmark_set=landmark_sets.IBUG),
        training.Config(
            init_from=paths, landmark_set=landmark_sets.IBUG, train_only="landmarks", landmarks_from=paths[0]
        ),
    ):
        network, _ = tasks.build(config, stages.ONET)
        assert network.output["landmarks"].shape == (None, 136)
        for layer in network.layers:
            if layer.name != "landmarks":
                for there, here in zip(layer.get_weights(), start.get_layer(layer.name).get_weights(), strict=True):
                    np.testing.assert_array_equal(there, here)


def test_a_start_with_another_margin_is_told(tmp_path):
    networks.build(stages.ONET, margin=1.3).save(tmp_path / "wide.keras")
    start = (str(tmp_path / "wide.keras"),)
    with pytest.warns(UserWarning, match="showed 1.3 times the square, these show 1 times"):
        tasks.build(training.Config(init_from=start), stages.ONET)
    tasks.build(training.Config(init_from=start, margin=1.3), stages.ONET)


def test_to_train_only_landmarks_needs_a_start():
    with pytest.raises(ValueError, match="train_only=landmarks needs landmarks, and init_from"):
        training.Config(train_only="landmarks")


@pytest.mark.slow
def test_steps_are_traced_for_the_profiler(tmp_path, train):
    config = dataclasses.replace(CONFIG, epochs=2, steps_per_epoch=13, profile_steps=2)
    training.fit(config, stages.PNET, train, None, tmp_path)
    (trace,) = tmp_path.glob("pnet/tensorboard/plugins/profile/*/*.xplane.pb")
    assert b"step_num" in trace.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("seconds, num_plots", [(0, CONFIG.epochs), (1000, 1)])
def test_the_history_is_drawn_now_and_then_and_at_the_end(tmp_path, train, monkeypatch, seconds, num_plots):
    drawn = []
    monkeypatch.setattr(run, "SECONDS_BETWEEN_PLOTS", seconds)
    monkeypatch.setattr(run.history, "write_plot", lambda rows, path, title: drawn.append(len(rows)))
    training.fit(CONFIG, stages.PNET, train, None, tmp_path)
    assert len(drawn) == num_plots and drawn[-1] == CONFIG.epochs


@pytest.mark.slow
def test_too_few_batches_are_an_error(tmp_path, train, validation):
    with pytest.raises(ValueError, match="an epoch needs 8 batches, train gave only 5"):
        training.fit(CONFIG, stages.PNET, lambda seed: train(seed).take(5), None, tmp_path)
    with pytest.raises(ValueError, match="validation needs at least one batch"):
        training.fit(CONFIG, stages.PNET, train, lambda: validation().take(0), tmp_path)


@pytest.mark.slow
def test_mirrored_on_one_device_trains_like_no_strategy(tmp_path, train, validation, whole_dir):
    config = dataclasses.replace(CONFIG, strategy="mirrored")
    training.fit(config, stages.PNET, train, validation, tmp_path)
    assert_same_training(tmp_path, whole_dir)
