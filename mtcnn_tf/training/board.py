"""A training as TensorBoard shows it: scalars, pictures, the precision–recall curve, histograms, the configuration."""

import pathlib
from collections.abc import Mapping

import cv2
import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.pr_curve import summary as pr_curve_summary

from mtcnn_tf import kinds
from mtcnn_tf.training import validators

_ZOOM = 96
_RIM = 0.3
"""How much is drawn round a crop, as a share of its side: true boxes reach beyond it."""
_TRUE, _PREDICTED = (60, 200, 60), (240, 90, 40)
_VALIDATION = "val_"


class Board:
    """Writes into `logs_dir`, with training and validation as two runs whose curves share a chart."""

    def __init__(self, logs_dir: pathlib.Path):
        self._train = tf.summary.create_file_writer(str(logs_dir / "train"))
        self._validation = tf.summary.create_file_writer(str(logs_dir / "validation"))

    def write_text(self, name: str, facts: Mapping, step: int) -> None:
        """Writes `facts` as a table."""
        lines = [f"|{key}|{value}|" for key, value in facts.items()]
        with self._train.as_default():
            tf.summary.text(name, "\n".join(["|name|value|", "|-|-|", *lines]), step=step)

    def write_row(self, row: Mapping[str, float], step: int) -> None:
        """Writes the figures of an epoch; names that begin with `val_` belong to the validation."""
        for name, value in row.items():
            is_validation = name.startswith(_VALIDATION)
            with (self._validation if is_validation else self._train).as_default():
                tf.summary.scalar(name.removeprefix(_VALIDATION), value, step=step)

    def write_network(self, network: keras.Model, step: int) -> None:
        """Writes a histogram of each of the network's weights."""
        with self._train.as_default():
            for variable in network.trainable_variables:
                tf.summary.histogram(variable.path, variable.numpy(), step=step)

    def write_validation(self, validator: validators.Validator, step: int) -> None:
        """Writes the precision–recall curve and the pictures of what `validator` measured last."""
        with self._validation.as_default():
            if validator.is_face.any():
                _write_pr_curve(validator.scores, validator.is_face, step)
            if len(validator.samples["kind"]):
                picture = draw_samples(validator.samples, validator.predict_samples())
                description = "Green: true box and points; orange: predicted."
                tf.summary.image("samples", picture[None], step=step, description=description)

    def flush(self) -> None:
        """Brings everything to the disk."""
        self._train.flush()
        self._validation.flush()

    def close(self) -> None:
        """Ends both files."""
        self._train.close()
        self._validation.close()


def _write_pr_curve(scores: np.ndarray, is_face: np.ndarray, step: int):
    value = pr_curve_summary.pb("face", is_face, scores).value[0]
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
