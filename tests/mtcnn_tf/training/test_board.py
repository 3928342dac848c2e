"""What TensorBoard is given, read back from its files."""

import re

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from mtcnn_tf import kinds, stages
from mtcnn_tf.models import losses, networks
from mtcnn_tf.training import board, drawing, history, settings, validators


@pytest.fixture
def logs_dir(tmp_path, validation):
    network = networks.build(stages.PNET)
    validator = validators.for_stage(stages.PNET, network, validation(), settings.Config())
    figures = validator.measure()
    writer = board.Board(tmp_path)
    writer.write_configuration({"epochs": 3, "mix": {"part": 1}, "augment": True}, step=0)
    writer.write_row({"loss": 0.5, "learning_rate": 0.1, "val_loss": figures["loss"]}, step=7)
    writer.write_network(network, step=7)
    writer.write_validation(validator, step=7)
    writer.close()
    return tmp_path


def read(run_dir):
    accumulator = event_accumulator.EventAccumulator(str(run_dir)).Reload()
    return {
        (accumulator.SummaryMetadata(tag).plugin_data.plugin_name, tag): accumulator.Tensors(tag)[0]
        for tag in accumulator.Tags()["tensors"]
    }


def test_training_and_validation_are_two_runs_with_the_same_tags(logs_dir):
    train, validation = read(logs_dir / "train"), read(logs_dir / "validation")
    assert {("scalars", "loss/total"), ("scalars", "loss/learning_rate")} <= set(train)
    assert ("histograms", "conv1/kernel") in train
    assert set(validation) == {("scalars", "loss/total"), ("pr_curves", "face/pr_curves"), ("images", "samples")}
    assert tf.make_ndarray(train["scalars", "loss/total"].tensor_proto) == 0.5
    assert train["scalars", "loss/total"].step == 7
    curve = tf.make_ndarray(validation["pr_curves", "face/pr_curves"].tensor_proto)
    true_positives, _, _, false_negatives, precision, recall = curve
    assert recall[0] == 1.0  # everything is a face at a threshold of 0
    assert true_positives[0] > 0 and false_negatives[0] == 0
    assert np.all((precision >= 0) & (precision <= 1))


def test_the_configuration_is_a_table_hyperparameters_and_a_layout(logs_dir):
    whole = read(logs_dir)
    table = tf.make_ndarray(whole["text", "configuration"].tensor_proto).item().decode()
    assert "|epochs|3|" in table
    started = [plugin for plugin, tag in whole if plugin == "hparams"]
    assert started == ["hparams"]
    accumulator = event_accumulator.EventAccumulator(str(logs_dir)).Reload()
    content = accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["epochs"].number_value == 3 and values["augment"].bool_value and "part" in values["mix"].string_value
    layout = layout_pb2.Layout()
    (found,) = [held for (plugin, _), held in whole.items() if plugin == "custom_scalars"]
    layout.ParseFromString(tf.make_ndarray(found.tensor_proto).item())
    patterns = [pattern for chart in layout.category[0].chart for pattern in chart.multiline.tag]
    tags = [board.tag(name) for name in losses.FIGURES]
    assert all(any(re.search(pattern, tag) for tag in tags) for pattern in patterns)


def test_figures_are_grouped_by_what_they_are_about():
    groups = {board.tag(name).split("/")[0] for name in (*losses.FIGURES, "val_face_accuracy", "val_loss", "val_auc")}
    assert groups == {"face", "box", "landmarks", "loss"}
    assert board.tag("val_face_accuracy") == board.tag("face_accuracy") == "face/accuracy"


def test_samples_show_true_and_predicted_boxes_and_points():
    samples = {
        "image": np.zeros((2, 12, 12, 3), np.float32),
        "kind": np.array([kinds.POSITIVE, kinds.LANDMARK]),
        "offsets": np.zeros((2, 4), np.float32),
        "landmarks": np.full((2, 10), 0.5, np.float32),
    }
    predictions = {"offsets": np.full((2, 4), 0.2, np.float32), "landmarks": np.full((2, 10), np.nan, np.float32)}
    image = drawing.draw_samples(samples, predictions)
    side = image.shape[0]
    assert image.dtype == np.uint8 and image.shape == (side, validators.NUM_SAMPLES * side, 3)
    box_tile, landmark_tile = image[:, :side], image[:, side : 2 * side]
    green = np.array(drawing._TRUE)
    assert tuple(landmark_tile[side // 2, side // 2]) == tuple(green)
    assert np.all(box_tile[side // 2, side // 2] == 0)
    assert np.any(np.all(box_tile == np.array(drawing._PREDICTED), axis=-1))


@pytest.mark.slow
def test_validation_does_not_depend_on_how_the_set_is_cut(validation):
    network = networks.build(stages.PNET)

    def figures(batch_size):
        batches = validation().unbatch().batch(batch_size)
        return validators.for_stage(stages.PNET, network, batches, settings.Config()).measure()

    assert figures(7) == pytest.approx(figures(100), rel=1e-4)


def test_a_validation_without_a_kind_leaves_its_figures_out(validation):
    batches = validation().unbatch().filter(lambda row: row["kind"] == kinds.NEGATIVE).batch(16)
    network = networks.build(stages.PNET)
    validator = validators.for_stage(stages.PNET, network, batches, settings.Config())
    figures = validator.measure()
    assert not {"auc", "box_iou", "landmark_error", "recall"} & set(figures)
    assert figures["loss"] == pytest.approx(figures["face_loss"])
    assert len(validator.samples["kind"]) == 0


def test_a_history_with_gaps_is_drawn_and_written(tmp_path):
    rows = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5, "val_loss": 0.7}]
    history.write_csv(rows, tmp_path / "history.csv")
    history.write_plot(rows, tmp_path / "history.png", "pnet")
    assert (tmp_path / "history.csv").read_text().splitlines() == ["epoch,loss,val_loss", "1,1.0,", "2,0.5,0.7"]
    assert cv2.imread(str(tmp_path / "history.png")).std() > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "history.png"]
