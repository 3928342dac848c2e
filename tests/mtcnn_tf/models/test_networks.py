"""Networks come back from their files, whatever Keras wrote these, and nothing else does."""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest

from mtcnn_tf import landmark_sets, stages
from mtcnn_tf.models import blocks, inference, networks, onet, pnet

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.parametrize("stage", stages.ON_CROPS, ids=lambda stage: stage.name)
@pytest.mark.parametrize("shared_slopes", [True, False])
@pytest.mark.parametrize("landmarks", [True, False])
def test_a_network_comes_back_as_it_was(stage, shared_slopes, landmarks, tmp_path):
    network = networks.build(stage, shared_slopes, landmarks)
    network.save(tmp_path / "network.keras")
    loaded = networks.load(tmp_path / "network.keras")
    assert loaded.output.keys() == network.output.keys()
    for there, here in zip(loaded.weights, network.weights, strict=True):
        np.testing.assert_array_equal(there, here)


FORMS = [(stage, variant) for stage in stages.ON_CROPS for variant in networks.VARIANTS[stage]]


@pytest.mark.parametrize(("stage", "variant"), FORMS)
@pytest.mark.parametrize("shared_slopes", [True, False])
def test_a_variant_comes_back_as_it_was(stage, variant, shared_slopes, tmp_path):
    network = networks.build(stage, shared_slopes, variant=variant)
    network.save(tmp_path / "network.keras")
    loaded = networks.load(tmp_path / "network.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in network.layers]
    assert networks.variant_of(loaded) == variant
    size = (20, 14) if stage is stages.PNET else (stage.size, stage.size)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, *size, 3))
    for other in (loaded, keras.saving.load_model(tmp_path / "network.keras")):
        for name, values in network(pixels).items():
            np.testing.assert_array_equal(other(pixels)[name], values)


@pytest.mark.parametrize("shared_slopes", [True, False])
@pytest.mark.parametrize(
    "form",
    [{}, {"landmarks": False}, {"landmark_branch": True}, {"landmark_branch": True, "landmark_margin": 1.0}],
    ids=["shared", "none", "branch", "crops_of_its_own"],
)
def test_a_wide_onet_begins_as_one_of_the_paper(shared_slopes, form):
    network = networks.build(stages.ONET, shared_slopes, margin=1.3, **form)
    rng = np.random.default_rng(0)
    for layer in network.layers:
        layer.set_weights([weights + rng.normal(0, 0.02, weights.shape) for weights in layer.get_weights()])
    pixels = rng.uniform(0, 255, (16, 48, 48, 3))
    said = {name: np.asarray(values) for name, values in network(pixels).items()}

    exact = networks.untrained_like(network, variant="wide")
    onet.widen(network, exact, noise=0)
    for name, values in exact(pixels).items():
        np.testing.assert_allclose(values, said[name], atol=1e-5)

    wide = networks.with_variant(network, "wide")
    assert networks.variant_of(wide) == "wide" and networks.margin_of(wide) == 1.3
    kernel = wide.get_layer("conv3").get_weights()[0].reshape(-1, 128)
    assert len(np.unique(kernel, axis=1).T) == 128  # no two channels are alike: they can learn apart
    assert networks.with_variant(wide, "wide") is wide and networks.with_variant(network, "paper") is network


def test_a_wide_onet_says_about_what_the_trained_one_says_that_it_comes_from():
    network = networks.load(ROOT / "mtcnn_tf/weights/classic/onet.keras")
    wide = networks.with_variant(network, "wide")
    pixels = np.random.default_rng(0).uniform(0, 255, (16, 48, 48, 3))
    for name, values in network(pixels).items():
        assert np.abs(wide(pixels)[name] - values).mean() < 0.25 * np.abs(values).mean()


def test_a_wide_onet_gets_the_landmark_branch_of_another():
    branch = networks.with_landmark_branch(networks.build(stages.ONET), 1.0)
    wide = networks.with_landmark_branch(networks.build(stages.ONET, landmarks=False, variant="wide"), 1.0)
    for layer in filter(networks.is_of_landmark_branch, wide.layers):
        layer.set_weights(branch.get_layer(layer.name).get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3))
    np.testing.assert_allclose(wide(pixels)["landmarks"], branch(pixels)["landmarks"], atol=1e-5)


