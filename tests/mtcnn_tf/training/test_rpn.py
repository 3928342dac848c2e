"""Whole small trainings of the RPN from image records: what they learn, leave behind, and how they go on."""

import csv
import dataclasses
import itertools
import os
import signal

import cv2
import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

from mtcnn_tf import stages, training
from mtcnn_tf.geometry import anchor_labels, anchors
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.models import networks
from mtcnn_tf.records import image_batches, prefetching, windows
from mtcnn_tf.training import checkpoints, drawing, tasks, validators
from tests.mtcnn_tf.training import easy_images

CONFIG = training.Config(
    epochs=3, steps_per_epoch=20, batch_size=8, window=96, learning_rate=0.003, anchors=(14.0, 24.0, 48.0, 120.0)
)
RECIPE = windows.Recipe(size=CONFIG.window, face_sizes=(14.0, 80.0))
NOT_REPEATABLE = ("examples_per_second", "input_waiting")


def batches_of(records_dir, config=CONFIG, recipe=RECIPE):
    its_anchors, rules = anchors.Anchors(config.anchors), anchor_labels.Rules()
    return image_batches.of_windows(str(records_dir), config.batch_size, recipe, its_anchors, rules)


def fit(batches, networks_dir, config=CONFIG, train=None, report=lambda line: None):
    return training.fit(
        config,
        stages.RPN,
        train or batches.train,
        batches.validation,
        networks_dir,
        prepare=batches.prepare,
        report=report,
    )


def history_of(networks_dir):
    with open(networks_dir / "rpn" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(x) for name, x in row.items() if name not in NOT_REPEATABLE} for row in rows]


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    images = [easy_images.some_image(seed) for seed in range(14)]
    background = easy_images.some_image(90, sizes=())
    return batches_of(easy_images.write(tmp_path_factory.mktemp("rpn"), [*images[:10], background], images[10:]))


@pytest.fixture(scope="module")
def quiet_dir(tmp_path_factory, batches):
    """The folder of an uninterrupted training."""
    networks_dir = tmp_path_factory.mktemp("quiet")
    lines = []
    fit(batches, networks_dir, report=lines.append)
    (networks_dir / "lines").write_text("\n".join(lines))
    return networks_dir


def test_an_easy_problem_is_learnt(quiet_dir, batches):
    rows = history_of(quiet_dir)
    untrained = networks.rpn(anchors.Anchors(CONFIG.anchors))
    assert validators.RpnValidator(untrained, batches.validation()).measure()["recall_at_10"] < 0.5
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"] and rows[-1]["box_iou"] > rows[0]["box_iou"]
    assert rows[-1]["val_recall_at_10"] > 0.8 and max(row["val_recall_at_100"] for row in rows) == 1
    for row in rows:
        recalls = [row[f"val_recall_at_{count}"] for count in (10, 40, 100, 300)]
        assert recalls == sorted(recalls)
    line = (quiet_dir / "lines").read_text().splitlines()[0]
    assert line.startswith("epoch 1/3: loss ") and "val_recall_at_100" in line and "examples/s" in line


def test_what_a_training_leaves_behind(quiet_dir):
    network = networks.load(quiet_dir / "rpn.keras")
    assert networks.anchors_of(network).sizes == CONFIG.anchors
    assert cv2.imread(str(quiet_dir / "rpn" / "history.png")).std() > 0
    assert len(checkpoints.paths(quiet_dir / "rpn" / "checkpoints")) == checkpoints.NUM_KEPT
    assert not list(quiet_dir.rglob("*partial*"))
    seen = event_accumulator.EventAccumulator(
        str(quiet_dir / "rpn" / "tensorboard" / "validation"), size_guidance={"images": 0, "tensors": 0}
    ).Reload()
    tags = set(seen.Tags()["tensors"])
    assert {"recall/at_10", "recall/at_100", "face/pr_curves", "window_0", "window_3"} <= tags
    width, height, encoded = seen.Tensors("window_0")[-1].tensor_proto.string_val[:3]
    assert (int(width), int(height)) == (2 * 640, 640)  # labels on the left, proposals on the right
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (640, 1280, 3) and image[:, :640].max() > 200 and image[:, 640:].max() > 200


def test_windows_show_the_labels_that_are_learnt(batches):
    """The more anchors the rules make positive, the more green there is on the left."""
    num_green = []
    for num_nearest, nearest_iou in ((1, 0.45), (3, 0.25), (30, 0.05)):
        rules = anchor_labels.Rules(num_nearest=num_nearest, nearest_iou=nearest_iou)
        network = networks.rpn(anchors.Anchors(CONFIG.anchors))
        validator = validators.RpnValidator(network, batches.validation(), rules)
        validator.measure()
        left = validator.images()["window_0"][:, :640]
        num_green.append(np.all(left == drawing._LABEL_COLOURS[1], axis=2).sum())
    assert 0 < num_green[0] < num_green[1] < num_green[2]


