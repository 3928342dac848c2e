"""The cascade as one graph: a first stage proposes boxes, R-Net and O-Net classify crops of what is left.

Zhang et al. 2016, section II.A. Who proposes is the one thing that changes: P-Net on a pyramid of scales or the RPN in
one look, see `first_stages`. Behind the RPN, R-Net may be left out. What O-Net takes for a face it sees once more,
mirrored, and what it says of both is averaged: its errors are not symmetric. The final score comes of O-Net's logit
and, as far as calibration gave them a weight, the first stage's, which saw more of what is round the face, and the
face's size, see `final_scores`. Landmarks are the mean of what both tell and of two looks at the square round the final
box, where a face lies better; or of these two alone, where they have crops of their own.

All pixels are sampled from the same mip levels that training crops are cut from (see `graph_crops`), so that every
network meets the resampling it has learnt from. Each function is traced once and serves images of any size.
"""

import functools
import math
import os
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from mtcnn_tf import arguments, files, stages
from mtcnn_tf.detection import final_scores, first_stages
from mtcnn_tf.geometry import graph_boxes, mirroring
from mtcnn_tf.images import graph_crops
from mtcnn_tf.models import inference, networks

MIN_FACE_SIZE = 20.0
SCALE_FACTOR = 0.709
"""Ratio of a scale to the one before: the square root of a half, as in the authors' code."""

NMS_RNET = 0.7
"""Largest intersection over union of two proposals after R-Net, as in the authors' released code."""
NMS_ONET = 0.7
"""Largest intersection over the *smaller* of two faces."""
MAX_OFFSET = 1.0
"""Largest offset of a face's box from the square in which O-Net found it, in sides of the square. Those that are taught
are smaller: with an IoU of 0.4 the centres lie at most 3/7 of a side apart, so even a box as thin as a line has offsets
of at most 0.93. Beyond, the crop is like none of the training's: some fine patterns drive box and score out of all
measure, and such a box would suppress the faces in it."""

_SIZES_AN_OCTAVE = 8
"""Batches of crops have so many sizes between a power of two and the next: oneDNN prepares each operation anew for each
size of batch."""


