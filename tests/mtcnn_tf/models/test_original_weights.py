"""The authors' weights: the same answers as in their layout, and no pickle that does anything."""

import io
import os
import pickle
import struct

import keras
import numpy as np
import pytest
import skimage.data

from mtcnn_tf import datasets, stages
from mtcnn_tf.detection import cascade, detector
from mtcnn_tf.evaluation import saved_detections, wider_face
from mtcnn_tf.geometry import boxes
from mtcnn_tf.models import networks, original_weights

WEIGHTS_DIR = os.environ.get("MTCNN_ORIGINAL_WEIGHTS")
WIDER_FACE_DIR = os.environ.get("WIDER_FACE")


def their_layout(stage, seed=0):
    """Random weights in the authors' layout: layer → name → array."""
    rng = np.random.default_rng(seed)
    names = original_weights._THEIR_NAMES[stage.name]
    layers = {}
    for layer in networks.build(stage, shared_slopes=False, landmarks=stage is stages.ONET).layers:
        if layer.weights:
            arrays = [rng.normal(0, 0.1, values.shape).astype(np.float32) for values in layer.get_weights()]
            if isinstance(layer, keras.layers.PReLU):
                layers[names[layer.name]] = {"alpha": arrays[0].ravel()}
            else:
                layers[names.get(layer.name, layer.name)] = dict(zip(("weights", "biases"), arrays, strict=True))
    return layers


@pytest.fixture(scope="module")
def npy_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("npy")
    for stage in stages.ON_CROPS:
        np.save(path / original_weights.FILES[stage.name], their_layout(stage), allow_pickle=True)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("stage", stages.ON_CROPS, ids=lambda stage: stage.name)
def test_says_what_the_authors_layout_says_of_the_image_with_x_and_y_swapped(npy_dir, stage):
    layers, names = their_layout(stage), original_weights._THEIR_NAMES[stage.name]
    theirs = networks.build(stage, shared_slopes=False, landmarks=stage is stages.ONET)
    for layer in theirs.layers:
        values = layers.get(names.get(layer.name, layer.name))
        if layer.weights and values:
            layer.set_weights(
                [array.reshape(own.shape) for array, own in zip(values.values(), layer.get_weights(), strict=True)]
            )
    pixels = np.random.default_rng(1).uniform(0, 255, (3, stage.size, stage.size, 3)).astype(np.float32)
    wanted = {name: np.array(values) for name, values in theirs(pixels.swapaxes(1, 2)).items()}
    found = {name: np.array(values) for name, values in original_weights.load(npy_dir)[stage.name](pixels).items()}
    assert np.ptp(wanted["offsets"]) > 0.01
    for name in ("face", "offsets"):
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-4)
    if stage is stages.ONET:
        points = np.stack([wanted["landmarks"][:, :5], wanted["landmarks"][:, 5:]], axis=-1)
        np.testing.assert_allclose(found["landmarks"].reshape(3, 5, 2), points, atol=1e-4)
    else:
        assert "landmarks" not in found


def test_pnet_is_turned_on_images_of_any_shape(npy_dir):
    """An image of one bright row is no image of one bright column."""
    found = original_weights.load(npy_dir)["pnet"]
    image = np.zeros((1, 20, 30, 3), np.float32)
    image[:, 9] = 255
    assert found(image)["face"].shape == (1, 5, 10, 2)
    across = np.array(found(image)["face"])
    assert np.ptp(across[0, 1:-1, :, 0], axis=1).max() < 1e-3 < np.ptp(across[0, :, 0, 0])


class Python2Pickler(pickle._Pickler):
    """Pickles as Python 2 did: protocol 2, bytes as strings, NumPy's old module names."""

    def save_bytes(self, values):
        self.write(pickle.BINSTRING + struct.pack("<i", len(values)) + values)
        self.memoize(values)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_bytes}


def test_python_2_pickles_are_read(npy_dir, tmp_path):
    for name in original_weights.FILES.values():
        buffer = io.BytesIO()
        Python2Pickler(buffer, protocol=2).dump(np.load(npy_dir / name, allow_pickle=True))
        old = buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        header, *_ = (npy_dir / name).read_bytes().partition(b"\n")
        (tmp_path / name).write_bytes(header + b"\n" + old)
    for some, others in zip(
        *(original_weights.load(path)["onet"].weights for path in (npy_dir, tmp_path)), strict=True
    ):
        np.testing.assert_array_equal(some, others)


