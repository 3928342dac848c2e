"""The networks as functional Keras models.

Layers of P-, R- and O-Net follow Zhang et al. 2016, figure 2 (and table 1 for R-Net and O-Net), as the authors released
them: convolutions are 'valid' with stride 1 and bias, each followed by a PReLU of initial slope 0.25 (He et al. 2015,
section 2.1, where both forms of slope are described: one for each channel, and one shared by a layer).

Every network takes RGB pixels in 0–255 and returns a dict of

* `face`: logits [..., 2] for "no face" and "face";
* `offsets`: [..., 4], see `boxes.encode`;
* `landmarks`: [..., 10], five `x, y` relative to the box, see `boxes.encode_points`; or [..., 2 P] of another set of
  points. A network for things that have none is built without.

A network may have learnt from crops that show more than the square they tell of, `margin` times its side; offsets and
landmarks stay relative to the square. The margin travels with the network's file, and so does the set of points.
Landmarks may be told from crops with a margin of their own, by layers of their own.

For R-Net and O-Net `...` is the batch. P-Net is fully convolutional: `...` is batch, rows, columns, with a receptive
field of 12 pixels and a stride of 2. It has variants beside that of the paper, see `pnet`; so has O-Net, see `onet`.

The RPN is fully convolutional, too, and looks at an image once: 3×3 convolutions whose strides halve the image until a
pixel of the map is as wide as a stride of `anchors`, where a head tells of each anchor at this place (Ren et al. 2015,
"Faster R-CNN", section 3.1; several strides as in Liu et al. 2016, "SSD", section 2.1). It returns `face`, a logit
[batch, A], and `offsets` [batch, A, 4], for the A anchors in the order of `anchors.Anchors.boxes`. Height and width
must be multiples of `anchors.LARGEST_STRIDE`.
"""

import json
import math
import os
import zipfile
from typing import Any

import keras
from keras import layers

from mtcnn_tf import files, landmark_sets, stages
from mtcnn_tf.geometry import anchors
from mtcnn_tf.models import blocks, keras_settings, onet, pnet

VARIANTS = {
    stages.RPN: (blocks.PAPER,),
    stages.PNET: tuple(pnet.VARIANTS),
    stages.RNET: (blocks.PAPER,),
    stages.ONET: tuple(onet.VARIANTS),
}
"""The forms of each network, by name, first that of the paper."""
VARIANT_NAMES = tuple(dict.fromkeys(name for names in VARIANTS.values() for name in names))


@keras_settings.ours()
def build(
    stage: stages.Stage,
    shared_slopes: bool = True,
    landmarks: bool = True,
    landmark_branch: bool = False,
    margin: float = 1.0,
    variant: str = blocks.PAPER,
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE,
    landmark_margin: float | None = None,
) -> keras.Model:
    """The untrained network of `stage`.

    Args:
        stage: Which network.
        shared_slopes: One PReLU slope for a layer, which serves twice as fast because it folds into the convolution;
            otherwise one for each channel, as in the paper.
        landmarks: Whether it finds landmarks, too.
        landmark_branch: Whether O-Net's landmarks have a branch of their own from the third convolution on, and not
            only the last one, as in the paper. Otherwise each task takes capacity from the others.
        margin: Side of the crops that R-Net or O-Net sees, over the side of the square they tell of; at least 1.
        variant: Which P-Net or O-Net, one of `VARIANTS[stage]`.
        landmark_set: Which landmarks it finds, if any.
        landmark_margin: The `margin` of the crops that landmarks are told from, where their branch begins at the
            pixels and shares nothing; None where it shares crops and layers with faces and boxes.

    Raises:
        ValueError: A landmark branch is asked for in another network than an O-Net that finds them, a margin is
            wanted that the network can't have, or a variant that isn't there.
    """
    if landmark_branch and not (stage is stages.ONET and landmarks):
        raise ValueError(
            f"expected an O-Net that finds landmarks, to give them a branch of their own, got {stage.name}"
        )
    if not 1 <= margin < math.inf or (stage in stages.FIRST and margin != 1):
        raise ValueError(f"expected a margin of at least 1, and of 1 for a first stage, got {margin} for {stage.name}")
    if landmark_margin is not None and not (landmark_branch and 1 <= landmark_margin < math.inf):
        raise ValueError(f"expected a landmark margin of at least 1, for a landmark branch, got {landmark_margin}")
    check_variant(stage, variant)
    if stage is stages.RPN:
        return rpn()
    points = landmark_set if landmarks else None
    if stage is stages.PNET:
        return pnet.pnet(shared_slopes, points, variant)
    if stage is stages.RNET:
        return rnet(shared_slopes, points, margin)
    return onet.onet(shared_slopes, points, landmark_branch, margin, landmark_margin, variant)


def check_variant(stage: stages.Stage, variant: str) -> None:
    """Raises ValueError where `stage` has no such variant."""
    names = VARIANTS[stage]
    if variant not in names:
        raise ValueError(f"expected {' or '.join(names)} as the variant of {stage.name}, got {variant}; choose another")