@pytest.mark.parametrize("variant", pnet.VARIANTS)
def test_every_pnet_looks_at_windows_of_12_pixels_with_a_stride_of_2(variant):
    network = networks.build(stages.PNET, variant=variant)
    pixels = np.random.default_rng(0).uniform(0, 255, (16, 18, 3)).astype(np.float32)
    said = {name: values[0] for name, values in network(pixels[None]).items()}
    assert {name: values.shape for name, values in said.items()} == {
        "face": (3, 4, 2),
        "offsets": (3, 4, 4),
        "landmarks": (3, 4, 10),
    }
    window = network(pixels[None, 2:14, 4:16])  # what the place in row 1, column 2 sees
    for name, values in said.items():
        np.testing.assert_allclose(window[name][0, 0, 0], values[1, 2], atol=1e-5)

    changed = np.repeat(pixels[None], 16 * 18, axis=0)  # in each another pixel
    for each, (row, column) in zip(changed, np.ndindex(16, 18), strict=True):
        each[row, column] = 255 - each[row, column]
    differs = np.abs(network(changed)["offsets"][:, 1, 2] - said["offsets"][1, 2]).max(axis=-1) > 1e-6
    rows, columns = np.nonzero(differs.reshape(16, 18))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 13, 4, 15)


@pytest.mark.parametrize(
    ("stage", "variant", "sentence"),
    [
        (stages.RNET, "wide", "expected paper as the variant of rnet, got wide; choose another"),
        (stages.RPN, "crelu", "expected paper as the variant of rpn, got crelu; choose another"),
        (stages.ONET, "crelu", "expected paper or wide as the variant of onet, got crelu; choose another"),
        (
            stages.PNET,
            "deep",
            "expected paper or strided or depthwise .* or wide as the variant of pnet, got deep",
        ),
    ],
)
def test_a_variant_that_is_not_there_is_refused(stage, variant, sentence):
    with pytest.raises(ValueError, match=sentence):
        networks.build(stage, variant=variant)


def test_a_file_that_tells_of_no_variant_is_of_the_paper(tmp_path):
    networks.build(stages.PNET).save(tmp_path / "network.keras")
    old = rewritten(tmp_path / "network.keras", lambda layers: layers[1]["config"].pop("variant"))
    assert networks.variant_of(networks.load(old)) == "paper"


def test_a_file_may_tell_of_its_variant_as_older_ones_do(tmp_path):
    networks.build(stages.PNET, variant="wide").save(tmp_path / "network.keras")

    def rename(layers):
        layers[1]["config"]["pnet_variant"] = layers[1]["config"].pop("variant")

    assert networks.variant_of(networks.load(rewritten(tmp_path / "network.keras", rename))) == "wide"


def test_a_crelu_uses_each_filter_with_both_signs():
    np.testing.assert_array_equal(blocks.CReLU()(np.array([[1.0, -2.0]])), [[1, 0, 0, 2]])


def test_landmarks_get_layers_of_their_own_which_say_the_same_at_first(tmp_path):
    network = networks.build(stages.ONET, shared_slopes=False)
    own = networks.with_landmark_branch(network)
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 48, 48, 3))
    for name, values in network(pixels).items():
        np.testing.assert_allclose(own(pixels)[name], values, atol=1e-5)

    for layer in own.layers:  # new weights for the landmarks change nothing else
        if networks.is_of_landmark_branch(layer):
            layer.set_weights([weights + 0.1 for weights in layer.get_weights()])
    changed, before = own(pixels), network(pixels)
    assert np.abs(changed["landmarks"] - before["landmarks"]).min() > 0.1
    for name in ("face", "offsets"):
        np.testing.assert_allclose(changed[name], before[name], atol=1e-5)

    assert networks.with_landmark_branch(own) is own
    own.save(tmp_path / "onet.keras")
    for there, here in zip(networks.load(tmp_path / "onet.keras").weights, own.weights, strict=True):
        np.testing.assert_array_equal(there, here)


