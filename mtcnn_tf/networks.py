"""The three networks as functional Keras models.

Layers follow Zhang et al. 2016, figure 2 (and table 1 for R-Net and O-Net), as the authors released them: convolutions
are 'valid' with stride 1 and bias, each followed by a PReLU of initial slope 0.25 (He et al. 2015, section 2.1, where
both forms of slope are described: one for each channel, and one shared by a layer).

Every network takes RGB pixels in 0–255 and returns a dict of

* `face`: logits [..., 2] for "no face" and "face";
* `offsets`: [..., 4], see `boxes.encode`;
* `landmarks`: [..., 10], five `x, y` relative to the box, see `boxes.encode_points`. A network for things that have
  none is built without.

For R-Net and O-Net `...` is the batch. P-Net is fully convolutional: `...` is batch, rows, columns, with a receptive
field of 12 pixels and a stride of 2.
"""

import json
import os
import zipfile

import keras
from keras import layers

from mtcnn_tf import files, keras_settings, stages

PIXEL_MEAN = 127.5
PIXEL_SCALE = 128.0


_HEADS = {"face": 2, "offsets": 4, "landmarks": 10}
"""How many numbers each head gives."""
_OWN = "landmark_"
"""How the names of layers begin that the landmarks have for themselves."""


@keras_settings.ours()
def build(
    stage: stages.Stage, shared_slopes: bool = True, landmarks: bool = True, own_landmark_layers: bool = False
) -> keras.Model:
    """The untrained network of `stage`.

    Args:
        stage: Which network.
        shared_slopes: One PReLU slope for a layer, which serves twice as fast because it folds into the convolution;
            otherwise one for each channel, as in the paper.
        landmarks: Whether it finds landmarks, too.
        own_landmark_layers: Whether O-Net's landmarks have layers of their own from the third convolution on, and not
            only the last one, as in the paper. Otherwise each task takes capacity from the others.

    Raises:
        ValueError: Landmarks are to have layers of their own in another network than an O-Net that finds them.
    """
    if not own_landmark_layers:
        return {"pnet": pnet, "rnet": rnet, "onet": onet}[stage.name](shared_slopes, landmarks)
    if stage is not stages.ONET or not landmarks:
        raise ValueError(f"expected an O-Net that finds landmarks, to give them layers of their own, got {stage.name}")
    return onet(shared_slopes, own_landmark_layers=True)


def has_own_landmark_layers(network: keras.Model) -> bool:
    """Whether the landmarks of `network` have layers of their own."""
    return any(layer.name.startswith(_OWN) for layer in network.layers)


def is_of_landmarks_alone(layer: keras.Layer) -> bool:
    """Whether what `layer` says counts for the landmarks and nothing else."""
    return layer.name.startswith(_OWN) or layer.name == "landmarks"


def with_own_landmark_layers(network: keras.Model) -> keras.Model:
    """An O-Net that says the same as `network`, whose landmarks have layers of their own: copies, to begin with.

    Raises:
        ValueError: See `build`.
    """
    if has_own_landmark_layers(network):
        return network
    is_shared = list(network.get_layer("conv1_prelu").shared_axes) == [1, 2, 3]
    copy = build(stages.BY_NAME[network.name], is_shared, "landmarks" in network.output, own_landmark_layers=True)
    for layer in copy.layers:
        layer.set_weights(network.get_layer(layer.name.removeprefix(_OWN)).get_weights())
    return copy


@keras_settings.ours(policy="float32")
def load(path: str | os.PathLike) -> keras.Model:
    """The trained network in the .keras file at `path`, which may be an address, see `files`.

    The file gives the weights alone, its layers are built here: nothing that a file describes is run, and one that a
    newer Keras has written can be read, although each version describes layers in words that older ones don't know.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file isn't whole, or holds another network.
    """
    try:
        with files.local(path) as local_path:
            return _load(local_path)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(
            f"expected a network that train.py has made in {os.fspath(path)!r}, got something else "
            f"({repr(error).splitlines()[0]}); train it again"
        ) from error


