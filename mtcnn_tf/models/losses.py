"""The three losses with online hard example mining (OHEM), as a Keras layer at the end of a network.

Zhang et al. 2016, section II.C, of one row:

* face (eq. 1): cross-entropy −(y log p + (1 − y) log(1 − p)), on positives and negatives;
* box (eq. 2): squared distance ‖ŷ − y‖² of the 4 offsets, on positives and parts; or 1 − GIoU of the boxes
  (Rezatofighi et al. 2019, arXiv 1902.09630), which is what they are measured by;
* landmarks (eq. 3): squared distance ‖ŷ − y‖² of the 10 coordinates, on landmark crops; or the distances of the 5
  points, which is what landmarks are measured by, and where a point far off counts no more than it is off.

Squares are *summed* over a row's coordinates, as in the paper, and distances over its points; of P points in place of
five the sum is multiplied by 5 / P, so that a weight means the same for all. Losses are the *mean* over the rows that
count, for every stage: how many rows of a kind a batch holds changes how noisy its loss is, not how much it weighs. Of
the face rows only the hardest 70 % count (section II.C, "Online Hard sample mining"). A loss without any row is 0, and
so is the landmark loss of a network without landmarks.
"""

import functools
from typing import Any

import keras
from keras import ops

from mtcnn_tf import arguments, kinds, landmark_sets, stages
from mtcnn_tf.models import metrics

HARD_FRACTION = 0.7
LOSSES = ("face_loss", "box_loss", "landmark_loss")
BOX_LOSSES = ("squares", "giou")
LANDMARK_LOSSES = ("squares", "distances")
FIGURES = (*LOSSES, "face_accuracy", "precision", "recall", "box_iou", "landmark_error")
"""What `measure` sums up, in its order. Precision and recall are those at a score of 0.5."""


def total(losses: dict[str, Any], weights: stages.LossWeights) -> Any:
    """The weighted sum of the three `LOSSES`."""
    return (
        weights.face * losses["face_loss"]
        + weights.box * losses["box_loss"]
        + weights.landmarks * losses["landmark_loss"]
    )


def flatten(predictions: dict) -> dict:
    """The predictions as float32 [N, 2], [N, 4] and maybe [N, 2 P]: P-Net's maps of one cell lose rows and columns."""
    return {name: ops.reshape(ops.cast(x, "float32"), [-1, x.shape[-1]]) for name, x in predictions.items()}


def kind_mask(kind: Any, wanted: tuple[int, ...]) -> Any:
    """Whether each row's `kind` is among the `wanted` ones, boolean [N]."""
    none = ops.zeros_like(kind, dtype="bool")
    return functools.reduce(ops.logical_or, (ops.equal(kind, one) for one in wanted), none)


def hardest_mask(row_losses: Any, mask: Any, fraction: float = HARD_FRACTION) -> Any:
    """The hardest `fraction` of the rows within `mask`, rounded down, but one at least if there is any: boolean [N].

    Args:
        row_losses: float32 [N], 0 or more.
        mask: boolean [N], the rows to choose from.
        fraction: In 0–1.
    """
    num_rows = ops.sum(ops.cast(mask, "float32"))
    # 0.7 is a little less in binary.
    num_hard = ops.minimum(ops.maximum(ops.floor(fraction * num_rows + 1e-3), 1.0), num_rows)
    order = ops.argsort(ops.where(mask, -row_losses, 1.0))
    rank = ops.argsort(order)  # [N], the inverse of a permutation; rows outside of the mask come last
    return ops.cast(rank, "float32") < num_hard


