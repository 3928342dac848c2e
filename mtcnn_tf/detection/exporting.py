"""The export of a cascade: its networks and itself as SavedModels, each checked before it counts.

A SavedModel is loaded back and compared with the Python model; where they differ it doesn't get its number.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from mtcnn_tf import files, locks, stages
from mtcnn_tf.detection import cascade, detector, final_scores, first_stages
from mtcnn_tf.images import graph_decoding, image_files
from mtcnn_tf.models import inference, networks

MAX_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.05}
"""Between a SavedModel of either precision and what it was made of, which for the networks is Keras's float32; relative
to an output's largest value where that is above 1. Cascades are compared with one of their own precision."""


def export(
    models: dict[str, keras.Model],
    out_dir: str,
    thresholds: tuple[float, ...] | None = None,
    max_pixels: int = image_files.MAX_PIXELS,
    score_weights: final_scores.ScoreWeights = final_scores.NOT_CALIBRATED,
    precision: str = inference.PRECISIONS[0],
) -> Iterator[str]:
    """Yields the folder of each SavedModel when it has been written and checked.

    Args:
        models: The networks of a cascade with O-Net, by name of the stage.
        out_dir: Folder for all of them.
        thresholds: Stored with the cascade as its defaults; see `cascade.Cascade`.
        max_pixels: The cascade decodes no image file of more.
        score_weights: Stored with the cascade, too.
        precision: What all of them compute in, one of `inference.PRECISIONS`.

    Raises:
        ValueError: A SavedModel disagrees with the Python model, or the networks make no cascade, or `thresholds` are
            not numbers in 0–1, one for each network, or another process exports to `out_dir`.
        OSError: A SavedModel could not be written.
    """
    whole = cascade.Cascade(models, thresholds, score_weights=score_weights, precision=precision)
    with locks.only_one_in(out_dir, "export"):
        for name in (*whole.networks, detector.MODEL_NAME):
            files.remove_partial(pathlib.Path(out_dir, name))
        for name, network in whole.networks.items():
            entries = network_signatures(stages.BY_NAME[name], network)
            model_dir = os.path.join(out_dir, name)
            check = functools.partial(check_network, model=models[name], precision=precision)
            yield save_version(network, model_dir, entries, check)
        yield save(whole, out_dir, lambda path: check_cascade(path, whole), max_pixels)


def save(
    the_cascade: cascade.Cascade,
    export_dir: str | os.PathLike,
    check: Callable[[str], None] = lambda path: None,
    max_pixels: int = image_files.MAX_PIXELS,
) -> str:
    """Writes the cascade as the next version under `export_dir`/cascade; returns its folder.

    See `save_version` and, for `max_pixels`, `signatures`.
    """
    return save_version(
        the_cascade, os.path.join(export_dir, detector.MODEL_NAME), signatures(the_cascade, max_pixels), check
    )


def save_version(
    module: tf.Module, model_dir: str | os.PathLike, entries: dict, check: Callable[[str], None] = lambda path: None
) -> str:
    """Writes a SavedModel as the next version under `model_dir`; returns its folder, `model_dir`/N.

    TensorFlow Serving takes up the highest number as soon as it sees it: the folder gets its number last.

    Args:
        module: What the SavedModel holds.
        model_dir: Folder of all versions of this model.
        entries: Signatures by name.
        check: Called with the folder before it gets its number. If it raises, nothing stays.

    Raises:
        OSError: It could not be written; nothing stays.
    """
    os.makedirs(model_dir, exist_ok=True)
    version_dir = os.path.join(model_dir, str(max(detector.versions(model_dir), default=0) + 1))
    with files.atomic_write(version_dir) as partial_dir:
        try:
            tf.saved_model.save(module, str(partial_dir), entries)
        except tf.errors.OpError as error:
            raise OSError(f"could not write {version_dir}: {files.reason(error.message)}") from error
        check(str(partial_dir))
    return version_dir