def margin_of(network: keras.Model) -> float:
    """Side of the crops that `network` sees, over the side of the square they tell of."""
    return _pixels_of(network).margin


def landmark_margin_of(network: keras.Model) -> float | None:
    """The margin of the crops that the landmarks of `network` have for themselves, see `build`; None for none."""
    return _pixels_of(network).landmark_margin


def landmark_set_of(network: keras.Model) -> landmark_sets.LandmarkSet:
    """The points that `network` finds, if any."""
    return _pixels_of(network).landmark_set


def variant_of(network: keras.Model) -> str:
    """Which form of its stage `network` has, one of `VARIANTS`."""
    return _pixels_of(network).variant


def _pixels_of(network: keras.Model) -> blocks.Pixels:
    return network.get_layer(f"{network.name}_pixels")


def has_landmark_branch(network: keras.Model) -> bool:
    """Whether the landmarks of `network` have a branch of their own."""
    return any(layer.name.startswith(onet.OWN) for layer in network.layers)


def is_of_landmark_branch(layer: keras.Layer) -> bool:
    """Whether what `layer` says counts for the landmarks and nothing else."""
    return layer.name.startswith(onet.OWN) or layer.name == "landmarks"


def with_landmark_branch(network: keras.Model, landmark_margin: float | None = None) -> keras.Model:
    """An O-Net that says the same as `network`, whose landmarks have a branch of their own: copies, to begin with.

    Where `network` finds no landmarks, or is wider than the branch, what the branch says of them is still to be learnt.

    Args:
        network: An O-Net.
        landmark_margin: See `build`: None for a branch that shares the first layers.

    Raises:
        ValueError: See `build`.
    """
    if has_landmark_branch(network) and landmark_margin_of(network) == landmark_margin:
        return network
    copy = untrained_like(network, landmarks=True, landmark_branch=True, landmark_margin=landmark_margin)
    names = {layer.name for layer in network.layers}
    for layer in copy.layers:
        for name in (layer.name, layer.name.removeprefix(onet.OWN)):
            if name in names:
                blocks.copy_if_fitting(network.get_layer(name), layer)
                break
    return copy


def with_variant(network: keras.Model, variant: str) -> keras.Model:
    """The O-Net of the form `variant` that says about the same as `network`, to begin with; see `onet.widen`.

    The network itself where it is of this form, or where there is no way from the one to the other.
    """
    is_paper = variant_of(network) == blocks.PAPER
    if network.name != stages.ONET.name or not is_paper or variant == blocks.PAPER:
        return network
    wide = untrained_like(network, variant=variant)
    onet.widen(network, wide)
    return wide


def with_landmark_set(network: keras.Model, landmark_set: landmark_sets.LandmarkSet) -> keras.Model:
    """A network that says the same of faces and boxes as `network` and finds other points, which it is still to learn.

    The network itself where it finds these already, or none.
    """
    if "landmarks" not in network.output or landmark_set_of(network) == landmark_set:
        return network
    copy = untrained_like(network, landmark_set=landmark_set)
    for layer in copy.layers:
        if layer.name != "landmarks":
            layer.set_weights(network.get_layer(layer.name).get_weights())
    return copy


def untrained_like(network: keras.Model, **changes: Any) -> keras.Model:
    """An untrained network of the form of `network`, but for `changes`: arguments of `build`."""
    if network.name == stages.RPN.name:
        return rpn(anchors_of(network))
    pixels = _pixels_of(network)
    form = {
        "shared_slopes": _has_shared_slopes(network),
        "landmarks": "landmarks" in network.output,
        "landmark_branch": has_landmark_branch(network),
        "margin": pixels.margin,
        "variant": pixels.variant,
        "landmark_set": pixels.landmark_set,
        "landmark_margin": pixels.landmark_margin,
    }
    return build(stages.BY_NAME[network.name], **{**form, **changes})


def _has_shared_slopes(network: keras.Model) -> bool:
    return list(network.get_layer("conv2_prelu").shared_axes) == [1, 2, 3]  # the first convolution may have a CReLU


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
    if described["name"] == stages.RPN.name:
        network = rpn(anchors.Anchors(tuple(settings["proposals"]["sizes"])))
    else:
        network = _build_as(described["name"], settings)
    if settings.keys() != {layer.name for layer in network.layers}:
        raise ValueError(f"{network.name} with other layers")
    network.load_weights(path)
    return network


def _build_as(name: str, settings: dict) -> keras.Model:
    """The untrained network on crops with such layers."""
    slope_axes = settings["conv2_prelu"]["shared_axes"]  # the first convolution may have a CReLU
    landmark_branch = any(name.startswith(onet.OWN) for name in settings)
    pixels = settings[f"{name}_pixels"]
    margin = pixels.get("margin", 1.0)  # older files lack it
    variant = pixels.get("variant", pixels.get("pnet_variant", blocks.PAPER))  # … or name it so
    is_shared, landmarks = slope_axes == [1, 2, 3], "landmarks" in settings
    described = pixels.get("landmark_set")
    landmark_set = landmark_sets.from_dict(described) if described else landmark_sets.FIVE
    form = (is_shared, landmarks, landmark_branch, margin, variant, landmark_set, pixels.get("landmark_margin"))
    return build(stages.BY_NAME[name], *form)


