"""A training as TensorBoard shows it: scalars, pictures, the precision–recall curve, histograms, the configuration.

Scalars are grouped by what they are about, see `tag`; those of the validation bear the same tags in a run of their own,
so that both are drawn into one chart. The settings are written as hyperparameters, too: TensorBoard's HPARAMS lays the
runs of several folders side by side.
"""

import pathlib
from collections.abc import Mapping

import cv2
import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar_summary
from tensorboard.plugins.hparams import api as hyperparameters
from tensorboard.plugins.pr_curve import summary as pr_curve_summary

from mtcnn_tf import kinds
from mtcnn_tf.training import validators

_ZOOM = 96
_RIM = 0.3
"""How much is drawn round a crop, as a share of its side: true boxes reach beyond it."""
_TRUE, _PREDICTED = (60, 200, 60), (240, 90, 40)
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
        self._whole = tf.summary.create_file_writer(str(logs_dir))
        self._train = tf.summary.create_file_writer(str(logs_dir / "train"))
        self._validation = tf.summary.create_file_writer(str(logs_dir / "validation"))

    def write_configuration(self, facts: Mapping, step: int) -> None:
        """Writes `facts` as a table and as hyperparameters, and which curves share a chart."""
        lines = [f"|{key}|{value}|" for key, value in facts.items()]
        with self._whole.as_default():
            tf.summary.text("configuration", "\n".join(["|name|value|", "|-|-|", *lines]), step=step)
            plain = {name: x if isinstance(x, bool | int | float | str) else str(x) for name, x in facts.items()}
            hyperparameters.hparams(plain)
            _write(custom_scalar_summary.pb(_layout()), step)

    def write_row(self, row: Mapping[str, float], step: int) -> None:
        """Writes the figures of an epoch; names that begin with `val_` belong to the validation."""
        for name, value in row.items():
            is_validation = name.startswith(_VALIDATION)
            with (self._validation if is_validation else self._train).as_default():
                tf.summary.scalar(tag(name), value, step=step)

    def write_network(self, network: keras.Model, step: int) -> None:
        """Writes a histogram of each of the network's weights."""
        with self._train.as_default():
            for variable in network.trainable_variables:
                tf.summary.histogram(variable.path, variable.numpy(), step=step)

    def write_validation(self, validator: validators.Validator, step: int) -> None:
        """Writes the precision–recall curve and the pictures of what `validator` measured last."""
        with self._validation.as_default():
            if validator.is_face.any():
                _write(pr_curve_summary.pb("face", validator.is_face, validator.scores), step)
            if len(validator.samples["kind"]):
                picture = draw_samples(validator.samples, validator.predict_samples())
                description = "Green: true box and points; orange: predicted."
                tf.summary.image("samples", picture[None], step=step, description=description)

    def flush(self) -> None:
        """Brings everything to the disk."""
        for writer in (self._whole, self._train, self._validation):
            writer.flush()

    def close(self) -> None:
        """Ends the files."""
        for writer in (self._whole, self._train, self._validation):
            writer.close()


def _layout() -> layout_pb2.Layout:
    charts = [
        layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=patterns))
        for title, patterns in _CHARTS.items()
    ]
    return layout_pb2.Layout(category=[layout_pb2.Category(title="several curves", chart=charts)])


def _write(summary, step: int):
    """Writes what a plugin of TensorBoard made."""
    value = summary.value[0]
    tf.summary.write(value.tag, tf.make_ndarray(value.tensor), step=step, metadata=value.metadata)


def draw_samples(samples: dict, predictions: dict) -> np.ndarray:
    """A sheet of crops with true (green) and predicted (orange) boxes and points, uint8 [H, W, 3].

    Args:
        samples: `image` [N, S, S, 3] in 0–255, `kind`, `offsets`, `landmarks` as in a batch.
        predictions: `offsets` [N, 4] and, if the network finds them, `landmarks` [N, 10].
    """
    tiles = []
    for row in range(len(samples["image"])):
        tile = _enlarge(samples["image"][row])
        for targets, colour in ((samples, _TRUE), (predictions, _PREDICTED)):
            if samples["kind"][row] != kinds.LANDMARK:
                _draw_box(tile, targets["offsets"][row], colour)
            elif "landmarks" in targets:
                _draw_points(tile, targets["landmarks"][row], colour)
        tiles.append(tile)
    while len(tiles) % validators.NUM_SAMPLES:
        tiles.append(np.zeros_like(tiles[0]))
    return np.concatenate(
        [
            np.concatenate(tiles[k : k + validators.NUM_SAMPLES], axis=1)
            for k in range(0, len(tiles), validators.NUM_SAMPLES)
        ]
    )


def _enlarge(crop: np.ndarray) -> np.ndarray:
    pixels = np.clip(np.round(crop), 0, 255).astype(np.uint8)
    pixels = cv2.resize(pixels, (_ZOOM, _ZOOM), interpolation=cv2.INTER_NEAREST)
    rim = round(_RIM * _ZOOM)
    return cv2.copyMakeBorder(pixels, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(40, 40, 40))


def _to_pixels(points: np.ndarray) -> list[tuple[int, int]]:
    """Points [P, 2], relative to the crop, in pixels of its enlarged picture, kept within sight of it."""
    points = np.clip(np.nan_to_num(points), -9, 9)
    return [tuple(int(x) for x in point) for point in np.round((points + _RIM) * _ZOOM)]


def _draw_box(tile: np.ndarray, offsets: np.ndarray, colour: tuple):
    corners = offsets.reshape(2, 2) + np.array([[0, 0], [1, 1]])
    cv2.rectangle(tile, *_to_pixels(corners), colour)


def _draw_points(tile: np.ndarray, landmarks: np.ndarray, colour: tuple):
    for point in _to_pixels(landmarks.reshape(5, 2)):
        cv2.circle(tile, point, 2, colour, -1, cv2.LINE_AA)