def _load(path: str) -> keras.Model:
    with zipfile.ZipFile(path) as archive:
        described = json.loads(archive.read("config.json"))["config"]
    settings = {layer["config"]["name"]: layer["config"] for layer in described["layers"]}
    slope_axes = settings["conv1_prelu"]["shared_axes"]
    own_landmark_layers = any(name.startswith(_OWN) for name in settings)
    network = build(
        stages.BY_NAME[described["name"]], slope_axes == [1, 2, 3], "landmarks" in settings, own_landmark_layers
    )
    if settings.keys() != {layer.name for layer in network.layers}:
        raise ValueError(f"{network.name} with other layers")
    network.load_weights(path)
    return network


def pnet(shared_slopes: bool = True, landmarks: bool = True) -> keras.Model:
    """P-Net, the proposal network: 12-pixel windows of pictures of any size."""
    image, x = _input(None, stages.PNET.name)
    x = _conv(x, 10, 3, shared_slopes, "conv1")
    x = layers.MaxPooling2D(2, 2, "same", name="pool1")(x)
    x = _conv(x, 16, 3, shared_slopes, "conv2")
    x = _conv(x, 32, 3, shared_slopes, "conv3")
    heads = {name: layers.Conv2D(_HEADS[name], 1, dtype="float32", name=name)(x) for name in _wanted(landmarks)}
    return keras.Model(image, heads, name=stages.PNET.name)


def rnet(shared_slopes: bool = True, landmarks: bool = True) -> keras.Model:
    """R-Net, the refinement network: 24-pixel crops."""
    image, x = _input(stages.RNET.size, stages.RNET.name)
    x = _conv(x, 28, 3, shared_slopes, "conv1")
    x = layers.MaxPooling2D(3, 2, "same", name="pool1")(x)
    x = _conv(x, 48, 3, shared_slopes, "conv2")
    x = layers.MaxPooling2D(3, 2, "valid", name="pool2")(x)
    x = _conv(x, 64, 2, shared_slopes, "conv3")
    x = _dense(x, 128, shared_slopes)
    return keras.Model(image, {name: _dense_head(x, name) for name in _wanted(landmarks)}, name=stages.RNET.name)


def onet(shared_slopes: bool = True, landmarks: bool = True, own_landmark_layers: bool = False) -> keras.Model:
    """O-Net, the output network: 48-pixel crops."""

    def last_layers(x, own=""):
        x = _conv(x, 64, 3, shared_slopes, f"{own}conv3")
        x = layers.MaxPooling2D(2, 2, "same", name=f"{own}pool3")(x)
        x = _conv(x, 128, 2, shared_slopes, f"{own}conv4")
        return _dense(x, 256, shared_slopes, own)

    image, x = _input(stages.ONET.size, stages.ONET.name)
    x = _conv(x, 32, 3, shared_slopes, "conv1")
    x = layers.MaxPooling2D(3, 2, "same", name="pool1")(x)
    x = _conv(x, 64, 3, shared_slopes, "conv2")
    x = layers.MaxPooling2D(3, 2, "valid", name="pool2")(x)
    ends = dict.fromkeys(_wanted(landmarks), last_layers(x))
    if own_landmark_layers:
        ends["landmarks"] = last_layers(x, _OWN)
    return keras.Model(image, {name: _dense_head(end, name) for name, end in ends.items()}, name=stages.ONET.name)


def _wanted(landmarks: bool) -> list[str]:
    return [name for name in _HEADS if landmarks or name != "landmarks"]


def _input(size: int | None, name: str):
    image = keras.Input((size, size, 3), name="image")
    pixels = layers.Rescaling(1 / PIXEL_SCALE, -PIXEL_MEAN / PIXEL_SCALE, name=f"{name}_pixels")(image)
    return image, pixels


def _conv(x, filters: int, kernel_size: int, shared_slopes: bool, name: str):
    x = layers.Conv2D(filters, kernel_size, name=name)(x)
    return _prelu([1, 2, 3] if shared_slopes else [1, 2], f"{name}_prelu")(x)


def _dense(x, units: int, shared_slopes: bool, own: str = ""):
    x = layers.Flatten(name=f"{own}flatten")(x)
    x = layers.Dense(units, name=f"{own}dense")(x)
    return _prelu([1] if shared_slopes else None, f"{own}dense_prelu")(x)


def _dense_head(x, name: str):
    return layers.Dense(_HEADS[name], dtype="float32", name=name)(x)


def _prelu(shared_axes, name: str) -> keras.Layer:
    return layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25), shared_axes=shared_axes, name=name)