@keras.saving.register_keras_serializable(package="mtcnn_tf")
class Proposals(layers.Layer):
    """The last layer of the RPN: maps of its heads to one row for each anchor. It keeps the sizes of the anchors.

    Takes, stride by stride, maps [batch, rows, columns, K] of the K anchors' logits and [batch, rows, columns, 4 K] of
    their offsets; returns `face` [batch, A] and `offsets` [batch, A, 4].

    Args:
        sizes: See `anchors.Anchors`.
    """

    def __init__(self, sizes: tuple[float, ...], **kwargs: Any):
        super().__init__(**{"name": "proposals", "dtype": "float32", **kwargs})
        self.sizes = tuple(sizes)

    def call(self, maps: list) -> dict:
        """See the class."""
        logits = [_rows(x, [-1]) for x in maps[::2]]
        offsets = [_rows(x, [-1, 4]) for x in maps[1::2]]
        return {"face": keras.ops.concatenate(logits, axis=1), "offsets": keras.ops.concatenate(offsets, axis=1)}

    def compute_output_spec(self, maps: list) -> dict:
        """Shapes of what `call` returns."""
        batch = maps[0].shape[0]
        return {"face": keras.KerasTensor((batch, None)), "offsets": keras.KerasTensor((batch, None, 4))}

    def get_config(self) -> dict:
        """The arguments that make the same layer."""
        return {**super().get_config(), "sizes": list(self.sizes)}


def _rows(x, ending: list[int]):
    return keras.ops.reshape(x, [keras.ops.shape(x)[0], *ending])


def anchors_of(network: keras.Model) -> anchors.Anchors:
    """The anchors that a network of `rpn` tells of."""
    return anchors.Anchors(network.get_layer("proposals").sizes)


_RPN_BLOCKS: dict[int, tuple[tuple[str, int, int], ...]] = {
    8: (("conv1", 16, 2), ("conv2", 32, 2), ("conv3", 64, 2), ("conv4", 64, 1), ("conv5", 64, 1)),
    16: (("conv6", 64, 2), ("conv7", 64, 1)),
    32: (("conv8", 64, 2), ("conv9", 64, 1)),
}
"""Name, channels and stride of the convolutions that lead to each stride of `anchors`.

A quarter of a million weights, of which two thirds of the time go into the map of stride 8, where most faces are."""
_RARE_LOGIT = -4.0
"""First logit of all anchors: hardly any is a face (Lin et al. 2017, "Focal Loss", section 3.3)."""


def rpn(its_anchors: anchors.Anchors | None = None) -> keras.Model:
    """The RPN, the region proposal network: images of any size, looked at once.

    Args:
        its_anchors: Sizes of its anchors; by default those of `anchors.Anchors`.
    """
    its_anchors = its_anchors or anchors.Anchors()
    sizes = its_anchors.by_stride()
    image = keras.Input((None, None, 3), name="image")
    # What the first convolution pads is as black as what lies outside of an image: the rescaling can fold into it.
    x = blocks.pixels(layers.ZeroPadding2D(((0, 1), (0, 1)), name="black_rim")(image), stages.RPN.name)
    maps, padding = [], "valid"
    for stride, block in _RPN_BLOCKS.items():
        for name, channels, step in block:
            x = layers.Conv2D(channels, 3, step, padding, kernel_initializer="he_normal", name=name)(x)
            padding = "same"
            x = blocks.prelu([1, 2, 3], f"{name}_prelu")(x)
        if stride not in sizes:
            continue
        for head, count, start in (("face", 1, _RARE_LOGIT), ("offsets", 4, 0.0)):
            layer = layers.Conv2D(
                count * len(sizes[stride]),
                1,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
                bias_initializer=keras.initializers.Constant(start),
                dtype="float32",
                name=f"{head}{stride}",
            )
            maps.append(layer(x))
    return keras.Model(image, Proposals(its_anchors.sizes)(maps), name=stages.RPN.name)


def rnet(
    shared_slopes: bool = True,
    landmark_set: landmark_sets.LandmarkSet | None = landmark_sets.FIVE,
    margin: float = 1.0,
) -> keras.Model:
    """R-Net, the refinement network: 24-pixel crops."""
    image, x = blocks.inputs(stages.RNET.size, stages.RNET.name, landmark_set=landmark_set, margin=margin)
    x = blocks.conv(x, 28, 3, shared_slopes, "conv1")
    x = layers.MaxPooling2D(3, 2, "same", name="pool1")(x)
    x = blocks.conv(x, 48, 3, shared_slopes, "conv2")
    x = layers.MaxPooling2D(3, 2, "valid", name="pool2")(x)
    x = blocks.conv(x, 64, 2, shared_slopes, "conv3")
    x = blocks.dense(x, 128, shared_slopes)
    heads = {name: blocks.dense_head(x, name, size) for name, size in blocks.heads(landmark_set).items()}
    return keras.Model(image, heads, name=stages.RNET.name)