def test_an_onet_without_landmarks_can_learn_them_in_a_branch():
    network = networks.build(stages.ONET, landmarks=False, margin=1.3)
    own = networks.with_landmark_branch(network)
    assert networks.margin_of(own) == 1.3
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 48, 48, 3))
    for name, values in network(pixels).items():
        np.testing.assert_allclose(own(pixels)[name], values, atol=1e-5)
    assert own(pixels)["landmarks"].shape == (4, 10)
    for layer in own.layers:
        if networks.is_of_landmark_branch(layer) and layer.name != "landmarks":
            for there, here in zip(layer.weights, network.get_layer(layer.name[9:]).weights, strict=True):
                np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize(("stage", "landmarks"), [(stages.RNET, True), (stages.ONET, False)])
def test_only_an_onet_with_landmarks_gives_them_layers_of_their_own(stage, landmarks):
    with pytest.raises(ValueError, match="expected an O-Net that finds landmarks"):
        networks.build(stage, landmarks=landmarks, landmark_branch=True)


@pytest.mark.parametrize("landmark_branch", [True, False])
def test_a_margin_travels_with_the_network(tmp_path, landmark_branch):
    network = networks.build(stages.ONET, landmark_branch=landmark_branch, margin=1.3)
    network.save(tmp_path / "onet.keras")
    assert networks.margin_of(networks.load(tmp_path / "onet.keras")) == 1.3
    assert networks.margin_of(keras.models.clone_model(network)) == 1.3
    assert networks.margin_of(networks.with_landmark_branch(network)) == 1.3
    assert networks.margin_of(networks.build(stages.PNET)) == 1


def test_a_branch_that_begins_at_the_pixels_shares_nothing_and_travels_with_its_margin(tmp_path):
    network = networks.with_landmark_branch(networks.build(stages.ONET, margin=1.3), landmark_margin=1.1)
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 48, 48, 3))
    before = {name: np.asarray(values) for name, values in network(pixels).items()}
    for layer in network.layers:
        if not networks.is_of_landmark_branch(layer):
            layer.set_weights([weights + 0.1 for weights in layer.get_weights()])
    changed = network(pixels)
    np.testing.assert_array_equal(changed["landmarks"], before["landmarks"])
    assert np.abs(changed["offsets"] - before["offsets"]).min() > 0
    network.save(tmp_path / "onet.keras")
    again = networks.load(tmp_path / "onet.keras")
    assert (networks.margin_of(again), networks.landmark_margin_of(again)) == (1.3, 1.1)
    np.testing.assert_array_equal(again(pixels)["landmarks"], before["landmarks"])
    assert networks.with_landmark_branch(again, 1.1) is again
    assert networks.landmark_margin_of(networks.build(stages.ONET)) is None


@pytest.mark.parametrize(("branch", "margin"), [(False, 1.1), (True, 0.9), (True, float("inf"))])
def test_a_landmark_margin_needs_a_branch_and_to_show_the_square(branch, margin):
    with pytest.raises(ValueError, match="expected a landmark margin of at least 1, for a landmark branch"):
        networks.build(stages.ONET, landmark_branch=branch, landmark_margin=margin)


@pytest.mark.parametrize("stage", stages.ON_CROPS, ids=lambda stage: stage.name)
@pytest.mark.parametrize("landmark_set", [landmark_sets.IBUG, landmark_sets.LandmarkSet(1, ())])
def test_the_points_travel_with_the_network(tmp_path, stage, landmark_set):
    network = networks.build(stage, landmark_set=landmark_set)
    assert network.output["landmarks"].shape[-1] == 2 * landmark_set.num_points
    network.save(tmp_path / "network.keras")
    again = networks.load(tmp_path / "network.keras")
    assert (
        networks.landmark_set_of(again) == networks.landmark_set_of(keras.models.clone_model(network)) == landmark_set
    )
    pixels = np.random.default_rng(0).integers(0, 256, (2, stage.size, stage.size, 3)).astype(np.float32)
    np.testing.assert_array_equal(again(pixels)["landmarks"], network(pixels)["landmarks"])
    assert inference.Network(again).landmark_set == landmark_set
    if stage is stages.ONET:
        with_branch = networks.with_landmark_branch(network)
        assert networks.landmark_set_of(with_branch) == landmark_set
        np.testing.assert_array_equal(with_branch(pixels)["landmarks"], network(pixels)["landmarks"])


