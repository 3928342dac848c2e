"""The loss of the RPN against its formulas, and what it does where there is nothing to learn from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import stages
from mtcnn_tf.geometry import anchor_labels, anchors
from mtcnn_tf.models import anchor_loss, losses, metrics, networks

SIZES, WINDOW = (12.0, 48.0), 64  # strides of 8 and 16: 64 and 16 anchors
ANCHOR_BOXES = anchors.Anchors(SIZES).boxes(WINDOW, WINDOW)
NUM = len(ANCHOR_BOXES)


def some_batch(seed=0, count=2):
    """Random predictions and labels; the boxes of what isn't positive may be anything, zeros too."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1], (count, NUM), p=[0.1, 0.6, 0.3]).astype(np.int32)
    predictions = {
        "face": rng.normal(0, 2, (count, NUM)).astype(np.float32),
        "offsets": rng.normal(0, 0.3, (count, NUM, 4)).astype(np.float32),
    }
    true_boxes = ANCHOR_BOXES + rng.uniform(-4, 4, (count, NUM, 4)).astype(np.float32)
    true_boxes[labels != 1] = 0
    return predictions, {"labels": labels, "true_boxes": true_boxes}


def loss_of(predictions, targets, **options):
    """The loss that the layer adds, its gradients by the predictions, and the layer."""
    layer = anchor_loss.AnchorLoss(SIZES, WINDOW, **options)
    predictions = {name: tf.constant(x) for name, x in predictions.items()}
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        layer(predictions, {name: tf.constant(x) for name, x in targets.items()})
        (loss,) = layer.losses
    return float(loss), {name: x.numpy() for name, x in tape.gradient(loss, predictions).items()}, layer


def probability(logit):
    return 1 / (1 + np.exp(-float(logit)))


def cross_entropies(logits, labels):
    p = np.vectorize(probability)(logits)
    return np.where(labels == 1, -np.log(p), -np.log1p(-p))


def test_the_focal_loss_is_that_of_its_paper():
    (predictions, targets), expected = some_batch(), []
    for logit, label in zip(predictions["face"].ravel(), targets["labels"].ravel(), strict=True):
        p = probability(logit)
        p_t, alpha_t = (p, 0.4) if label == 1 else (1 - p, 0.6)
        expected.append(-alpha_t * (1 - p_t) ** 2 * np.log(p_t) if label >= 0 else 0.0)
    found = anchor_loss.focal(predictions["face"], targets["labels"])
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-4, atol=1e-6)


def test_three_of_the_hardest_negatives_count_for_each_positive():
    predictions, targets = some_batch(3)
    logits, labels = predictions["face"], targets["labels"]
    losses = cross_entropies(logits, labels)
    hardest = np.sort(losses[labels == 0])[::-1][: 3 * np.sum(labels == 1)]
    expected = np.where((labels == 1) | ((labels == 0) & (losses >= hardest[-1])), losses, 0.0)
    found = np.asarray(anchor_loss.hard_negatives(logits, labels))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.sum((found > 0) & (labels == 0)) == 3 * np.sum(labels == 1)


def test_with_fewer_negatives_than_three_a_positive_all_count_and_without_positives_the_hardest():
    logits = np.float32([[0.5, -1.0, 2.0, -3.0]])
    all_negatives = np.int32([[1, 0, 1, 0]])
    found = np.asarray(anchor_loss.hard_negatives(logits, all_negatives))
    np.testing.assert_allclose(found, cross_entropies(logits, all_negatives), rtol=1e-5)
    found = np.asarray(anchor_loss.hard_negatives(logits, np.int32([[0, 0, -1, 0]])))
    np.testing.assert_allclose(found, [[-np.log(1 - probability(0.5)), 0, 0, 0]], rtol=1e-5)


def test_equally_hard_negatives_are_not_all_taken():
    labels = np.int32([[1] + [0] * 20])
    found = np.asarray(anchor_loss.hard_negatives(np.zeros((1, 21), np.float32), labels))
    assert np.sum(found > 0) == 4


