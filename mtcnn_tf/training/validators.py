"""How good a network is on examples that it doesn't learn from."""

from collections.abc import Iterable

import keras
import numpy as np

from mtcnn_tf import kinds, stages
from mtcnn_tf.geometry import anchor_labels
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.models import losses, metrics, networks
from mtcnn_tf.training import drawing, learners, settings

NUM_SAMPLES = 8
"""How many examples of each kind are shown as images."""


def for_stage(
    stage: stages.Stage,
    network: keras.Model,
    batches: Iterable,
    config: settings.Config,
    rules: anchor_labels.Rules | None = None,
) -> "Validator | RpnValidator":
    """What measures `network`, of `stage`, on finitely many `batches`; an RPN's anchors are shown by the `rules`."""
    if stage is stages.RPN:
        return RpnValidator(network, batches, rules)
    return Validator(network, batches, config.loss_of(stage), config)


class Validator:
    """Measures a network on crops and keeps what can be shown of it.

    Attributes:
        scores: Face scores [N] of the last measurement, of the rows with a face label.
        is_face: Whether these rows are faces, boolean [N].
        samples: A few positives, parts and landmark crops: a dict of arrays like a batch.
    """

    def __init__(self, network: keras.Model, batches: Iterable, loss: settings.Loss, config: settings.Config):
        self._batches, self._loss, self._config = batches, loss, config
        self.scores: np.ndarray = np.zeros(0, np.float32)
        self.is_face: np.ndarray = np.zeros(0, bool)
        self.samples: dict[str, np.ndarray] = {}
        self._predict = learners.predictor(network)

    @staticmethod
    def badness(row: dict) -> float:
        """What is lowest in the row of the best epoch."""
        return row["val_loss"]

    def measure(self) -> dict[str, float]:
        """All figures by name: `loss`, `losses.FIGURES`, `metrics.face_figures`; those without an example are left out.

        Hard examples are chosen from the whole set as if it were one batch, however it is ordered and cut.

        Raises:
            ValueError: There is no batch.
        """
        sums: np.ndarray = np.zeros((2, len(losses.FIGURES)))
        rows = []
        is_first_time = not self.samples
        for batch in self._batches:
            batch = {name: np.asarray(x) for name, x in batch.items()}
            predictions = losses.flatten(self._predict(batch["image"]))
            face_losses, _ = losses.row_losses(predictions, batch)["face_loss"]
            of_batch = losses.measure(
                predictions,
                batch,
                landmark_set=self._config.landmark_set,
                landmark_loss=self._config.landmark_loss,
                box_loss=self._loss.box_loss,
            )
            sums = sums + np.asarray(of_batch, np.float64)
            scores = keras.ops.softmax(predictions["face"])[:, 1]
            rows.append([np.asarray(column) for column in (batch["kind"], scores, face_losses)])
            if is_first_time:
                self._collect_samples(batch)
        if not rows:
            raise ValueError("validation needs at least one batch, got none; build validation records")
        kind, scores, face_losses = (np.concatenate(column) for column in zip(*rows, strict=True))
        has_face_label = np.isin(kind, kinds.WITH_FACE_LABEL)
        self.scores, self.is_face = scores[has_face_label], kind[has_face_label] == kinds.POSITIVE
        figures = {name: float(s / n) for name, s, n in zip(losses.FIGURES, *sums, strict=True) if n}
        if has_face_label.any():
            hard_mask = np.asarray(losses.hardest_mask(face_losses, has_face_label, self._config.hard_fraction))
            figures["face_loss"] = float(face_losses[hard_mask].mean())
        loss = losses.total({name: figures.get(name, 0.0) for name in losses.LOSSES}, self._loss.loss_weights)
        return {"loss": loss, **figures, **metrics.face_figures(self.scores, self.is_face)}

    def images(self) -> dict[str, np.ndarray]:
        """What can be shown of the last measurement, RGB uint8 [H, W, 3], by name."""
        if not len(self.samples["kind"]):
            return {}
        predictions = losses.flatten(self._predict(self.samples["image"]))
        return {
            "samples": drawing.draw_samples(
                self.samples, {k: np.asarray(x) for k, x in predictions.items()}, self._config.margin
            )
        }

    def _collect_samples(self, batch: dict):
        held = self.samples.get("kind", np.zeros(0, np.int32))
        of_kinds = [
            np.flatnonzero(batch["kind"] == kind)[: NUM_SAMPLES - np.sum(held == kind)]
            for kind in (kinds.POSITIVE, kinds.PART, kinds.LANDMARK)
        ]
        rows = np.concatenate(of_kinds)
        self.samples = {
            name: np.concatenate([self.samples[name], x[rows]]) if self.samples else x[rows]
            for name, x in batch.items()
        }