def test_the_kept_network_finds_the_faces(quiet_dir, batches):
    """In an image of another size than the windows of its training."""
    network, its_anchors = networks.load(quiet_dir / "rpn.keras"), anchors.Anchors(CONFIG.anchors)
    image = easy_images.some_image(200, width=160, height=128)
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(image.encoded, np.uint8), 1), cv2.COLOR_BGR2RGB)
    predicted = {name: np.asarray(x)[0] for name, x in network(pixels[None].astype(np.float32)).items()}
    best = np.argsort(-predicted["face"])[:60]
    anchor_boxes = its_anchors.boxes(128, 160)[best]
    found = anchor_boxes + predicted["offsets"][best] * (anchor_boxes[:, 2:] - anchor_boxes[:, :2])[:, :1]
    assert np.all(box_geometry.iou(image.boxes, found).max(axis=1) > 0.5)


def interrupted(train, at_epoch, at_step):
    """The batches of `train`, but Ctrl-C is pressed when the given batch is asked for."""

    class Batches:
        def __init__(self, seed, steps):
            self.seed, self.steps = seed, steps

        def skip(self, count):
            return Batches(self.seed, self.steps.skip(count))

        def __iter__(self):
            for step, batch in enumerate(self.steps):
                if (self.seed, step) == (at_epoch, at_step):
                    os.kill(os.getpid(), signal.SIGINT)
                yield batch

    return lambda seed: Batches(seed, train(seed))


@pytest.mark.slow
def test_an_interrupted_training_ends_like_a_quiet_one(tmp_path, batches, quiet_dir):
    with pytest.raises(training.Interrupted, match="in epoch 2 after step 8"):
        fit(batches, tmp_path, train=interrupted(batches.train, 1, 7))
    lines = []
    fit(batches, tmp_path, report=lines.append)
    assert lines[0] == "Going on in epoch 2 after step 8."
    assert history_of(tmp_path) == [pytest.approx(row, rel=1e-4, abs=1e-6) for row in history_of(quiet_dir)]
    networks_there = [networks.load(folder / "rpn.keras").get_weights() for folder in (tmp_path, quiet_dir)]
    for here, there in zip(*networks_there, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-6)


def test_steps_of_a_seed_are_the_same_whoever_skips(batches):
    first = list(itertools.islice(batches.train(seed=3), 4))
    (skipped,) = itertools.islice(batches.train(seed=3).skip(3), 1)
    (other,) = itertools.islice(batches.train(seed=4), 1)
    for name, values in skipped.items():
        np.testing.assert_array_equal(values, first[3][name])
    assert np.any(other["image"] != first[0]["image"])
    assert isinstance(batches.train(seed=0), prefetching.Steps)


def test_labels_belong_to_the_windows(batches):
    """Positive anchors lie on what is bright, negative ones on what is dark."""
    boxes = anchors.Anchors(CONFIG.anchors).boxes(CONFIG.window, CONFIG.window)
    inside = ((boxes >= 0) & (boxes <= CONFIG.window)).all(axis=1)
    brightness = {0: [], 1: []}
    for batch in itertools.islice(batches.train(seed=0), 6):
        for pixels, labels in zip(batch["image"], batch["labels"], strict=True):
            dark = np.quantile(pixels, 0.2)
            for index in np.flatnonzero(inside & (labels >= 0)):
                x1, y1, x2, y2 = boxes[index].astype(int)
                brightness[int(labels[index])].append(pixels[y1:y2, x1:x2].mean() - dark)
    assert np.median(brightness[1]) > 2 * np.median(brightness[0]) and np.mean(brightness[1]) > 40


@pytest.mark.slow
def test_the_kept_network_is_the_moving_average(tmp_path, batches):
    config = dataclasses.replace(CONFIG, ema=0.9, epochs=1, steps_per_epoch=4, optimizer="sgd", weight_decay=0.0)
    fit(dataclasses.replace(batches, validation=None), tmp_path, config)
    network = networks.load(tmp_path / "rpn.keras")
    with np.load(checkpoints.paths(tmp_path / "rpn" / "checkpoints")[0]) as held:
        arrays = [held[name] for name in sorted(held.files) if name != "progress"]
    kept, count = network.get_weights(), len(network.weights)
    for here, last, average in zip(kept, arrays[:count], arrays[-count:], strict=True):
        np.testing.assert_array_equal(here, average)
        assert here.shape == last.shape
    assert any(np.any(last != average) for last, average in zip(arrays[:count], arrays[-count:], strict=True))


