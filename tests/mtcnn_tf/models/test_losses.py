"""The losses against a plain NumPy oracle, and the laws that OHEM and the masks must keep."""

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from mtcnn_tf import kinds, landmark_sets, stages
from mtcnn_tf.models import losses, metrics, networks

ALL_KINDS = range(len(kinds.NAMES))
some_kinds = st.lists(st.sampled_from(ALL_KINDS), min_size=0, max_size=12)


def make_batch(some_kinds, seed=0):
    """Random predictions and targets, NaN where a kind has no target."""
    rng = np.random.default_rng(seed)
    kind = np.array(some_kinds, np.int32)
    sizes = {"face": 2, "offsets": 4, "landmarks": 10}
    predictions = {name: rng.normal(size=(len(kind), n)).astype(np.float32) for name, n in sizes.items()}
    offsets = rng.uniform(-0.3, 0.3, size=(len(kind), 4)).astype(np.float32)
    landmarks = rng.normal(size=(len(kind), 10)).astype(np.float32)
    offsets[~np.isin(kind, kinds.WITH_OFFSETS)] = np.nan
    landmarks[~np.isin(kind, kinds.WITH_LANDMARKS)] = np.nan
    return predictions, {"kind": kind, "offsets": offsets, "landmarks": landmarks}


def oracle(predictions, targets, hard_fraction=0.7):
    """The three losses by the paper's formulas, row by row in Python."""
    face, box, landmarks = [], [], []
    for row, kind in enumerate(targets["kind"]):
        if kind in (kinds.POSITIVE, kinds.NEGATIVE):
            no_face, is_face = np.exp(predictions["face"][row].astype(float))
            p = is_face / (is_face + no_face)
            y = float(kind == kinds.POSITIVE)
            face.append(-(y * np.log(p) + (1 - y) * np.log(1 - p)))
        if kind in (kinds.POSITIVE, kinds.PART):
            box.append(sum((predictions["offsets"][row] - targets["offsets"][row]) ** 2))
        if kind == kinds.LANDMARK:
            landmarks.append(sum((predictions["landmarks"][row] - targets["landmarks"][row]) ** 2))
    hardest = sorted(face, reverse=True)[: max(1, int(round(hard_fraction * 100) * len(face) // 100))]
    return [np.mean(rows) if rows else 0.0 for rows in (hardest, box, landmarks)]


def loss_of(predictions, targets, face=1.0, box=1.0, landmarks=1.0, **options):
    """The loss that the layer adds, and its gradients by the predictions."""
    layer = losses.OhemLoss(face, box, landmarks, **options)
    predictions = {name: tf.constant(x) for name, x in predictions.items()}
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        layer(predictions, {name: tf.constant(x) for name, x in targets.items()})
        (loss,) = layer.losses
    return float(loss), {name: x.numpy() for name, x in tape.gradient(loss, predictions).items()}, layer


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(some_kinds, st.sampled_from([0.3, 0.7, 1.0]), st.integers(0, 99))
def test_losses_are_those_of_the_paper_for_any_mix_of_kinds(kind, hard_fraction, seed):
    predictions, targets = make_batch(kind, seed)
    expected = oracle(predictions, targets, hard_fraction)
    sums, counts = losses.measure(predictions, targets, hard_fraction).numpy()[:, :3]
    np.testing.assert_allclose(sums / np.maximum(counts, 1), expected, rtol=1e-4, atol=1e-5)


def test_landmarks_are_taught_by_the_distances_that_they_are_measured_by():
    predictions, targets = make_batch([kinds.LANDMARK, kinds.NEGATIVE, kinds.LANDMARK])
    targets["landmarks"][2] = predictions["landmarks"][2]  # no gradient that is not a number where a point is right
    value, gradients, _ = loss_of(predictions, targets, 0.0, 0.0, 1.0, landmark_loss="distances")
    off = (predictions["landmarks"] - targets["landmarks"])[0].reshape(5, 2)
    lengths = np.linalg.norm(off, axis=1, keepdims=True)
    assert value == pytest.approx(lengths.sum() / 2, rel=1e-4)
    np.testing.assert_allclose(gradients["landmarks"][0], (off / lengths / 2).ravel(), rtol=1e-4)
    np.testing.assert_array_equal(gradients["landmarks"][1:], 0)


def test_boxes_are_taught_by_the_overlap_that_they_are_measured_by():
    predictions, targets = make_batch([kinds.POSITIVE, kinds.NEGATIVE, kinds.PART])
    predictions["offsets"][:] = [[0, 0, 0, 0], [0, 0, 0, 0], [3, 3, 3, 3]]  # the last box touches the true one nowhere
    targets["offsets"][[0, 2]] = [[0, 0, 0, -0.5], [0, 0, 0, 0]]
    value, gradients, _ = loss_of(predictions, targets, 0.0, 1.0, 0.0, box_loss="giou")
    assert value == pytest.approx((0.5 + 1 + 14 / 16) / 2, rel=1e-5)
    assert gradients["offsets"][0, 3] > 0  # a lower edge farther up is nearer
    assert (gradients["offsets"][2, :2] > 0).all()
    np.testing.assert_array_equal(gradients["offsets"][1], 0)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(some_kinds, st.integers(0, 99))
def test_selected_rows_alone_get_gradients(kind, seed):
    predictions, targets = make_batch(kind, seed)
    loss, gradients, _ = loss_of(predictions, targets)
    row_losses = losses.row_losses(predictions, targets)
    assert np.isfinite(loss)
    for head, name in (("face", "face_loss"), ("offsets", "box_loss"), ("landmarks", "landmark_loss")):
        has_gradient = np.any(gradients[head] != 0, axis=1)
        np.testing.assert_array_equal(has_gradient, row_losses[name][1].numpy())


@pytest.mark.parametrize(
    "num_rows, expected", [(0, 0), (1, 1), (2, 1), (3, 2), (10, 7), (20, 14), (100, 70), (384, 268)]
)
def test_the_hardest_seventy_percent_are_chosen_and_one_row_at_least(num_rows, expected):
    row_losses = np.random.default_rng(0).permutation(num_rows + 5).astype(np.float32)
    mask = np.arange(num_rows + 5) < num_rows
    chosen = losses.hardest_mask(row_losses, mask).numpy()
    assert chosen.sum() == expected
    assert not np.any(chosen & ~mask)
    if 0 < expected < num_rows:
        assert row_losses[chosen].min() > row_losses[mask & ~chosen].max()


def test_equally_hard_rows_are_not_all_taken():
    assert losses.hardest_mask(np.zeros(10, np.float32), np.ones(10, bool)).numpy().sum() == 7


@pytest.mark.parametrize("unseen", ALL_KINDS)
def test_a_batch_without_a_kind_has_a_finite_loss(unseen):
    predictions, targets = make_batch([kind for kind in ALL_KINDS if kind != unseen] * 3)
    loss, gradients, _ = loss_of(predictions, targets)
    np.testing.assert_allclose(loss, sum(oracle(predictions, targets)), rtol=1e-5)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients.values())


def test_easy_negatives_do_not_hide_among_rows_without_a_face_label():
    """Part and landmark rows are no reason to choose fewer or more face rows."""
    predictions, targets = make_batch([kinds.NEGATIVE] * 10)
    more_predictions, more_targets = make_batch([kinds.NEGATIVE] * 10 + [kinds.PART, kinds.LANDMARK] * 20)
    for name, x in predictions.items():
        more_predictions[name][:10] = x
    counted = losses.row_losses(more_predictions, more_targets)["face_loss"][1].numpy()
    np.testing.assert_array_equal(counted[:10], losses.row_losses(predictions, targets)["face_loss"][1])
    assert not counted[10:].any()


@pytest.mark.parametrize(
    "row_kind, unmoved",
    [
        (kinds.NEGATIVE, ["box_loss", "landmark_loss"]),
        (kinds.POSITIVE, ["landmark_loss"]),
        (kinds.PART, ["face_loss", "landmark_loss"]),
        (kinds.LANDMARK, ["face_loss", "box_loss"]),
    ],
)
def test_a_kind_moves_no_loss_that_it_does_not_feed(row_kind, unmoved):
    predictions, targets = make_batch(list(ALL_KINDS) * 4)
    before = losses.measure(predictions, targets).numpy()
    rows = targets["kind"] == row_kind
    for sign, outputs in ((1, predictions.values()), (-1, (targets["offsets"], targets["landmarks"]))):
        for x in outputs:
            x[rows] += sign * (3.0 + np.arange(x.shape[1]))
    after = losses.measure(predictions, targets).numpy()
    for column, name in enumerate(losses.LOSSES):
        assert np.array_equal(before[:, column], after[:, column]) == (name in unmoved), name


def test_the_loss_is_linear_in_its_weights():
    predictions, targets = make_batch(list(ALL_KINDS) * 5)
    face, box, landmarks = (loss_of(predictions, targets, *weights)[0] for weights in np.eye(3))
    np.testing.assert_allclose(
        loss_of(predictions, targets, 2.0, 0.5, 3.0)[0], 2 * face + 0.5 * box + 3 * landmarks, rtol=1e-5
    )


def test_a_perfect_prediction_has_perfect_figures():
    predictions, targets = make_batch(list(ALL_KINDS) * 5)
    predictions["offsets"], predictions["landmarks"] = targets["offsets"], targets["landmarks"]
    predictions["face"] = 20 * np.eye(2, dtype=np.float32)[(targets["kind"] == kinds.POSITIVE).astype(int)]
    sums, counts = losses.measure(predictions, targets).numpy()
    expected = [0, 0, 0, 1, 1, 1, 1, 0]
    np.testing.assert_allclose(sums / counts, expected, atol=1e-5)


def test_figures_of_a_wrong_face_head():
    kind = [kinds.POSITIVE, kinds.POSITIVE, kinds.NEGATIVE, kinds.NEGATIVE, kinds.NEGATIVE, kinds.PART, kinds.LANDMARK]
    predictions, targets = make_batch(kind)
    says_face = np.array([1, 0, 1, 0, 0, 1, 1])
    predictions["face"] = np.eye(2, dtype=np.float32)[says_face]
    means = dict(zip(losses.FIGURES, np.divide(*losses.measure(predictions, targets).numpy()), strict=True))
    assert (means["face_accuracy"], means["precision"], means["recall"]) == pytest.approx((3 / 5, 1 / 2, 1 / 2))


@pytest.mark.parametrize("stage", stages.ON_CROPS, ids=lambda stage: stage.name)
def test_every_network_can_be_fit_with_its_loss(stage):
    _, targets = make_batch(list(ALL_KINDS) * 3)
    batch = {**targets, "image": np.random.default_rng(0).uniform(0, 255, (12, stage.size, stage.size, 3))}
    model = losses.attach(networks.build(stage), stage.loss_weights)
    model.compile("sgd")
    reported = model.train_on_batch(batch, return_dict=True)
    assert set(reported) == {"loss", *losses.FIGURES}
    assert all(np.isfinite(value) for value in reported.values())
    expected = losses.total(reported, stage.loss_weights)
    assert reported["loss"] == pytest.approx(expected, rel=1e-5)


def test_losses_of_regularised_weights_are_added():
    def loss_with(regularizer):
        keras.utils.set_random_seed(0)
        network = networks.build(stages.PNET)
        network.get_layer("conv1").kernel.regularizer = regularizer
        model = losses.attach(network, stages.PNET.loss_weights)
        model.compile("sgd")
        return model.evaluate(batch, verbose=0, return_dict=True)["loss"], network.get_layer("conv1").kernel.numpy()

    _, targets = make_batch(list(ALL_KINDS))
    batch = {**targets, "image": np.zeros((4, 12, 12, 3), np.float32)}
    plain, kernel = loss_with(None)
    regularised, _ = loss_with(keras.regularizers.L2(0.1))
    assert regularised - plain == pytest.approx(0.1 * np.sum(kernel**2), rel=1e-3)


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match="hard_fraction must be above 0"):
        losses.OhemLoss(1, 1, 1, hard_fraction=0.0)
    with pytest.raises(ValueError, match="landmark_loss must be one of squares, distances, got 'cubes'"):
        losses.OhemLoss(1, 1, 1, landmark_loss="cubes")
    with pytest.raises(ValueError, match="box_loss must be one of squares, giou, got 'ious'"):
        losses.OhemLoss(1, 1, 1, box_loss="ious")


def test_a_weight_means_the_same_for_any_number_of_points():
    predictions, targets = make_batch([kinds.LANDMARK] * 3 + [kinds.NEGATIVE])
    repeated = [{**some, "landmarks": np.tile(some["landmarks"], 4)} for some in (predictions, targets)]
    twenty = landmark_sets.LandmarkSet(20, ())
    few = losses.measure(predictions, targets)[0, losses.FIGURES.index("landmark_loss")]
    many = losses.measure(*repeated, landmark_set=twenty)[0, losses.FIGURES.index("landmark_loss")]
    np.testing.assert_allclose(many, few, rtol=1e-5)


def test_the_layer_comes_back_from_its_config():
    points = landmark_sets.IBUG.to_dict()
    choices = {"landmark_loss": "distances", "box_loss": "giou"}
    layer = losses.OhemLoss(1.0, 0.5, 2.0, hard_fraction=0.4, landmark_set=points, **choices)
    again = losses.OhemLoss.from_config(layer.get_config())
    assert again.landmark_set == landmark_sets.IBUG
    assert (again.weights_of_losses, again.hard_fraction) == (layer.weights_of_losses, layer.hard_fraction)
    assert (again.landmark_loss, again.box_loss) == ("distances", "giou")
    assert metrics.MaskedMeans.from_config(layer.means.get_config()).names == losses.FIGURES
