"""Damaged images through every reader: an image, or one clear error; and networks that want to do something."""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep import jobs, recipes
from mtcnn_tf import faces, stages
from mtcnn_tf.detection import cascade, exporting
from mtcnn_tf.images import graph_decoding, image_files
from mtcnn_tf.models import networks
from tests import mutations

pytestmark = pytest.mark.slow

COUNT = 10_000


@pytest.fixture(scope="module")
def images():
    return mutations.images(COUNT)


@pytest.fixture(scope="module")
def decoded(images):
    """Of each image its shape, None where it was refused."""
    return [shape_of(image) for image in images]


def shape_of(image):
    try:
        return image_files.decode(image, "a.jpg", max_pixels=10**6).shape
    except ValueError as error:
        assert "'a.jpg'" in str(error) and ("unreadable one" in str(error) or "at most 1,000,000" in str(error))
        return None


def test_files_are_images_or_refused(decoded):
    num_read = sum(shape is not None for shape in decoded)
    assert 0.2 < num_read / COUNT < 0.5
    assert all(shape[0] * shape[1] <= 10**6 and shape[2] == 3 for shape in decoded if shape)


def test_training_steps_over_what_is_refused(images, decoded, tmp_path):
    annotations = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(image)
        annotations.append((number, faces.Annotation(str(path), [[0, 0, 10, 10]])))
    recipe = recipes.Recipe(negatives=0, negatives_near_face=0, trials_per_face=1, landmark_trials_per_face=0)
    settings = jobs.Settings(tmp_path / "records", recipes.Config("pnet", (), recipe=recipe, max_pixels=10**6))
    counts = []
    made = jobs.make(jobs.Job("train", 0, 1, annotations), settings, None, counts.append)
    unreadable = [problem["where"] for problem in made["problems"] if problem["what"] == "unreadable image"]
    refused = [number for number, shape in enumerate(decoded) if shape is None]
    assert [int(pathlib.Path(path).stem) for path in unreadable] == refused
    assert len(counts) == COUNT


@pytest.fixture(scope="module")
def serve():
    keras.utils.set_random_seed(3)
    whole = cascade.Cascade({stage.name: networks.build(stage) for stage in stages.ON_CROPS})
    return exporting.signatures(whole, max_pixels=10**6)["serving_default"]


def test_a_server_decodes_or_counts_an_error(images, decoded):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def decode(batch):
        def look(encoded):
            image, is_unreadable = graph_decoding.decode(encoded, 10**6)
            return tf.shape(image), is_unreadable

        return tf.map_fn(look, batch, fn_output_signature=(tf.TensorSpec([3], tf.int32), tf.TensorSpec([], tf.bool)))

    shapes, unreadable_mask = (values.numpy() for values in decode(tf.constant(images)))
    assert shapes.prod(axis=1).max() <= 3 * 10**6 and (shapes[unreadable_mask] == (1, 1, 3)).all()
    same_mask = np.array([shape is None for shape in decoded]) == unreadable_mask
    assert 0.1 < np.mean(~unreadable_mask) < 0.5 and np.mean(same_mask) > 0.85, "these decoders differ, and take no GIF"


def test_a_batch_of_damaged_images_is_answered(serve):
    whole = mutations.whole_images(np.random.default_rng(0))[1]  # a PNG
    batch = [image for damaged in mutations.images(200, seed=1) for image in (damaged, whole)]
    found = {name: values.numpy() for name, values in serve(image_bytes=tf.constant(batch)).items()}
    assert not found["num_errors"][1::2].any() and 50 < found["num_errors"][::2].sum() < 200
    assert not found["num_faces"][found["num_errors"] == 1].any()


def changed(path, out_path, **others):
    """A .keras file in which some parts are others."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(out_path, "w") as archive:
        for name, content in {**parts, **others}.items():
            archive.writestr(name, content)


def test_a_network_with_code_in_it_is_never_run(tmp_path, monkeypatch):
    """Everything that loads networks (detector, export, mining, calibration, init_from) does so by `networks.load`."""
    made = tmp_path / "made"
    rnet = networks.build(stages.RNET)
    rnet.save(tmp_path / "whole.keras")
    monkeypatch.setenv("MADE", str(made))
    code = keras.layers.Lambda(
        lambda x: [x, __import__("os").mkdir(__import__("os").environ["MADE"])][0], output_shape=(24, 24, 3)
    )
    x = code(rnet.input)
    keras.Model(rnet.input, rnet(x), name="rnet").save(tmp_path / "rnet.keras")
    (tmp_path / "pnet.keras").write_bytes((tmp_path / "rnet.keras").read_bytes())
    for load in (lambda: networks.load(tmp_path / "rnet.keras"), lambda: cascade.Cascade.from_networks(tmp_path)):
        with pytest.raises(ValueError, match="expected a network that train.py has made"):
            load()

    with zipfile.ZipFile(tmp_path / "whole.keras") as archive:
        description = json.loads(archive.read("config.json"))
    for layer in description["config"]["layers"]:
        layer["module"], layer["class_name"], layer["registered_name"] = "os", "mkdir", "os>mkdir"
    changed(tmp_path / "whole.keras", tmp_path / "os.keras", **{"config.json": json.dumps(description)})
    assert networks.load(tmp_path / "os.keras").name == "rnet"  # the layers are ours, whatever is written there
    assert not made.exists()
    keras.saving.load_model(tmp_path / "rnet.keras", safe_mode=False)(np.zeros((1, 24, 24, 3)))
    assert made.exists(), "Keras runs it if told so: the test can fail"


def test_nothing_is_unpacked_from_a_network(tmp_path):
    networks.build(stages.PNET).save(tmp_path / "whole.keras")
    climbing = dict.fromkeys(("../climbed", "/climbed", "assets/../../climbed", "assets/climbed"), b"x")
    networks_dir = tmp_path / "deep" / "networks_dir"
    networks_dir.mkdir(parents=True)
    changed(tmp_path / "whole.keras", networks_dir / "pnet.keras", **climbing)
    networks.load(networks_dir / "pnet.keras")
    assert not list(tmp_path.rglob("climbed")) and not pathlib.Path("/climbed").exists()


def test_damaged_networks_are_refused_in_a_sentence(tmp_path):
    networks.build(stages.PNET).save(tmp_path / "whole.keras")
    whole, rng, num_loaded = (tmp_path / "whole.keras").read_bytes(), np.random.default_rng(0), 0
    for _ in range(60):
        (tmp_path / "pnet.keras").write_bytes(mutations.damaged(rng, whole, [whole, b"no network"]))
        try:
            networks.load(tmp_path / "pnet.keras")
            num_loaded += 1
        except ValueError as error:
            assert "pnet.keras" in str(error)
    assert num_loaded < 60
