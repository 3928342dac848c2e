"""A training as TensorBoard shows it: scalars, images, the precision–recall curve, histograms, the configuration.

Scalars are grouped by what they are about, see `tag`; those of the validation bear the same tags in a run of their own,
so that both are drawn into one chart. The settings are written as hyperparameters, too: TensorBoard's HPARAMS lays the
runs of several folders side by side.
"""

import pathlib
import time
from collections.abc import Mapping

import cv2
import keras
import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar_metadata
from tensorboard.plugins.histogram import summary_v2 as histogram_summary
from tensorboard.plugins.hparams import summary_v2 as hyperparameter_summary
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.pr_curve import metadata as pr_curve_metadata
from tensorboard.plugins.scalar import summary_v2 as scalar_summary
from tensorboard.plugins.text import summary_v2 as text_summary
from tensorboard.summary.writer import event_file_writer
from tensorboard.util import tensor_util

from mtcnn_tf.training import validators

_VALIDATION = "val_"
_TAGS = {
    "loss": "loss/total",
    "learning_rate": "loss/learning_rate",
    "precision": "face/precision",
    "recall": "face/recall",
    "auc": "face/auc",
    "recall_at_precision": "face/recall_at_precision",
    "landmark_loss": "landmarks/loss",
    "landmark_error": "landmarks/error",
    "examples_per_second": "speed/examples_per_second",
    "input_waiting": "speed/input_waiting",
}
_CHARTS = {"the three losses": ["^(face|box|landmarks)/loss$"], "precision and recall": ["^face/(precision|recall)$"]}
"""Charts of several curves, by patterns of their tags."""


def tag(name: str) -> str:
    """What a figure is called in TensorBoard: `face_accuracy` is `face/accuracy`, and so is `val_face_accuracy`."""
    name = name.removeprefix(_VALIDATION)
    return _TAGS.get(name, name.replace("_", "/", 1))


class Board:
    """Writes into `logs_dir`, with training and validation as two runs whose curves share a chart."""

    def __init__(self, logs_dir: pathlib.Path):
        # Above the two runs: HPARAMS takes for a run's results what lies in folders below it.
        self._whole = _Run(logs_dir)
        self._train = _Run(logs_dir / "train")
        self._validation = _Run(logs_dir / "validation")

    def write_configuration(self, facts: Mapping, step: int) -> None:
        """Writes `facts` as a table and as hyperparameters, and which curves share a chart."""
        lines = [f"|{key}|{value}|" for key, value in facts.items()]
        table = "\n".join(["|name|value|", "|-|-|", *lines])
        self._whole.write(text_summary.text_pb("configuration", table), step)
        plain = {name: x if isinstance(x, bool | int | float | str) else str(x) for name, x in facts.items()}
        self._whole.write(hyperparameter_summary.hparams_pb(plain), step)
        metadata = custom_scalar_metadata.create_summary_metadata()
        tag_of_layout = custom_scalar_metadata.CONFIG_SUMMARY_TAG
        self._whole.write(_tensor(tag_of_layout, np.array(_layout().SerializeToString(), object), metadata), step)

    def write_row(self, row: Mapping[str, float], step: int) -> None:
        """Writes the figures of an epoch; names that begin with `val_` belong to the validation."""
        for name, value in row.items():
            run = self._validation if name.startswith(_VALIDATION) else self._train
            run.write(scalar_summary.scalar_pb(tag(name), value), step)

    def write_network(self, network: keras.Model, step: int) -> None:
        """Writes a histogram of each of the network's weights."""
        for variable in network.trainable_variables:
            values = keras.ops.convert_to_numpy(variable)
            self._train.write(histogram_summary.histogram_pb(variable.path, values), step)

    def write_validation(self, validator: "validators.Validator | validators.RpnValidator", step: int) -> None:
        """Writes the curves and the images of what `validator` measured last."""
        if validator.is_face.any():
            self._validation.write(_pr_curve("face/pr_curves", validator.scores, validator.is_face), step)
        for name, image in validator.images().items():
            self._validation.write(_image(name, image), step)

    def flush(self) -> None:
        """Brings everything to the disk."""
        for run in (self._whole, self._train, self._validation):
            run.writer.flush()

    def close(self) -> None:
        """Ends the files."""
        for run in (self._whole, self._train, self._validation):
            run.writer.close()


class _Run:
    """One run of TensorBoard, which tells runs by their folders."""

    def __init__(self, logs_dir: pathlib.Path):
        self.writer = event_file_writer.EventFileWriter(str(logs_dir))

    def write(self, summary: summary_pb2.Summary, step: int) -> None:
        """Writes what one of TensorBoard's plugins made."""
        self.writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))


def _layout() -> layout_pb2.Layout:
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=patterns))
        for title, patterns in _CHARTS.items()
    ]
    return layout_pb2.Layout(category=[layout_pb2.Category(title="several curves", chart=charts)])


def _tensor(name: str, values: np.ndarray, metadata: summary_pb2.SummaryMetadata) -> summary_pb2.Summary:
    tensor = tensor_util.make_tensor_proto(values)
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=name, tensor=tensor, metadata=metadata)])


def _image(name: str, image: np.ndarray) -> summary_pb2.Summary:
    """An image, RGB uint8 [H, W, 3]."""
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    height, width = (str(side).encode() for side in image.shape[:2])
    return _tensor(name, np.array([width, height, encoded], object), image_metadata.create_summary_metadata("", ""))


def _pr_curve(name: str, scores: np.ndarray, is_face: np.ndarray, num_thresholds: int = 201) -> summary_pb2.Summary:
    """Precision and recall over thresholds, in the six rows of numbers that TensorBoard's plugin takes."""
    thresholds = np.arange(num_thresholds) / (num_thresholds - 1)
    reached = np.searchsorted(thresholds, scores, side="right")  # each score counts at so many of the thresholds
    true_positives, false_positives = (
        np.bincount(reached[rows], minlength=num_thresholds + 1)[::-1].cumsum()[::-1][1:]
        for rows in (is_face, ~is_face)
    )
    false_negatives, true_negatives = is_face.sum() - true_positives, (~is_face).sum() - false_positives
    precision = true_positives / np.maximum(true_positives + false_positives, 1)
    recall = true_positives / max(is_face.sum(), 1)
    rows = [true_positives, false_positives, true_negatives, false_negatives, precision, recall]
    metadata = pr_curve_metadata.create_summary_metadata("", "", num_thresholds)
    return _tensor(name, np.stack(rows).astype(np.float32), metadata)