def signatures(
    the_cascade: cascade.Cascade, max_pixels: int = image_files.MAX_PIXELS
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """The entries of the saved cascade, by name.

    * `serving_default`: `image_bytes`, a batch of JPEG, PNG, BMP or WebP files (string [B], B at least 1), to `boxes`
      [B, N, 4], `scores` [B, N] and `landmarks` [B, N, P, 2], of which image i has the first `num_faces[i]` (int32
      [B]); the rest is zero. `num_errors` (int32 [B]) is 1 where a file can't be decoded, see `graph_decoding`: it has
      no faces. EXIF orientation is not looked at.
    * `detect`: `image` (uint8 [H, W, 3], RGB), `min_face_size` (float32) and `thresholds` (float32, one for each
      network) to `boxes` [N, 4], `scores` [N] and `landmarks` [N, P, 2], P = 5 unless others were learnt.
    * `detect_batch`: the same of several images of one size, which each network sees at once: `images` (uint8
      [B, H, W, 3]) to what `serving_default` returns, less `num_errors`.

    Of a cascade without landmarks none are returned.

    Args:
        the_cascade: What is saved.
        max_pixels: A file of more is not decoded, and no image is enlarged beyond it.

    Raises:
        ValueError: The cascade ends before O-Net.
    """
    if "onet" not in cascade.searches(the_cascade):
        raise ValueError(f"expected a cascade with onet to save, got one of {', '.join(the_cascade.networks)} alone")

    def checked(images: tf.Tensor, min_face_size: tf.Tensor):
        # Below 12 pixels the search enlarges the image: a hostile request must not choose by how much.
        num_pixels = tf.cast(tf.size(images) // 3, tf.float32) * (stages.PNET.size / min_face_size) ** 2
        told = [f"expected to search at most {max_pixels:,} pixels, got", num_pixels, "; enlarge min_face_size"]
        with tf.control_dependencies([tf.debugging.Assert(num_pixels <= max_pixels, told)]):
            return tf.identity(images)

    @tf.function(input_signature=the_cascade.until_onet.input_signature[:3], autograph=False)
    def detect(image: tf.Tensor, min_face_size: tf.Tensor, thresholds: tf.Tensor):
        image = checked(image, min_face_size)
        return the_cascade.until_onet(image, min_face_size, thresholds, cascade.SCALE_FACTOR)

    @tf.function(input_signature=the_cascade.batch_until_onet.input_signature[:3], autograph=False)
    def detect_batch(images: tf.Tensor, min_face_size: tf.Tensor, thresholds: tf.Tensor):
        images = checked(images, min_face_size)
        found = the_cascade.batch_until_onet(images, min_face_size, thresholds, cascade.SCALE_FACTOR)
        of_images, num_images = found.pop("images"), tf.shape(images)[0]
        rows = {name: tf.RaggedTensor.from_value_rowids(x, of_images, num_images) for name, x in found.items()}
        return _padded(rows)

    def detect_encoded(encoded: tf.Tensor):
        image, is_unreadable = graph_decoding.decode(encoded, max_pixels)
        found = detect(image, cascade.MIN_FACE_SIZE, the_cascade.thresholds)
        return {**found, "num_errors": tf.cast(is_unreadable, tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")], autograph=False)
    def serve(image_bytes: tf.Tensor):
        num_points = the_cascade.networks["onet"].landmark_set.num_points
        shapes = {"boxes": [None, 4], "scores": [None], "landmarks": [None, num_points, 2]}
        names = the_cascade.until_onet.get_concrete_function().structured_outputs
        rows = {name: tf.RaggedTensorSpec(shapes[name], tf.float32, ragged_rank=0) for name in names}
        rows["num_errors"] = tf.TensorSpec([], tf.int32)
        found = tf.map_fn(detect_encoded, image_bytes, fn_output_signature=rows)
        num_errors = found.pop("num_errors")
        return _padded(found) | {"num_errors": num_errors}

    entries = {"serving_default": serve, "detect": detect, "detect_batch": detect_batch}
    return {name: function.get_concrete_function() for name, function in entries.items()}


def _padded(rows: dict[str, tf.RaggedTensor]) -> dict[str, tf.Tensor]:
    """What was found in each of several images, filled up with zeros to equal lengths, and how many faces these are."""
    num_faces = tf.cast(rows["scores"].row_lengths(), tf.int32)
    return {name: values.to_tensor() for name, values in rows.items()} | {"num_faces": num_faces}


def network_signatures(stage: stages.Stage, network: inference.Network | inference.RpnNetwork) -> dict:
    """The entries of a saved network: `serving_default` takes float32 pixels in 0–255, `uint8` whole ones.

    Both take `pixels` [N, S, S, 3], N at least 1 (for P-Net of any size), and return `scores` [N], `offsets` [N, 4]
    and, if the network finds them, `landmarks` [N, P, 2]; P-Net each with rows and columns after N. Those of the RPN
    take `pixels` [N, H, W, 3], H and W multiples of 32, and return `scores` [N, A], `offsets` [N, A, 4] and `anchors`
    [A, 4].
    """
    size = None if stage in stages.FIRST else stage.size

    def predict_anchors(pixels: tf.Tensor):
        logits, offsets = network(tf.cast(pixels, tf.float32))
        anchors = first_stages.anchor_boxes(network.anchors, tf.shape(pixels)[1:], tf.range(tf.shape(logits)[1]))
        return {"scores": tf.sigmoid(logits), "offsets": offsets, "anchors": anchors}

    def predict(pixels: tf.Tensor):
        outputs = network(tf.cast(pixels, tf.float32))
        said = {"scores": tf.sigmoid(outputs.logits), "offsets": outputs.offsets}
        if network.has_landmarks:
            landmarks = network.landmarks(outputs.features)
            shape = tf.concat([tf.shape(outputs.logits), [network.landmark_set.num_points, 2]], axis=0)
            said["landmarks"] = tf.reshape(landmarks, shape)
        return said

    def entry(dtype: tf.DType):
        pixels = tf.TensorSpec([None, size, size, 3], dtype, "pixels")
        function = predict_anchors if stage is stages.RPN else predict
        return tf.function(function, input_signature=[pixels], autograph=False).get_concrete_function()

    return {"serving_default": entry(tf.float32), "uint8": entry(tf.uint8)}


def check_network(path: str, model: keras.Model, precision: str = inference.PRECISIONS[0]) -> None:
    """Raises a ValueError unless the SavedModel at `path`, of this precision, says what the Keras model says."""
    saved = tf.saved_model.load(path)
    side = model.input_shape[1] or 64
    pixels = np.stack([image[:side, :side] for image in check_images()])
    outputs = {name: np.array(output) for name, output in model(pixels.astype(np.float32)).items()}
    wanted = {"offsets": outputs["offsets"]}
    if model.name == stages.RPN.name:
        wanted["scores"] = np.array(keras.ops.sigmoid(outputs["face"]))
        wanted["anchors"] = networks.anchors_of(model).boxes(side, side)
    else:
        wanted["scores"] = np.array(keras.ops.softmax(outputs["face"]))[..., 1]
    if "landmarks" in outputs:
        wanted["landmarks"] = outputs["landmarks"].reshape(*outputs["landmarks"].shape[:-1], -1, 2)
    for name, dtype in (("serving_default", np.float32), ("uint8", np.uint8)):
        found = saved.signatures[name](pixels=tf.constant(pixels.astype(dtype)))
        _compare(found, wanted, f"{model.name}, {name}", MAX_DIFFERENCE[precision])


def check_cascade(path: str, whole: cascade.Cascade) -> None:
    """Raises a ValueError unless the SavedModel at `path` finds what the Python cascade finds.

    Thresholds of 0 let proposals through to the end, whatever the networks have learnt.
    """
    saved = tf.saved_model.load(path)
    size, factor = tf.constant(24.0), tf.constant(cascade.SCALE_FACTOR)
    everything, searches = tf.zeros_like(whole.thresholds), cascade.searches(saved)
    for image in map(tf.constant, check_images()):
        for name, search in cascade.searches(whole).items():
            wanted = search(image, size, everything, factor)
            _compare(searches[name](image, size, everything, factor), wanted, f"cascade, until_{name}")
        found = saved.signatures["detect"](image=image, min_face_size=size, thresholds=everything)
        _compare(found, wanted, "cascade, detect")  # `wanted` is until_onet's
        found = saved.signatures["detect_batch"](images=image[None], min_face_size=size, thresholds=everything)
        _compare({name: found[name][0] for name in wanted}, wanted, "cascade, detect_batch")

        wanted = whole.until_onet(image, tf.constant(cascade.MIN_FACE_SIZE), whole.thresholds, factor)
        served = saved.signatures["serving_default"](image_bytes=tf.io.encode_png(image)[None])
        _compare({name: served[name][0] for name in wanted}, wanted, "cascade, serving_default")


def check_images() -> list[np.ndarray]:
    """An image of noise and one of waves, uint8 [80, 104, 3]."""
    noise = np.random.default_rng(0).integers(0, 256, (80, 104, 3))
    y, x, phase = np.meshgrid(np.arange(80), np.arange(104), np.arange(3), indexing="ij")
    waves = 127.5 * (1 + np.sin(x * y / 300 + phase) * np.cos((x - 2 * y) / 9))
    return [noise.astype(np.uint8), waves.astype(np.uint8)]


def _compare(found: dict, wanted: dict, what: str, max_difference: float = MAX_DIFFERENCE["float32"]) -> None:
    for name, values in wanted.items():
        here, there = np.asarray(values), np.asarray(found[name])
        if here.shape != there.shape:
            raise ValueError(
                f"the SavedModel of {what} gives {name} {there.shape}, the Python model {here.shape}; report this"
            )
        difference = np.max(np.abs(here - there), initial=0) / max(1, np.max(np.abs(here), initial=0))
        if not difference <= max_difference:
            raise ValueError(
                f"the SavedModel of {what} differs from the Python model in {name} by {difference:.2g}; report this"
            )