def row_losses(
    predictions: dict,
    targets: dict,
    hard_fraction: float = HARD_FRACTION,
    landmark_loss: str = LANDMARK_LOSSES[0],
    box_loss: str = BOX_LOSSES[0],
) -> dict:
    """Each of the `LOSSES` as values [N] and a boolean mask [N] of the rows that count.

    Args:
        predictions: What `flatten` returns.
        targets: `kind` int32 [N], `offsets` float32 [N, 4], `landmarks` float32 [N, 2 P]. What a kind has no target for
            may hold anything, NaN included.
        hard_fraction: The fraction of the face rows that counts.
        landmark_loss: One of `LANDMARK_LOSSES`.
        box_loss: One of `BOX_LOSSES`.
    """
    kind = targets["kind"]
    face_mask = kind_mask(kind, kinds.WITH_FACE_LABEL)
    is_face = ops.cast(kind == kinds.POSITIVE, "int32")
    cross_entropy = ops.sparse_categorical_crossentropy(is_face, predictions["face"], from_logits=True)
    hard_mask = _hardest_of_batch_mask(ops.stop_gradient(cross_entropy), face_mask, hard_fraction)
    box_mask = kind_mask(kind, kinds.WITH_OFFSETS)
    landmark_mask = kind_mask(kind, kinds.WITH_LANDMARKS if "landmarks" in predictions else ())
    box_rows = _squared_distances if box_loss == "squares" else _one_minus_giou
    landmark_rows = _squared_distances if landmark_loss == "squares" else _distances
    landmarks = landmark_rows(_landmarks(predictions, targets), targets["landmarks"], landmark_mask)
    to_five = 2 * landmark_sets.FIVE.num_points / targets["landmarks"].shape[-1]
    return {
        "face_loss": (cross_entropy, hard_mask),
        "box_loss": (box_rows(predictions["offsets"], targets["offsets"], box_mask), box_mask),
        "landmark_loss": (landmarks * to_five, landmark_mask),
    }


def _hardest_of_batch_mask(row_losses: Any, mask: Any, fraction: float) -> Any:
    """`hardest_mask` of this replica's rows, chosen among the rows of all replicas that share the batch."""
    replica = _replica()
    if replica is None:
        return hardest_mask(row_losses, mask, fraction)
    number = ops.cast(replica.replica_id_in_sync_group, "float32")
    rows = ops.stack([ops.where(mask, row_losses, -1.0), ops.zeros_like(row_losses) + number], axis=1)
    losses, numbers = ops.unstack(replica.all_gather(rows, axis=0), 2, axis=1)
    hard_mask = hardest_mask(losses, losses != -1.0, fraction)
    import tensorflow as tf

    return tf.boolean_mask(hard_mask, numbers == number)