class Cascade(tf.Module):
    """The networks joined to a detector, as TensorFlow functions that can be saved.

    For each of its stages it has a function, `until_rpn` or `until_pnet`, `until_rnet` and `until_onet`. They take

    * `image`: uint8 [H, W, 3], RGB, at least one pixel;
    * `min_face_size`: side of the smallest face looked for, in pixels, float32, > 0. An image less wide or high than
      this is searched for a face that fills it. An image is enlarged only where this is below 12, the window of P-Net
      and smallest anchor of the RPN, and what is then still less than 12 pixels wide or high holds no face;
    * `thresholds`: float32, in 0–1, one for each network of the cascade in order;
    * `scale_factor`: ratio of neighbouring scales, float32, in (0, 1); of no use to the RPN;

    and return a dict, best score first, of `boxes` [N, 4], `scores` [N] and, of an O-Net with landmarks, `landmarks`
    [N, P, 2], P = 5 unless it has learnt others.
    Boxes of the stages before O-Net are after regression and may reach out of the image; those of O-Net are clipped
    to it.

    `batch_until_rpn` and so on take several images of one size, `images` uint8 [B, H, W, 3], in place of one. Each
    network sees all of them at once. What they return stands image by image, with the index of its image in `images`,
    int32 [N].

    Attributes:
        networks: Name of a stage → its `inference` network, in order.
        thresholds: The thresholds that were calibrated for these networks, float32, one for each.
        score_weights: Those of the final score, see `final_scores.ScoreWeights`, float32 [4].
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        thresholds: tuple[float, ...] | None = None,
        max_proposals_per_scale: int = 4096,
        max_proposals: int | None = None,
        score_weights: final_scores.ScoreWeights = final_scores.NOT_CALIBRATED,
        precision: str = inference.PRECISIONS[0],
    ):
        """Freezes the networks.

        Args:
            networks: Name of a stage → its trained network: a first stage, and what there is behind it. O-Net needs
                R-Net before it where P-Net proposes.
            thresholds: Defaults to save with the networks, one for each; by default those of `stages`.
            max_proposals_per_scale: The best that many windows of a scale of P-Net compete in non-maximum suppression.
            max_proposals: The best that many boxes go on, by default as many as suit the first stage. Both bound time
                and memory on an image on which it fires everywhere.
            score_weights: How the final score comes about.
            precision: What the networks' layers compute in, one of `inference.PRECISIONS`.

        Raises:
            ValueError: `thresholds` are not numbers in 0–1, one for each network; `score_weights` are none; a network
                is not as `networks` builds it; they make no cascade.
        """
        super().__init__(name="cascade")
        order = _order(networks)
        chosen = [stage.threshold for stage in order] if thresholds is None else thresholds
        self.networks = {stage.name: inference.frozen(networks[stage.name], precision) for stage in order}
        self.thresholds = tf.Variable(
            arguments.thresholds(chosen, len(order)), trainable=False, dtype=tf.float32, name="thresholds"
        )
        weights = final_scores.checked(score_weights)
        self.score_weights = tf.Variable(weights, trainable=False, dtype=tf.float32, name="score_weights")
        self._propose = first_stages.of(self.networks[order[0].name], max_proposals, max_proposals_per_scale)
        for stage in order:
            of_batch = self._traced(stage.name)
            setattr(self, f"batch_until_{stage.name}", of_batch)
            setattr(self, f"until_{stage.name}", self._of_one(of_batch))

    @classmethod
    def from_networks(cls, networks_dir: str | os.PathLike, until: str = "onet", **kwargs: Any) -> "Cascade":
        """The cascade of the networks trained in `networks_dir`, up to and with stage `until`.

        Raises:
            FileNotFoundError, ValueError: See `load_networks`.
        """
        return cls(load_networks(networks_dir, until), **kwargs)

    def search(
        self,
        image: tf.Tensor,
        min_face_size: tf.Tensor | float,
        thresholds: tf.Tensor | tuple[float, ...],
        scale_factor: tf.Tensor | float = SCALE_FACTOR,
        until: str = "onet",
    ) -> dict[str, tf.Tensor]:
        """What the function of stage `until` returns; see the class.

        Raises:
            ValueError: The cascade has no such stage.
        """
        return searches(self)[_checked_until(until, list(self.networks))](
            tf.convert_to_tensor(image, tf.uint8),
            tf.convert_to_tensor(min_face_size, tf.float32),
            tf.convert_to_tensor(thresholds, tf.float32),
            tf.convert_to_tensor(scale_factor, tf.float32),
        )

    def _signature(self, shape: list[int | None], name: str) -> tuple[tf.TensorSpec, ...]:
        return (
            tf.TensorSpec(shape, tf.uint8, name),
            tf.TensorSpec([], tf.float32, "min_face_size"),
            tf.TensorSpec([len(self.networks)], tf.float32, "thresholds"),
            tf.TensorSpec([], tf.float32, "scale_factor"),
        )

    def _traced(self, until: str) -> tf.types.experimental.PolymorphicFunction:
        """The search that ends with stage `until`, for images of one size."""
        search = functools.partial(self._search, until=until)
        return tf.function(search, input_signature=self._signature([None, None, None, 3], "images"), autograph=False)

    def _of_one(
        self, search_batch: tf.types.experimental.PolymorphicFunction
    ) -> tf.types.experimental.PolymorphicFunction:
        """The same search for one image."""

        def search(image, min_face_size, thresholds, scale_factor):
            found = search_batch(image[None], min_face_size, thresholds, scale_factor)
            return {name: values for name, values in found.items() if name != "images"}

        return tf.function(search, input_signature=self._signature([None, None, 3], "image"), autograph=False)

    def _search(self, images, min_face_size, thresholds, scale_factor, until):
        levels = graph_crops.mip_levels(images)
        of_first = levels.__getitem__
        if until == stages.RPN.name:  # which samples from one copy, so that the others need not be made
            of_first = functools.partial(graph_crops.mip_level, images)
        proposals = self._propose(of_first, min_face_size, thresholds[0], scale_factor)
        padded = graph_crops.padded(levels)
        if until in ("rnet", "onet") and "rnet" in self.networks:
            proposals = self._refine(padded, proposals, thresholds[1])
        if until == "onet":
            return self._finish(padded, proposals, thresholds[-1], tf.shape(images)[1:])
        return {"boxes": proposals.boxes, "scores": tf.sigmoid(proposals.logits), "images": proposals.images}

    def _refine(self, levels, proposals, threshold):
        """Of the proposals those that R-Net takes for faces, after its regression."""
        boxes, first_logits, images, _, outputs = self._classify(stages.RNET, levels, proposals, threshold)
        logits, most = outputs.logits, self._propose.max_proposals
        with tf.name_scope("nms"):
            keep = graph_boxes.rows_of_each(
                images,
                tf.shape(levels[0])[0],
                lambda rows: graph_boxes.suppressed(boxes, logits, rows, most, NMS_RNET),
            )
        boxes, logits, first_logits, images, offsets = (
            tf.gather(values, keep) for values in (boxes, logits, first_logits, images, outputs.offsets)
        )
        boxes = graph_boxes.decode(boxes, offsets)
        return first_stages.Proposals(*graph_boxes.drop_empty(boxes, logits, first_logits, images))

    def _finish(self, levels, proposals, threshold, shape):
        """O-Net's faces: boxes after regression, clipped to their images, scores, landmarks and index of the image."""
        squares, first_logits, images, pixels, outputs = self._classify(stages.ONET, levels, proposals, threshold)
        logits, offsets, mirrored_features = self._average_with_flipped(pixels, outputs)
        logits = self._final(logits, first_logits, squares)
        rows = tf.where((logits > first_stages.logit(threshold)) & near_mask(offsets))[:, 0]
        boxes = graph_boxes.decode(tf.gather(squares, rows), tf.gather(offsets, rows))
        boxes, logits, rows = graph_boxes.drop_empty(boxes, tf.gather(logits, rows), rows)
        order = tf.argsort(logits, direction="DESCENDING", stable=True)
        order = tf.gather(order, tf.argsort(tf.gather(images, tf.gather(rows, order)), stable=True))
        boxes, logits, rows = (tf.gather(values, order) for values in (boxes, logits, rows))
        keep = graph_boxes.suppress_overlap(boxes, NMS_ONET, tf.gather(images, rows))
        boxes, logits, rows = (tf.boolean_mask(values, keep) for values in (boxes, logits, rows))
        found = {"scores": tf.sigmoid(logits), "images": tf.gather(images, rows)}
        if self.networks["onet"].has_landmarks:
            seen = (tf.gather(values, rows) for values in (squares, outputs.features, mirrored_features))
            found["landmarks"] = self._landmarks(levels, *seen, boxes, found["images"])
        boxes, *others = graph_boxes.drop_empty(graph_boxes.clip(boxes, shape), *found.values())
        return {"boxes": boxes, **dict(zip(found, others, strict=True))}

    def _final(self, logits, first_logits, squares):
        """The final logits of faces, of O-Net's and the first stage's for their squares."""
        weights = final_scores.ScoreWeights(*tf.unstack(self.score_weights))
        return final_scores.logits(weights, logits, first_logits, squares)

    def _classify(self, stage, levels, proposals, threshold):
        """Of the proposals that the stage's network takes for faces.

        Squares, first logits and index of the image of each, crops and the network's outputs.

        O-Net may be overruled by the first stage.
        """
        squares, num_boxes = graph_boxes.square(proposals.boxes), tf.shape(proposals.boxes)[0]
        network = self.networks[stage.name]

        def compute():
            shown = _filled_up(graph_boxes.enlarge(squares, network.margin))
            images = _filled_up(proposals.images)
            pixels, places = graph_crops.cut(levels, shown, images, stage.size)
            outputs = network(pixels)
            logits = outputs.logits
            if stage is stages.ONET:
                told = (tf.gather(_filled_up(values), places) for values in (proposals.first_logits, squares))
                logits = self._final(logits, *told)
            keep = tf.where((logits > first_stages.logit(threshold)) & (places < num_boxes))[:, 0]
            return tf.gather(places, keep), tf.gather(pixels, keep), _gather_outputs(outputs, keep)

        no_pixels = tf.zeros([0, stage.size, stage.size, 3])
        places, pixels, outputs = _if_any(
            num_boxes, compute, (tf.zeros([0], tf.int32), no_pixels, _no_outputs(network))
        )
        told = (tf.gather(values, places) for values in (squares, proposals.first_logits, proposals.images))
        return *told, pixels, outputs

    def _average_with_flipped(self, pixels, outputs):
        """Logits and offsets, the means of O-Net's `outputs` for crops and of mirrored crops; the latter's features."""
        network, num_crops = self.networks["onet"], tf.shape(pixels)[0]

        def compute():
            mirrored = network(tf.reverse(_filled_up(pixels), [2]))
            return inference.Outputs(*(values[:num_crops] for values in mirrored))

        mirrored = _if_any(num_crops, compute, _no_outputs(network))
        logits = (outputs.logits + mirrored.logits) / 2
        return logits, (outputs.offsets + mirroring.offsets(mirrored.offsets)) / 2, mirrored.features

    def _landmarks(self, levels, squares, features, mirrored_features, boxes, images):
        """The landmarks [N, P, 2] of faces, as the mean of what four crops of each tell.

        These are the crop in which the face was found, cut at `squares` [N, 4], which gave `features`, the one round
        its final box in `boxes` [N, 4], and the mirror images of both. Of a network whose landmarks have crops of
        another margin it is the second alone with its mirror image.
        """
        network, final_squares, num_faces = self.networks["onet"], graph_boxes.square(boxes), tf.shape(boxes)[0]
        num_points = network.landmark_set.num_points

        def compute():
            found, final, of_images, *found_features = (
                _filled_up(values) for values in (squares, final_squares, images, features, mirrored_features)
            )
            shown = graph_boxes.enlarge(final, network.landmark_margin)
            pixels, places = graph_crops.cut(levels, shown, of_images, stages.ONET.size)
            pixels = tf.gather(pixels, tf.math.invert_permutation(places))
            final_features = tf.split(network(tf.concat([pixels, tf.reverse(pixels, [2])], axis=0)).features, 2)
            looks = [(final, *final_features)]
            if network.landmark_margin == network.margin:
                looks.append((found, *found_features))
            seen, straight, mirrored = (tf.concat(values, axis=0) for values in zip(*looks, strict=True))
            mirrored = mirroring.landmarks(network.landmarks(mirrored), network.landmark_set)
            points = tf.reshape((network.landmarks(straight) + mirrored) / 2, [-1, num_points, 2])
            by_look = tf.split(graph_boxes.decode_points(seen, points), len(looks))
            return tf.add_n(by_look)[:num_faces] / len(looks)

        return _if_any(num_faces, compute, tf.zeros([0, num_points, 2]))