@pytest.mark.parametrize("variant", ["paper", "crelu", "depthwise"])
def test_other_points_change_neither_faces_nor_boxes(variant):
    network = networks.build(stages.PNET, shared_slopes=False, variant=variant)
    other = networks.with_landmark_set(network, landmark_sets.IBUG)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 20, 20, 3))
    for name in ("face", "offsets"):
        np.testing.assert_array_equal(other(pixels)[name], network(pixels)[name])
    assert other(pixels)["landmarks"].shape[-1] == 136
    assert networks.with_landmark_set(other, landmark_sets.IBUG) is other
    without = networks.build(stages.RNET, landmarks=False)
    assert networks.with_landmark_set(without, landmark_sets.IBUG) is without


def test_a_network_of_five_points_or_none_says_nothing_of_them(tmp_path):
    for landmarks in (True, False):
        network = networks.build(stages.ONET, landmarks=landmarks, landmark_set=landmark_sets.FIVE)
        assert "landmark_set" not in network.get_layer("onet_pixels").get_config()
    without = networks.build(stages.ONET, landmarks=False, landmark_set=landmark_sets.IBUG)
    without.save(tmp_path / "onet.keras")
    assert "landmarks" not in networks.load(tmp_path / "onet.keras").output


@pytest.mark.parametrize(("stage", "margin"), [(stages.RNET, 0.9), (stages.ONET, float("inf")), (stages.RPN, 1.1)])
def test_a_margin_that_makes_no_sense_is_refused(stage, margin):
    with pytest.raises(ValueError, match=f"expected a margin of at least 1.*got {margin} for {stage.name}"):
        networks.build(stage, margin=margin)


def test_a_file_without_a_margin_has_none(tmp_path):
    networks.build(stages.RNET).save(tmp_path / "network.keras")
    old = rewritten(tmp_path / "network.keras", lambda layers: layers[1]["config"].pop("margin"))
    assert networks.margin_of(networks.load(old)) == 1


def rewritten(path, change):
    """The file with a changed description."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(parts["config.json"])
    change(description["config"]["layers"])
    changed = path.with_name("changed.keras")
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in (parts | {"config.json": json.dumps(description)}).items():
            archive.writestr(name, content)
    return changed


def test_a_newer_keras_may_have_said_more_of_a_layer(tmp_path):
    network = networks.build(stages.PNET)
    network.save(tmp_path / "network.keras")
    changed = rewritten(tmp_path / "network.keras", lambda layers: layers[2]["config"].update(unheard_of=None))
    with pytest.raises((TypeError, ValueError), match="unheard_of"):
        keras.saving.load_model(changed)
    for there, here in zip(networks.load(changed).weights, network.weights, strict=True):
        np.testing.assert_array_equal(there, here)


def test_anything_else_is_refused_in_a_sentence(tmp_path):
    image = keras.Input((24, 24, 3))
    other = keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image), name="rnet")
    other.save(tmp_path / "lambda.keras")
    networks.build(stages.RNET).save(tmp_path / "network.keras")
    more = rewritten(tmp_path / "network.keras", lambda layers: layers[1]["config"].update(name="more"))
    (tmp_path / "cut.keras").write_bytes((tmp_path / "network.keras").read_bytes()[:-100])
    for path in (tmp_path / "lambda.keras", more, tmp_path / "cut.keras"):
        with pytest.raises(ValueError, match=f"expected a network that train.py has made in '{path}'") as error:
            networks.load(path)
        assert "\n" not in str(error.value)
