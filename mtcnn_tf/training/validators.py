"""How good a network is on examples that it doesn't learn from."""

import keras
import numpy as np
import tensorflow as tf

from mtcnn_tf import kinds, losses, metrics, stages

NUM_SAMPLES = 8
"""How many examples of each kind are shown as pictures."""


class Validator:
    """Measures `network` on `batches`, a finite dataset, and keeps what can be shown of it.

    Attributes:
        scores: Face scores [N] of the last measurement, of the rows with a face label.
        is_face: Whether these rows are faces, boolean [N].
        samples: A few positives, parts and landmark crops: a dict of arrays like a batch.
    """

    def __init__(self, network: keras.Model, batches: tf.data.Dataset, weights: stages.LossWeights, hard_share: float):
        self._batches = batches
        self._weights, self._hard_share = weights, hard_share
        self.scores, self.is_face, self.samples = np.zeros(0, np.float32), np.zeros(0, bool), {}

        @tf.function(reduce_retracing=True, autograph=False)
        def measure(batch):
            predictions = losses.one_row_each(network(batch["image"], training=False))
            face_losses, _ = losses.row_losses(predictions, batch)["face_loss"]
            return losses.measure(predictions, batch), tf.nn.softmax(predictions["face"])[:, 1], face_losses

        @tf.function(reduce_retracing=True, autograph=False)
        def predict(image):
            return losses.one_row_each(network(image, training=False))

        self._measure, self._predict = measure, predict

    def measure(self) -> dict[str, float]:
        """All figures by name: `loss`, `losses.FIGURES`, `metrics.face_figures`; those without an example are left out.

        Hard examples are chosen from the whole set as if it were one batch, however it is ordered and cut.

        Raises:
            ValueError: There is no batch.
        """
        sums, rows = 0, []
        is_first_time = not self.samples
        for batch in self._batches:
            batch_sums, *columns = self._measure(batch)
            sums = sums + np.asarray(batch_sums, np.float64)
            rows.append([column.numpy() for column in (batch["kind"], *columns)])
            if is_first_time:
                self._collect_samples(batch)
        if not rows:
            raise ValueError("validation needs at least one batch, got none; build validation records")
        kind, scores, face_losses = (np.concatenate(column) for column in zip(*rows, strict=True))
        has_face_label = np.isin(kind, kinds.WITH_FACE_LABEL)
        self.scores, self.is_face = scores[has_face_label], kind[has_face_label] == kinds.POSITIVE
        figures = {name: float(s / n) for name, s, n in zip(losses.FIGURES, *sums, strict=True) if n}
        if has_face_label.any():
            hard_mask = losses.hardest_mask(face_losses, has_face_label, self._hard_share).numpy()
            figures["face_loss"] = float(face_losses[hard_mask].mean())
        loss = losses.total({name: figures.get(name, 0.0) for name in losses.LOSSES}, self._weights)
        return {"loss": loss, **figures, **metrics.face_figures(self.scores, self.is_face)}

    def predict_samples(self) -> dict[str, np.ndarray]:
        """The network's outputs for `samples`: arrays [N, 2], [N, 4] and perhaps [N, 10] by name."""
        return {name: x.numpy() for name, x in self._predict(self.samples["image"]).items()}

    def _collect_samples(self, batch: dict):
        batch = {name: x.numpy() for name, x in batch.items()}
        held = self.samples.get("kind", np.zeros(0, np.int32))
        rows = [
            np.flatnonzero(batch["kind"] == kind)[: NUM_SAMPLES - np.sum(held == kind)]
            for kind in (kinds.POSITIVE, kinds.PART, kinds.LANDMARK)
        ]
        rows = np.concatenate(rows)
        self.samples = {
            name: np.concatenate([self.samples[name], x[rows]]) if self.samples else x[rows]
            for name, x in batch.items()
        }
