"""The networks that the method's authors trained, from the three files of NumPy arrays in which they are passed around.

`det1.npy`, `det2.npy` and `det3.npy` come with the facenet project (https://github.com/davidsandberg/facenet,
`src/align`). Each holds one pickled dict: name of a layer → `weights` and `biases`, or the `alpha` of a PReLU. They are
read without running anything that a pickle may hold besides arrays.

Those networks were trained in MATLAB, which stores columns first: they see images with x and y swapped, and give all
x of the landmarks before all y. Here the weights are turned instead of the images.
"""

import os
import pickle
from collections.abc import Iterable
from typing import IO

import keras
import numpy as np

from mtcnn_tf import stages
from mtcnn_tf.models import networks

FILES = {"pnet": "det1.npy", "rnet": "det2.npy", "onet": "det3.npy"}


def _slopes(name: str, numbers: Iterable[int]) -> dict[str, str]:
    return {f"conv{i}_prelu": f"{name}{i}" for i in numbers}


_THEIR_NAMES = {
    "pnet": {**_slopes("PReLU", (1, 2, 3)), "face": "conv4-1", "offsets": "conv4-2"},
    "rnet": {
        **_slopes("prelu", (1, 2, 3)),
        **{"dense": "conv4", "dense_prelu": "prelu4", "face": "conv5-1", "offsets": "conv5-2"},
    },
    "onet": {
        **_slopes("prelu", (1, 2, 3, 4)),
        **{"dense": "conv5", "dense_prelu": "prelu5", "face": "conv6-1", "offsets": "conv6-2", "landmarks": "conv6-3"},
    },
}
"""Stage → our name of a layer → theirs, where it is another one."""


def load(npy_dir: str | os.PathLike) -> dict[str, keras.Model]:
    """The authors' three networks, by name of the stage, with a slope for each channel.

    Their P-Net and R-Net find no landmarks.

    Raises:
        FileNotFoundError: One of `FILES` is not in `npy_dir`.
        ValueError: One of them holds anything but the arrays of its network.
    """
    return {stage.name: _network(stage, os.path.join(npy_dir, FILES[stage.name])) for stage in stages.ON_CROPS}


def _network(stage: stages.Stage, path: str) -> keras.Model:
    arrays = _read(path)
    names = _THEIR_NAMES[stage.name]
    network = networks.build(stage, shared_slopes=False, landmarks="landmarks" in names)
    for layer in network.layers:
        if layer.weights:
            theirs = arrays.get(names.get(layer.name, layer.name), {})
            try:
                layer.set_weights(_turned(network, layer, theirs))
            except (KeyError, ValueError) as error:
                shapes = {name: values.shape for name, values in theirs.items()}
                raise ValueError(
                    f"expected the weights of {stage.name}'s layer {layer.name!r} in {path!r}, got {shapes or 'none'}; "
                    f"take the original {FILES[stage.name]}"
                ) from error
    return network


def _turned(network: keras.Model, layer: keras.Layer, theirs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The weights of `layer` from the authors' arrays for it."""
    if isinstance(layer, keras.layers.PReLU):
        return [theirs["alpha"].reshape(layer.weights[0].shape)]
    weights, biases = theirs["weights"], theirs["biases"]
    if isinstance(layer, keras.layers.Conv2D):
        weights = weights.transpose(1, 0, 2, 3)
    elif layer.name == "dense":
        rows, columns, channels = network.get_layer("flatten").input.shape[1:]
        by_place = weights.reshape(columns, rows, channels, -1).swapaxes(0, 1)
        weights = by_place.reshape(weights.shape)
    elif layer.name == "landmarks":
        pairs = np.arange(10).reshape(2, 5).T.ravel()  # x1 y1 x2 y2 … of x1 … x5 y1 … y5
        weights, biases = weights[:, pairs], biases[pairs]
    return [weights, biases]


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # since NumPy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
"""What a pickle of arrays needs, by module and name."""


class _ArraysOnly(pickle.Unpickler):
    """Refuses a pickle that names anything but arrays; plain unpickling would call whatever it names."""

    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]


def _read(path: str) -> dict[str, dict[str, np.ndarray]]:
    """Layer → name → array, float32, of one of the authors' files."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"expected the authors' weights at {path!r}, found no file; check the folder")
    try:
        with open(path, "rb") as file:
            _step_over_header(file)
            # The originals were pickled by Python 2, whose strings of bytes are read as Latin-1.
            layers = _ArraysOnly(file, encoding="latin1").load().item()
        return {name: {what: _checked(array) for what, array in layer.items()} for name, layer in layers.items()}
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(
            f"expected a dict of NumPy arrays and nothing else in {path!r}, got another file ({error}); "
            f"take the original {os.path.basename(path)}"
        ) from error


def _step_over_header(file: IO[bytes]) -> None:
    """Moves `file` to where the pickle of a NumPy file begins."""
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = read_header(file)
    if shape != () or dtype.kind != "O":
        raise ValueError(f"an array of {dtype} {shape}")


def _checked(array: object) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not np.all(np.isfinite(array)):
        raise ValueError(f"no finite numbers but {type(array).__name__}")
    return array.astype(np.float32)