def _replica() -> Any:
    """TensorFlow's `ReplicaContext` of this code, if others have rows of the same batch; None otherwise."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf  # other backends don't need it installed

    context = tf.distribute.get_replica_context()
    return context if context and context.num_replicas_in_sync > 1 else None


def _means(sums: Any, counts: Any) -> Any:
    """What the losses [3] of a batch come to: of several replicas each has a part, the mean of which is the whole."""
    replica = _replica()
    if replica is not None:
        counts = replica.all_reduce("SUM", counts) / replica.num_replicas_in_sync
    return ops.divide_no_nan(sums, counts)


def _landmarks(predictions: dict, targets: dict) -> Any:
    """The predicted landmarks [N, 2 P]; of a network without any something that no row counts for."""
    return predictions.get("landmarks", targets["landmarks"])


def _squared_distances(predicted: Any, true: Any, mask: Any) -> Any:
    return ops.sum(ops.square(ops.where(mask[:, None], predicted - true, 0.0)), axis=1)


def _one_minus_giou(predicted: Any, true: Any, mask: Any) -> Any:
    return 1 - metrics.offset_ious(*(ops.where(mask[:, None], x, 0.0) for x in (predicted, true)))[0]


def _distances(predicted: Any, true: Any, mask: Any) -> Any:
    return ops.sum(metrics.point_distances(ops.where(mask[:, None], predicted - true, 0.0)), axis=1)


def measure(
    predictions: dict,
    targets: dict,
    hard_fraction: float = HARD_FRACTION,
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
    landmark_loss: str = LANDMARK_LOSSES[0],
    box_loss: str = BOX_LOSSES[0],
) -> Any:
    """Sums of all `FIGURES` over a batch and the numbers of their rows, float32 [2, len(FIGURES)]; see `row_losses`."""
    losses = row_losses(predictions, targets, hard_fraction, landmark_loss, box_loss)
    predictions = {name: ops.stop_gradient(x) for name, x in predictions.items()}  # the other figures teach nothing
    face_mask = kind_mask(targets["kind"], kinds.WITH_FACE_LABEL)
    is_face = targets["kind"] == kinds.POSITIVE
    seems_face = predictions["face"][:, 1] > predictions["face"][:, 0]
    is_right = ops.cast(ops.equal(is_face, seems_face), "float32")
    landmarks = metrics.landmark_errors(_landmarks(predictions, targets), targets["landmarks"], landmark_set)
    figures = (
        (is_right, face_mask),
        (is_right, face_mask & seems_face),
        (is_right, is_face),
        (metrics.box_ious(predictions["offsets"], targets["offsets"]), losses["box_loss"][1]),
        (landmarks, losses["landmark_loss"][1]),
    )
    return metrics.sum_rows({**losses, **dict(zip(FIGURES[len(LOSSES) :], figures, strict=True))})


@keras.saving.register_keras_serializable(package="mtcnn_tf")
class OhemLoss(keras.layers.Layer):
    """An endpoint: takes predictions and targets, adds their loss to the model's, and keeps the `FIGURES`.

    Args:
        face: Weight of the face loss.
        box: Weight of the box loss.
        landmarks: Weight of the landmark loss.
        hard_fraction: The fraction of the rows with a face label that counts.
        landmark_set: What `LandmarkSet.to_dict` says of the points; None for five.
        landmark_loss: One of `LANDMARK_LOSSES`.
        box_loss: One of `BOX_LOSSES`.
    """

    def __init__(
        self,
        face: float,
        box: float,
        landmarks: float,
        hard_fraction: float = HARD_FRACTION,
        landmark_set: dict | None = None,
        landmark_loss: str = LANDMARK_LOSSES[0],
        box_loss: str = BOX_LOSSES[0],
        **kwargs: Any,
    ):
        super().__init__(**{"name": "ohem_loss", "dtype": "float32", **kwargs})
        if not 0 < hard_fraction <= 1:
            raise ValueError(f"hard_fraction must be above 0 and at most 1, got {hard_fraction}")
        arguments.choice("landmark_loss", landmark_loss, LANDMARK_LOSSES)
        arguments.choice("box_loss", box_loss, BOX_LOSSES)
        self.weights_of_losses = stages.LossWeights(face, box, landmarks)
        self.hard_fraction, self.landmark_loss, self.box_loss = hard_fraction, landmark_loss, box_loss
        self.landmark_set = landmark_sets.from_dict(landmark_set) if landmark_set else landmark_sets.FIVE
        self.means = metrics.MaskedMeans(FIGURES)

    def call(self, predictions: dict, targets: dict) -> dict:
        """The predictions, one row for each example. Targets: `kind`, `offsets`, `landmarks`; see `row_losses`."""
        predictions = flatten(predictions)
        sums = measure(predictions, targets, self.hard_fraction, self.landmark_set, self.landmark_loss, self.box_loss)
        means = _means(sums[0, : len(LOSSES)], sums[1, : len(LOSSES)])
        self.add_loss(total({name: means[k] for k, name in enumerate(LOSSES)}, self.weights_of_losses))
        self.means.update_state(ops.stop_gradient(sums))
        return predictions

    def compute_output_spec(self, predictions: dict, targets: dict) -> dict:
        """Shapes of what `call` returns."""
        return {name: keras.KerasTensor((x.shape[0], x.shape[-1]), "float32") for name, x in predictions.items()}

    def get_config(self) -> dict:
        """The arguments that make the same layer."""
        weights = self.weights_of_losses
        return {
            **super().get_config(),
            "face": weights.face,
            "box": weights.box,
            "landmarks": weights.landmarks,
            "hard_fraction": self.hard_fraction,
            "landmark_set": self.landmark_set.to_dict(),
            "landmark_loss": self.landmark_loss,
            "box_loss": self.box_loss,
        }


def attach(
    network: keras.Model,
    weights: stages.LossWeights,
    hard_fraction: float = HARD_FRACTION,
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
    landmark_loss: str = LANDMARK_LOSSES[0],
    box_loss: str = BOX_LOSSES[0],
) -> keras.Model:
    """The `network` with its loss: a model to fit on dicts of `image`, `kind`, `offsets` and `landmarks`.

    Args:
        network: See `networks.build`.
        weights: Of the three losses.
        hard_fraction: The fraction of the rows with a face label that counts.
        landmark_set: The points in `landmarks`, whether the network finds them or none.
        landmark_loss: One of `LANDMARK_LOSSES`.
        box_loss: One of `BOX_LOSSES`.
    """
    image = keras.Input(network.inputs[0].shape[1:], name="image")
    targets = {
        "kind": keras.Input((), dtype="int32", name="kind"),
        "offsets": keras.Input((4,), name="offsets"),
        "landmarks": keras.Input((2 * landmark_set.num_points,), name="landmarks"),
    }
    their_set = landmark_set.to_dict()
    loss = OhemLoss(weights.face, weights.box, weights.landmarks, hard_fraction, their_set, landmark_loss, box_loss)
    predictions = loss(network(image), targets)
    return keras.Model({"image": image, **targets}, predictions, name=f"{network.name}_training")