def near_mask(offsets: tf.Tensor) -> tf.Tensor:
    """Which of O-Net's boxes lie near their squares, see `MAX_OFFSET`: offsets [N, 4] to bool [N]."""
    return tf.reduce_max(tf.abs(offsets), axis=1) <= MAX_OFFSET


def searches(module: tf.Module, prefix: str = "") -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """The functions of a cascade, or of one that was saved and loaded, by the name of the stage they end with.

    Args:
        module: The cascade.
        prefix: "batch_" for those that take several images; a cascade that was saved before there were any has none.
    """
    held = {stage.name: getattr(module, f"{prefix}until_{stage.name}", None) for stage in stages.ALL}
    return {name: function for name, function in held.items() if function is not None}


def _checked_until(until: str, names: list[str]) -> str:
    if until not in names:
        held = ", ".join(names)
        raise ValueError(f"expected a cascade with {until}, got one of {held} alone; stop before {until}")
    return until


def _order(names: Iterable[str]) -> tuple[stages.Stage, ...]:
    """The stages called `names` in the order in which a cascade goes through them; see `Cascade`."""
    names = list(names)
    first = [stage for stage in stages.FIRST if stage.name in names]
    order = tuple(stage for stage in stages.chain(first[0]) if stage.name in names) if len(first) == 1 else ()
    if not order or len(order) != len(names) or order == (stages.PNET, stages.ONET):
        raise ValueError(
            "expected the networks of a cascade, rpn or pnet, rnet (behind rpn it may be left out) and onet, or the "
            f"first of them, got {', '.join(names) or 'none'}"
        )
    return order


