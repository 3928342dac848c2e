"""The loss of what the RPN says of its anchors, as a Keras layer at the end of it.

The face loss is the focal loss (Lin et al. 2017, arXiv 1708.02002, section 3) or the cross-entropy of the positives and
of the hardest negatives, three for each (SSD, Liu et al. 2016, arXiv 1512.02325, section 2.2). The box loss, on
positives, is 1 − GIoU (Rezatofighi et al. 2019, arXiv 1902.09630) or the squared distance of the offsets. Both are
sums over a batch divided by the number of positives.
"""

from typing import Any

import keras
from keras import ops

from mtcnn_tf import stages
from mtcnn_tf.geometry import anchors
from mtcnn_tf.models import losses, metrics, networks

FACE_LOSSES = ("focal", "ohem")
FIGURES = ("face_loss", "box_loss", "precision", "recall", "box_iou")
"""What `AnchorLoss` keeps: means over positives, but for precision, which is over what scores above 0.5."""

FOCAL_FACE_WEIGHT, FOCAL_EXPONENT = 0.4, 2.0
"""Weight of a positive beside that of a negative, together 1, and the exponent of 1 − p."""
NEGATIVES_PER_POSITIVE = 3


def focal(logits: Any, labels: Any) -> Any:
    """The focal loss of each anchor, float32 [B, A]; 0 where the label is −1."""
    score = ops.sigmoid(logits)
    missing = ops.where(labels == 1, 1 - score, score)
    weight = ops.where(labels == 1, FOCAL_FACE_WEIGHT, 1 - FOCAL_FACE_WEIGHT) * missing**FOCAL_EXPONENT
    return ops.where(labels >= 0, weight * cross_entropy(logits, labels), 0.0)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The cross-entropy of each anchor with its label of 1 or anything else, float32 [B, A]."""
    return ops.softplus(ops.where(labels == 1, -logits, logits))


def hard_negatives(logits: Any, labels: Any) -> Any:
    """The cross-entropy [B, A] of a batch's positives and of its hardest negatives, `NEGATIVES_PER_POSITIVE` each.

    Without a positive it is that of the hardest negative.
    """
    losses, is_negative = cross_entropy(logits, labels), labels == 0
    wanted = ops.maximum(NEGATIVES_PER_POSITIVE * ops.sum(ops.cast(labels == 1, "int32")), 1)
    candidates = ops.reshape(ops.where(is_negative, ops.stop_gradient(losses), -1.0), [-1])
    rank = ops.argsort(ops.argsort(-candidates))
    is_hard = ops.reshape(rank < ops.cast(wanted, rank.dtype), ops.shape(losses)) & is_negative
    return ops.where(is_hard | (labels == 1), losses, 0.0)


@keras.saving.register_keras_serializable(package="mtcnn_tf")
class AnchorLoss(keras.layers.Layer):
    """An endpoint: takes predictions and targets, adds their loss to the model's, and keeps the `FIGURES`.

    Args:
        sizes: Of the anchors, see `anchors.Anchors`.
        window: Side of the windows in pixels.
        face: Weight of the face loss.
        box: Weight of the box loss.
        face_loss: One of `FACE_LOSSES`.
        box_loss: One of `losses.BOX_LOSSES`.
    """

    def __init__(
        self,
        sizes: tuple[float, ...],
        window: int,
        face: float = 1.0,
        box: float = 1.0,
        face_loss: str = "focal",
        box_loss: str = "giou",
        **kwargs: Any,
    ):
        super().__init__(**{"name": "anchor_loss", "dtype": "float32", **kwargs})
        if face_loss not in FACE_LOSSES or box_loss not in losses.BOX_LOSSES:
            raise ValueError(
                f"expected losses among {FACE_LOSSES} and {losses.BOX_LOSSES}, got {face_loss} and {box_loss}"
            )
        self.sizes, self.window, self.face, self.box = tuple(sizes), window, face, box
        self.face_loss, self.box_loss = face_loss, box_loss
        self.anchor_boxes = anchors.Anchors(self.sizes).boxes(window, window)
        self.means = metrics.MaskedMeans(FIGURES)

    def call(self, predictions: dict, targets: dict) -> dict:
        """The predictions. Targets: `labels` [B, A] and `true_boxes` [B, A, 4], see `anchor_labels.assign`."""
        logits, offsets = (ops.cast(predictions[name], "float32") for name in ("face", "offsets"))
        anchor_boxes = ops.convert_to_tensor(self.anchor_boxes)
        labels, true_boxes = targets["labels"], targets["true_boxes"]
        face_losses = {"focal": focal, "ohem": hard_negatives}[self.face_loss](logits, labels)
        is_positive = labels == 1
        sides = (anchor_boxes[:, 2:] - anchor_boxes[:, :2])[:, :1]
        boxes = anchor_boxes + offsets * sides
        gious, ious = metrics.generalised_iou(boxes, true_boxes)
        if self.box_loss == "giou":
            box_losses = 1 - gious
        else:
            box_losses = ops.sum(ops.square((boxes - true_boxes) / sides), axis=-1)
        self._add(face_losses, ops.where(is_positive, box_losses, 0.0), logits, is_positive, labels, ious)
        return predictions

    def _add(self, face_losses: Any, box_losses: Any, logits: Any, is_positive: Any, labels: Any, ious: Any):
        num_positive = ops.sum(ops.cast(is_positive, "float32"))
        count = ops.maximum(num_positive, 1.0)
        face_loss, box_loss = ops.sum(face_losses), ops.sum(box_losses)
        self.add_loss((self.face * face_loss + self.box * box_loss) / count)
        seems_face = (logits > 0) & (labels >= 0)
        hits = ops.sum(ops.cast(seems_face & is_positive, "float32"))
        num_seeming = ops.sum(ops.cast(seems_face, "float32"))
        sums = [face_loss, box_loss, hits, hits, ops.sum(ops.where(is_positive, ious, 0.0))]
        counts = [count, count, num_seeming, num_positive, num_positive]
        self.means.update_state(ops.stop_gradient(ops.stack([ops.stack(sums), ops.stack(counts)])))

    def compute_output_spec(self, predictions: dict, targets: dict) -> dict:
        """Shapes of what `call` returns."""
        return {name: keras.KerasTensor(x.shape, "float32") for name, x in predictions.items()}

    def get_config(self) -> dict:
        """The arguments that make the same layer."""
        names = ("sizes", "window", "face", "box", "face_loss", "box_loss")
        config = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **config}


def attach(
    network: keras.Model, window: int, weights: stages.LossWeights, face_loss: str = "focal", box_loss: str = "giou"
) -> keras.Model:
    """The RPN with its loss: a model of dicts of `image`, `labels` and `true_boxes`."""
    image = keras.Input((window, window, 3), name="image")
    targets = {"labels": keras.Input((None,), dtype="int32", name="labels")}
    targets["true_boxes"] = keras.Input((None, 4), name="true_boxes")
    sizes = networks.anchors_of(network).sizes
    loss = AnchorLoss(sizes, window, weights.face, weights.box, face_loss, box_loss)
    return keras.Model({"image": image, **targets}, loss(network(image), targets), name=f"{network.name}_training")
