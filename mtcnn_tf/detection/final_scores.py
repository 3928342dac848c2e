"""What the final score of a face is made of: what O-Net says, what the first stage says, and how large the face is.

How much each counts is chosen by `evaluation.calibration`, after which a score is the chance that a box is a face's.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from mtcnn_tf import arguments


class ScoreWeights(NamedTuple):
    """How a face's final score comes about.

    Its logit is `onet` · O-Net's + `first` · the first stage's + `size` · octaves + `bias`. A face of 32 pixels has 0
    octaves and one twice as large 1 more, see `SIZES`: a small one needs a better look to be believed.
    """

    onet: float = 1.0
    first: float = 0.0
    size: float = 0.0
    bias: float = 0.0


SIZES = (16.0, 32.0, 128.0)
"""Sides in pixels of the squares in which faces are proposed: the smallest and largest that are told apart, and between
them the one of 0 octaves. O-Net sees all of the pixels of the larger ones, whatever their size."""

NOT_CALIBRATED = ScoreWeights()
"""O-Net's logit as it is."""


def checked(weights: ScoreWeights) -> ScoreWeights:
    """The same as floats.

    Raises:
        ValueError: They are not finite numbers, or those of the logits are below 0.
    """

    def number(name: str, wanted: str = "one number", above: float = -math.inf) -> float:
        return arguments.number(f"score_weights.{name}", getattr(weights, name), wanted, above)

    onet, first = (number(name, "one number of 0 or more", math.nextafter(0, -1)) for name in ("onet", "first"))
    return ScoreWeights(onet, first, number("size"), number("bias"))


def logits(weights: ScoreWeights, of_onet: tf.Tensor, first_logits: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
    """Final logits [N] of O-Net's [N], the first stage's [N] and the squares [N, 4]; see `ScoreWeights`."""
    smallest, middle, largest = SIZES
    sides = tf.clip_by_value(squares[:, 3] - squares[:, 1], smallest, largest)
    octaves = tf.math.log(sides / middle) / math.log(2)
    return weights.onet * of_onet + weights.first * first_logits + weights.size * octaves + weights.bias