def load_networks(networks_dir: str | os.PathLike, until: str = "onet") -> dict[str, keras.Model]:
    """The networks trained in `networks_dir`, by name of the stage, up to and with stage `until`.

    Raises:
        FileNotFoundError, ValueError: See `stages.in_folder` and `load_network`.
    """
    return {stage.name: load_network(networks_dir, stage.name) for stage in stages.in_folder(networks_dir, until)}


def load_network(networks_dir: str | os.PathLike, name: str) -> keras.Model:
    """The trained network of the stage called `name`.

    Raises:
        FileNotFoundError: `networks_dir` holds none.
        ValueError: See `networks.load`.
    """
    path = os.path.join(networks_dir, stages.BY_NAME[name].network_file)
    if not files.is_file(path):
        raise FileNotFoundError(
            f"expected a trained network at {path!r}, found no file; make it with "
            f"`python train.py --stage={name} --networks={os.fspath(networks_dir)}`"
        )
    return networks.load(path)


def _if_any(number, compute, nothing):
    """What `compute()` returns, or `nothing`: TensorFlow's fused convolutions refuse an empty batch."""
    return tf.cond(number > 0, compute, lambda: nothing)


def _no_outputs(network):
    return inference.Outputs(tf.zeros([0]), tf.zeros([0, 4]), tf.zeros([0, *network.feature_shape]))


def _filled_up(values):
    """`values` with zeros after them, up to an even number or one of `_SIZES_AN_OCTAVE`."""
    number = tf.shape(values)[0]
    octave = tf.cast(tf.math.log(tf.cast(number, tf.float32) / _SIZES_AN_OCTAVE) / math.log(2) + 1e-5, tf.int32)
    missing = -number % tf.bitwise.left_shift(1, tf.maximum(octave, 1))
    return tf.pad(values, [[0, missing], *[[0, 0]] * (len(values.shape) - 1)])


def _gather_outputs(outputs, rows):
    return inference.Outputs(*(tf.gather(output, rows) for output in outputs))