@pytest.mark.slow
def test_small_images_many_faces_and_incomplete_ones_are_learnt_from(tmp_path):
    """Smaller than a stride, of one pixel, without a face; 500 faces; not all of them annotated."""
    grey = np.full((320, 400, 3), 60, np.uint8)
    corners = np.stack(np.meshgrid(np.arange(25) * 16, np.arange(20) * 16), axis=-1).reshape(-1, 2)
    crowd = np.concatenate([corners, corners + 12], axis=1)
    images = [
        easy_images.of_pixels(grey[:3, :5], []),
        easy_images.of_pixels(grey[:1, :1], []),
        easy_images.of_pixels(grey[:14, :14], [[1, 1, 13, 13]]),
        easy_images.of_pixels(grey, crowd),
        easy_images.some_image(1, ignored=[[0, 0, 40, 128]], is_complete=False),
    ]
    config = dataclasses.replace(CONFIG, epochs=1, steps_per_epoch=4, face_loss="ohem", box_loss="squares")
    recipe = dataclasses.replace(RECIPE, anywhere_fraction=0.6)
    found = batches_of(easy_images.write(tmp_path / "a", images), config, recipe)
    assert found.validation is None
    (row,) = fit(found, tmp_path / "run", config)
    assert np.isfinite(row["loss"])
    # What can't be measured is told before hours of training.
    found = batches_of(easy_images.write(tmp_path / "b", images, images[2:3]), config, recipe)
    with pytest.raises(ValueError, match="validation needs faces of at least 12 pixels to be found, got none"):
        fit(found, tmp_path / "other", config)
    assert not checkpoints.paths(tmp_path / "other" / "rpn" / "checkpoints")


def test_without_usable_faces_there_is_one_sentence(tmp_path):
    tiny = easy_images.of_pixels(np.zeros((50, 50, 3), np.uint8), [[1, 1, 9, 9]])
    easy_images.write(tmp_path, [tiny, tiny])
    with pytest.raises(ValueError, match="expected faces of at least 10 pixels .* found none in 2 images") as error:
        batches_of(tmp_path)
    assert "\n" not in str(error.value)


def test_a_network_with_other_anchors_is_no_start(tmp_path, batches):
    networks.rpn(anchors.Anchors((16.0, 32.0))).save(tmp_path / "two.keras")
    config = dataclasses.replace(CONFIG, init_from=(str(tmp_path / "two.keras"),))
    with pytest.raises(ValueError, match=r"wanted are 14, 24, 48, 120, .*two.keras has 16, 32; give no") as error:
        fit(batches, tmp_path, config)
    assert "\n" not in str(error.value)


def test_anchors_are_those_of_the_starts_where_none_are_given(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.keras", "b.keras", "other.keras", "pnet.keras")]
    sizes = (14.5, 31.0)
    for path, its_anchors in zip(paths, (sizes, sizes, (16.0, 32.0)), strict=False):
        networks.rpn(anchors.Anchors(its_anchors)).save(path)
    networks.build(stages.PNET).save(paths[-1])
    config = training.Config(window=64, init_from=tuple(paths[:2]))
    network, _ = tasks.build(config, stages.RPN)
    assert networks.anchors_of(network) == training.choose_anchors(config) == anchors.Anchors(sizes)
    assert training.choose_anchors(training.Config()) == anchors.Anchors()
    for starts, told in ((paths[1:3], "14.5, 31, .*other.keras has 16, 32"), (paths[3:], "is one like pnet")):
        with pytest.raises(ValueError, match=told):
            training.choose_anchors(training.Config(init_from=tuple(starts)))


@pytest.mark.parametrize("anchors_now", [(14.0, 24.0, 48.0), (14.0, 24.0, 48.0, 110.0)])
def test_other_anchors_in_the_same_networks_folder_are_another_training(quiet_dir, batches, anchors_now):
    with pytest.raises(training.OtherRunError, match=r"anchors was \[14.0, 24.0, 48.0, 120.0\] and is now"):
        fit(batches, quiet_dir, dataclasses.replace(CONFIG, anchors=anchors_now))


@pytest.mark.slow
def test_mixed_precision_learns_and_leaves_a_float32_network(tmp_path, batches):
    config = dataclasses.replace(CONFIG, precision="mixed_bfloat16", epochs=1, steps_per_epoch=3)
    (row,) = fit(dataclasses.replace(batches, validation=None), tmp_path, config)
    assert np.isfinite(row["loss"])
    network = keras.saving.load_model(tmp_path / "rpn.keras")
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
