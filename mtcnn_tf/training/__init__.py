"""Trains one stage: from batches to `NETWORKS/{stage}.keras`, in a way that survives any interruption.

In a notebook:

    training.fit(training.Config(epochs=5, steps_per_epoch=500), stages.PNET, train, validation, "runs/first")

where `train(seed=…)` gives the batches of one epoch and `validation()` those to measure with. Epoch e (from 0) has the
seed `config.seed + e`, so that its batches are the same whether or not the training was interrupted before. Beside the
network, `NETWORKS/{stage}/` holds `checkpoints/`, `tensorboard/`, `history.csv`, `history.png` and `config.json`.

Nothing here needs TensorFlow where Keras runs on JAX.
"""

from mtcnn_tf.training.run import fit
from mtcnn_tf.training.settings import PRECISIONS, TRAIN_ONLY, Config, OtherRunError
from mtcnn_tf.training.stopping import Interrupted
from mtcnn_tf.training.strategies import STRATEGIES, step_errors
from mtcnn_tf.training.tasks import choose_anchors

__all__ = [
    "PRECISIONS",
    "STRATEGIES",
    "TRAIN_ONLY",
    "Config",
    "Interrupted",
    "OtherRunError",
    "choose_anchors",
    "fit",
    "step_errors",
]