class Malicious:
    """Makes a folder as soon as it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_of_a_malicious_pickle_is_run(npy_dir, tmp_path):
    made = tmp_path / "made"
    layers = their_layout(stages.PNET)
    layers["conv2"]["weights"] = Malicious(made)
    for name in original_weights.FILES.values():
        (tmp_path / name).write_bytes((npy_dir / name).read_bytes())
    np.save(tmp_path / "det1.npy", layers, allow_pickle=True)
    with pytest.raises(ValueError, match=r"arrays and nothing else in .*det1.npy.*it names posix.mkdir"):
        original_weights.load(tmp_path)
    assert not made.exists()
    np.load(tmp_path / "det1.npy", allow_pickle=True)
    assert made.exists(), "plain unpickling runs it: the test can fail"


def without(layers, name):
    return {key: values for key, values in layers.items() if key != name}


PNET = their_layout(stages.PNET)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (np.zeros(3), "got another file .an array of float64"),
        ([1, 2], "got another file"),
        ({"conv1": {"weights": "text", "biases": PNET["conv1"]["biases"]}}, "no finite numbers but str"),
        ({**PNET, "conv1": {"weights": np.full((3, 3, 3, 10), np.nan)}}, "no finite numbers"),
        (without(PNET, "conv2"), "pnet's layer 'conv2' .* got none"),
        ({**PNET, "conv2": {"weights": PNET["conv2"]["weights"]}}, "pnet's layer 'conv2' .*'weights'"),
        (their_layout(stages.RNET), "pnet's layer 'conv1'.*28"),
    ],
)
def test_other_contents_are_told_in_a_sentence(tmp_path, contents, message):
    np.save(tmp_path / "det1.npy", contents, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        original_weights.load(tmp_path)


@pytest.mark.parametrize("fraction", [0, 0.01, 0.5, 0.99])
def test_truncated_files_are_told_in_a_sentence(npy_dir, tmp_path, fraction):
    whole = (npy_dir / "det1.npy").read_bytes()
    (tmp_path / "det1.npy").write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(ValueError, match="expected a dict of NumPy arrays"):
        original_weights.load(tmp_path)


def test_missing_files_are_told(npy_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="det1.npy"):
        original_weights.load(tmp_path)
    (tmp_path / "det1.npy").write_bytes((npy_dir / "det1.npy").read_bytes())
    with pytest.raises(FileNotFoundError, match="det2.npy"):
        original_weights.load(tmp_path)


@pytest.mark.skipif(not WEIGHTS_DIR, reason="MTCNN_ORIGINAL_WEIGHTS names no folder with det1.npy, det2.npy, det3.npy")
def test_the_authors_networks_find_the_astronaut():
    """Her face, from hair to chin, and its five points as placed by hand."""
    find_faces = detector.Detector(cascade.Cascade(original_weights.load(WEIGHTS_DIR)))
    found = find_faces(skimage.data.astronaut(), 40, (0.6, 0.7, 0.7))
    assert len(found) == 1 and found.scores[0] > 0.99
    assert boxes.iou(found.boxes, np.float32([[181, 70, 270, 178]]))[0, 0] > 0.7
    points = [[203, 101], [247, 104], [224, 127], [205, 141], [243, 142]]
    np.testing.assert_allclose(found.landmarks[0], points, atol=5)


@pytest.mark.skipif(not (WEIGHTS_DIR and WIDER_FACE_DIR), reason="MTCNN_ORIGINAL_WEIGHTS or WIDER_FACE names no folder")
def test_the_authors_networks_reach_the_precision_they_have_in_mtcnn():
    """In `mtcnn` 1.0.0, thresholds as here, it is .815 on the 197 validation images of the model card."""
    find_faces = detector.Detector(cascade.Cascade(original_weights.load(WEIGHTS_DIR), (0.5, 0.5, 0.3)))
    annotations, _ = datasets.read(f"wider_face:{WIDER_FACE_DIR}", "val")
    detections = saved_detections.detect(find_faces, [annotation.image_path for annotation in annotations])
    assert wider_face.rank(annotations, detections, min_size=20).average_precision() >= 0.815