def giou_of(a, b):
    """Algorithm 1 of Rezatofighi et al., where `b` is a proper box and `a` perhaps turned inside out."""
    width, height = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    shared = max(width, 0.0) * max(height, 0.0)
    area_a, area_b = (max(x[2] - x[0], 0.0) * max(x[3] - x[1], 0.0) for x in (a, b))
    union = area_a + area_b - shared
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return shared / union - (hull - union) / hull, shared / union


def test_generalised_iou_is_that_of_its_paper():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 60, (2, 200, 4)).astype(np.float32)
    b = np.concatenate([np.minimum(b[:, :2], b[:, 2:]), np.maximum(b[:, :2], b[:, 2:]) + 1], axis=1)
    gious, ious = (np.asarray(x) for x in metrics.generalised_iou(a, b))
    expected = np.array([giou_of(*map(np.float64, pair)) for pair in zip(a, b, strict=True)])
    np.testing.assert_allclose(np.stack([gious, ious], axis=1), expected, rtol=1e-4, atol=1e-5)
    assert gious.min() > -1.001 and gious.max() < 1


def test_generalised_iou_of_cases_that_one_can_work_out():
    box = np.float32([[0, 0, 2, 2]])
    others = np.float32([[0, 0, 2, 2], [2, 0, 4, 2], [0, 0, 1, 2], [6, 0, 8, 2]])
    gious, ious = metrics.generalised_iou(np.repeat(box, 4, axis=0), others)
    np.testing.assert_allclose(gious, [1, 0, 0.5, -0.5], atol=1e-6)
    np.testing.assert_allclose(ious, [1, 0, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize("face_loss", anchor_loss.FACE_LOSSES)
@pytest.mark.parametrize("box_loss", losses.BOX_LOSSES)
def test_the_loss_is_the_weighted_sum_over_the_number_of_positives(face_loss, box_loss):
    predictions, targets = some_batch(1)
    positive = targets["labels"] == 1
    per_anchor = {"focal": anchor_loss.focal, "ohem": anchor_loss.hard_negatives}[face_loss]
    face = np.sum(per_anchor(predictions["face"], targets["labels"]))
    box = 0.0
    for row, index in np.argwhere(positive):
        side = ANCHOR_BOXES[index, 2] - ANCHOR_BOXES[index, 0]
        predicted = ANCHOR_BOXES[index] + side * predictions["offsets"][row, index]
        true = targets["true_boxes"][row, index]
        box += 1 - giou_of(predicted, true)[0] if box_loss == "giou" else np.sum(((predicted - true) / side) ** 2)
    loss, gradients, layer = loss_of(predictions, targets, face=2.0, box=0.5, face_loss=face_loss, box_loss=box_loss)
    assert loss == pytest.approx((2 * face + 0.5 * box) / positive.sum(), rel=1e-4)
    figures = layer.means.known()
    assert figures["face_loss"] == pytest.approx(face / positive.sum(), rel=1e-4)
    assert figures["box_loss"] == pytest.approx(box / positive.sum(), rel=1e-4)
    assert not gradients["face"][targets["labels"] == -1].any()
    assert not gradients["offsets"][~positive].any() and np.all(gradients["offsets"][positive].any(axis=-1))


def test_figures_count_positives_and_what_seems_a_face():
    predictions, targets = some_batch(2)
    labels, seems_face = targets["labels"], predictions["face"] > 0
    boxes = ANCHOR_BOXES + predictions["offsets"] * (ANCHOR_BOXES[:, 2:] - ANCHOR_BOXES[:, :2])[:, :1]
    ious = [giou_of(boxes[i, k], targets["true_boxes"][i, k])[1] for i, k in np.argwhere(labels == 1)]
    figures = loss_of(predictions, targets)[2].means.known()
    assert figures["recall"] == pytest.approx(np.mean(seems_face[labels == 1]))
    assert figures["precision"] == pytest.approx(np.mean(labels[seems_face & (labels >= 0)] == 1))
    assert figures["box_iou"] == pytest.approx(np.mean(ious), rel=1e-4)


@pytest.mark.parametrize("label", [0, -1])
@pytest.mark.parametrize("face_loss", anchor_loss.FACE_LOSSES)
@pytest.mark.parametrize("box_loss", losses.BOX_LOSSES)
def test_without_positives_and_without_anything_all_is_finite(label, face_loss, box_loss):
    predictions, targets = some_batch()
    nothing = {"labels": np.full_like(targets["labels"], label), "true_boxes": np.zeros_like(targets["true_boxes"])}
    loss, gradients, layer = loss_of(predictions, nothing, face_loss=face_loss, box_loss=box_loss)
    assert np.isfinite(loss) and all(np.isfinite(x).all() for x in gradients.values())
    assert not gradients["offsets"].any() and gradients["face"].any() == (label == 0)
    assert (loss > 0) == (label == 0)
    assert not {"recall", "box_iou"} & set(layer.means.known())


@pytest.mark.parametrize("face_loss", anchor_loss.FACE_LOSSES)
@pytest.mark.parametrize("box_loss", losses.BOX_LOSSES)
def test_predictions_far_off_have_finite_gradients(face_loss, box_loss):
    """Logits at which a sigmoid is 0 or 1, boxes turned inside out, boxes far away, a perfect one."""
    _, targets = some_batch()
    for logit, offset in ((100.0, -40.0), (-100.0, 40.0), (-1e4, 1e3), (0.0, 0.0)):
        predictions = {
            "face": np.full((2, NUM), logit, np.float32),
            "offsets": np.tile(np.float32([offset, offset, -offset, -offset]), (2, NUM, 1)),
        }
        for boxes in (targets["true_boxes"], np.broadcast_to(ANCHOR_BOXES, (2, NUM, 4))):
            loss, gradients, _ = loss_of(
                predictions, {**targets, "true_boxes": boxes}, face_loss=face_loss, box_loss=box_loss
            )
            assert np.isfinite(loss) and all(np.isfinite(x).all() for x in gradients.values())


def test_the_layer_comes_back_from_its_settings():
    layer = anchor_loss.AnchorLoss(SIZES, WINDOW, 0.5, 2.0, "ohem", "squares")
    again = anchor_loss.AnchorLoss.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    predictions, targets = some_batch()
    again(predictions, targets), layer(predictions, targets)
    assert float(again.losses[0]) == float(layer.losses[0])
    assert keras.saving.get_registered_object("mtcnn_tf>AnchorLoss") is anchor_loss.AnchorLoss
    with pytest.raises(ValueError, match="expected losses among"):
        anchor_loss.AnchorLoss(SIZES, WINDOW, face_loss="hinge")


@pytest.mark.slow
def test_a_network_with_its_loss_learns_by_keras_s_own_fit():
    """One window, over and over: the loss falls and the anchors say what their labels are."""
    its_anchors = anchors.Anchors(SIZES)
    keras.utils.set_random_seed(0)
    network = networks.rpn(its_anchors)
    model = anchor_loss.attach(network, WINDOW, stages.RPN.loss_weights)
    pixels = np.full((1, WINDOW, WINDOW, 3), 60.0, np.float32)
    pixels[0, 14:26, 22:34] = 230
    known = np.float32([[[22, 14, 34, 26]]]), np.ones((1, 1), bool), np.ones(1, bool)
    labels, true_boxes = anchor_labels.assign(np, its_anchors, WINDOW, *known, anchor_labels.Rules())
    batch = {"image": pixels, "labels": labels, "true_boxes": true_boxes}
    model.compile("adam")
    model.optimizer.learning_rate = 3e-3
    steps = tf.data.Dataset.from_tensors(batch)
    losses = model.fit(steps.repeat(60), epochs=1, verbose=0, shuffle=False).history["loss"]
    after = model.fit(steps.repeat(20), epochs=1, verbose=0, shuffle=False).history["loss"]
    assert after[-1] < 0.5 * losses[-1]
    logits = np.asarray(network(pixels)["face"])
    assert logits[labels == 1].min() > logits[labels == 0].max()