class RpnValidator:
    """Measures the recall of an RPN on windows and keeps what can be shown of it.

    Attributes:
        scores: Scores [N] of the last measurement, of the proposals that are left after suppression.
        is_face: Whether each of them finds a face, boolean [N].
    """

    NUM_PROPOSALS = (10, 40, 100, 300)
    FOUND_IOU = 0.5
    MIN_FACE_SIZE = 12.0
    """Faces with a shorter side below this, in pixels of the window, need not be found."""
    NMS_IOU = 0.5

    def __init__(self, network: keras.Model, batches: Iterable, rules: anchor_labels.Rules | None = None):
        """Prepares to measure.

        Args:
            network: An RPN.
            batches: What to measure on.
            rules: Which anchors are shown as positive, which as negative; None stands for the default ones.

        Raises:
            ValueError: There is no face to be found in any of the batches; told before a training begins.
        """
        self._batches, self._rules = batches, rules or anchor_labels.Rules()
        self._predict = learners.predictor(network)
        self._anchors = networks.anchors_of(network)
        self.scores: np.ndarray = np.zeros(0, np.float32)
        self.is_face: np.ndarray = np.zeros(0, bool)
        self._shown: dict[str, tuple] = {}
        if not any(len(self._wanted(batch, row)) for batch in batches for row in range(len(batch["boxes"]))):
            raise ValueError(
                f"validation needs faces of at least {self.MIN_FACE_SIZE:g} pixels to be found, got none; hold out "
                "more images"
            )

    @staticmethod
    def badness(row: dict) -> float:
        """What is lowest in the row of the best epoch."""
        return -row["val_recall_at_100"]

    def measure(self) -> dict[str, float]:
        """The recall at several numbers of proposals a window, `recall_at_100`, with an IoU of 0.5 after regression."""
        first_found, scores, is_face = [], [], []
        self._shown = {}
        for batch in self._batches:
            predictions = self._predict(batch["image"])
            for row in range(len(batch["image"])):
                proposals, of_proposals = self._proposals(batch["image"].shape[1:3], predictions, row)
                iou = box_geometry.iou(batch["boxes"][row], proposals)
                wanted = self._wanted(batch, row)
                found = iou[wanted] >= self.FOUND_IOU
                first_found.append(np.where(found.any(axis=1), found.argmax(axis=1), np.inf))
                scores.append(of_proposals)
                is_face.append((iou >= self.FOUND_IOU).any(axis=0))
                if len(self._shown) < NUM_SAMPLES:
                    self._shown[f"window_{len(self._shown)}"] = (batch, row, predictions, proposals, of_proposals)
        self.scores, self.is_face = np.concatenate(scores), np.concatenate(is_face)
        ranks = np.concatenate(first_found)
        return {f"recall_at_{count}": float(np.mean(ranks < count)) for count in self.NUM_PROPOSALS}

    def _wanted(self, batch: dict, row: int) -> np.ndarray:
        boxes = batch["boxes"][row]
        size = batch["image"].shape[1]
        visible = box_geometry.area(box_geometry.clip(boxes, size, size)) > 0.6 * box_geometry.area(boxes)
        is_large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= self.MIN_FACE_SIZE
        return np.flatnonzero(batch["face_mask"][row] & visible & is_large)

    def _proposals(self, shape: tuple, predictions: dict, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [N, 4] and scores [N] of the best proposals, best first."""
        logits = predictions["face"][row]
        best = np.argsort(-logits, kind="stable")[:1000]
        boxes = box_geometry.decode(self._anchors.boxes(*shape)[best], predictions["offsets"][row][best])
        kept = box_geometry.suppress(boxes, self.NMS_IOU, max(self.NUM_PROPOSALS))
        return boxes[kept], 1 / (1 + np.exp(-logits[best][kept].astype(np.float64))).astype(np.float32)

    def images(self) -> dict[str, np.ndarray]:
        """Windows with the anchors that should say face, and with proposals, RGB uint8 [H, W, 3], by name."""
        return {
            name: drawing.draw_window(batch, row, predictions, proposals, scores, self._anchors, self._rules)
            for name, (batch, row, predictions, proposals, scores) in self._shown.items()
        }
