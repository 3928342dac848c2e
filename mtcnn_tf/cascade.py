"""The cascade as one graph: P-Net proposes boxes on a pyramid of scales, R-Net and O-Net look at crops of what is left.

Zhang et al. 2016, section II.A. Thresholds of the non-maximum suppression are those of the authors' released code. What
O-Net takes for a face it sees once more, mirrored, and what it says of both is averaged: its errors are not symmetric.
Landmarks are the mean of what both tell and of two looks at the square round the final box, where a face lies better.

The pyramid is sampled from the same halved copies that training crops are cut from (see `crops`), so that every network
meets the resampling it has learnt from. Each function is traced once and serves pictures of any size.
"""

import os
from typing import Any

import keras
import tensorflow as tf

from mtcnn_tf import arguments, crops, files, inference, mirroring, networks, stages

THRESHOLDS = (0.6, 0.7, 0.7)
"""Scores that a box must exceed after P-Net, R-Net and O-Net, where none were calibrated."""
MIN_FACE_SIZE = 20.0
SCALE_FACTOR = 0.709
"""Ratio of a scale to the one before: the square root of a half, as in the authors' code."""

NMS_PNET_SCALE, NMS_PNET, NMS_RNET = 0.5, 0.7, 0.7
"""Largest intersection over union of two proposals: of one scale, of all scales, and after R-Net."""
NMS_ONET = 0.7
"""Largest intersection over the *smaller* of two faces."""

PNET_STRIDE = 2

_BATCH_STEPS = {"rnet": 32, "onet": 8}
"""Batches of crops are filled up to a multiple of this: oneDNN prepares each operation anew for each size of batch."""

_SEARCH = (
    tf.TensorSpec([None, None, 3], tf.uint8, "image"),
    tf.TensorSpec([], tf.float32, "min_face_size"),
    tf.TensorSpec([3], tf.float32, "thresholds"),
    tf.TensorSpec([], tf.float32, "scale_factor"),
)


class Cascade(tf.Module):
    """The networks joined to a detector, as TensorFlow functions that can be saved.

    `until_pnet`, `until_rnet` and `until_onet` take

    * `image`: uint8 [H, W, 3], RGB, at least one pixel;
    * `min_face_size`: side of the smallest face looked for, in pixels, float32, > 0. A picture less wide or high than
      this is searched for a face that fills it. A picture is enlarged only where this is below 12, P-Net's window, and
      what is then still less than 12 pixels wide or high holds no face;
    * `thresholds`: float32 [3], in 0–1;
    * `scale_factor`: ratio of neighbouring scales, float32, in (0, 1);

    and return a dict, best score first, of `boxes` [N, 4], `scores` [N] and, of an O-Net with landmarks, `landmarks`
    [N, 5, 2].
    Boxes of P-Net and R-Net are after regression and may reach out of the picture; those of O-Net are clipped to it.

    Attributes:
        thresholds: The thresholds that were calibrated for these networks, float32 [3].
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        thresholds: tuple[float, float, float] = THRESHOLDS,
        max_proposals_per_scale: int = 4096,
        max_proposals: int = 2048,
    ):
        """Freezes the networks.

        Args:
            networks: Name of a stage → its trained network; later stages may be missing.
            thresholds: Defaults to save with the networks.
            max_proposals_per_scale: The best that many windows of a scale compete in non-maximum suppression.
            max_proposals: The best that many boxes go on to R-Net. Both bound time and memory on a picture on which
                P-Net fires everywhere.

        Raises:
            ValueError: `thresholds` are not three numbers in 0–1, or a network is not as `networks` builds it.
        """
        super().__init__(name="cascade")
        thresholds = arguments.thresholds(thresholds)
        self.networks = {name: inference.Network(network) for name, network in networks.items()}
        self.thresholds = tf.Variable(thresholds, trainable=False, dtype=tf.float32, name="thresholds")
        self._max_per_scale = max_proposals_per_scale
        self._max_proposals = max_proposals

    @classmethod
    def from_workdir(cls, workdir: str | os.PathLike, until: str = "onet", **kwargs: Any) -> "Cascade":
        """The cascade of the networks trained in `workdir`, up to and with stage `until`.

        Raises:
            FileNotFoundError: A stage has not been trained yet.
        """
        return cls(load_networks(workdir, until), **kwargs)

    @tf.function(input_signature=_SEARCH, autograph=False)
    def until_pnet(
        self, image: tf.Tensor, min_face_size: tf.Tensor, thresholds: tf.Tensor, scale_factor: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """P-Net's proposals."""
        return self._propose(crops.halvings(image), min_face_size, thresholds[0], scale_factor)

    @tf.function(input_signature=_SEARCH, autograph=False)
    def until_rnet(
        self, image: tf.Tensor, min_face_size: tf.Tensor, thresholds: tf.Tensor, scale_factor: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """What R-Net leaves of P-Net's proposals."""
        levels = crops.halvings(image)
        proposals = self._propose(levels, min_face_size, thresholds[0], scale_factor)
        return self._refine(crops.rimmed(levels), proposals["boxes"], thresholds[1])

    @tf.function(input_signature=_SEARCH, autograph=False)
    def until_onet(
        self, image: tf.Tensor, min_face_size: tf.Tensor, thresholds: tf.Tensor, scale_factor: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The faces."""
        levels = crops.halvings(image)
        proposals = self._propose(levels, min_face_size, thresholds[0], scale_factor)
        rimmed = crops.rimmed(levels)
        refined = self._refine(rimmed, proposals["boxes"], thresholds[1])
        return self._finish(rimmed, refined["boxes"], thresholds[2], tf.shape(image))

    def _propose(self, levels, min_face_size, threshold, scale_factor):
        """P-Net's boxes after regression, and their scores."""
        first_scale, num_scales = _pyramid(tf.shape(levels[0]), min_face_size, scale_factor)

        def add_scale(i, found):
            scale = first_scale * scale_factor ** tf.cast(i, tf.float32)
            return i + 1, tf.concat([found, self._scan(levels, scale, threshold)], axis=0)

        _, found = tf.while_loop(
            lambda i, _: i < num_scales,
            add_scale,
            (tf.constant(0), tf.zeros([0, 9])),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 9])),
        )
        found = tf.gather(found, self._best(found[:, :4], found[:, 4], scale_factor))
        windows, logits, offsets = tf.split(found, [4, 1, 4], axis=1)
        boxes, logits = _drop_empty(decode(windows, offsets), logits[:, 0])
        return {"boxes": boxes, "scores": tf.sigmoid(logits)}

    def _best(self, windows, logits, scale_factor):
        """The places of the best proposals of all scales, best first."""
        num_best = tf.minimum(self._max_proposals, tf.size(logits))
        # Windows of two scales cannot overlap by more than the ratio of their areas, those of one scale no longer do.
        # Rounding a scale's sides to whole pixels changes that ratio by less than a fifth.
        with tf.name_scope("nms"):
            return tf.cond(
                1.2 * scale_factor**2 < NMS_PNET,
                lambda: tf.math.top_k(logits, num_best).indices,
                lambda: tf.image.non_max_suppression(windows, logits, self._max_proposals, NMS_PNET),
            )

    def _scan(self, levels, scale, threshold):
        """Windows of one scale that look like faces: float32 [N, 9] of window, logit, offsets."""
        pixels, pixel_size = _resize(levels, scale)
        network = self._network("pnet")
        features = network.features(pixels[None])[0]
        logits = network.logits(features)
        with tf.name_scope("nms"):
            cells = tf.where(logits > _logit(threshold))  # [N, 2] of row, column
            logits = tf.gather_nd(logits, cells)
            best = tf.math.top_k(logits, tf.minimum(self._max_per_scale, tf.size(logits)))
            logits, cells = best.values, tf.gather(cells, best.indices)
            corners = tf.cast(cells[:, ::-1] * PNET_STRIDE, tf.float32)
            windows = tf.concat([corners, corners + stages.PNET.size], axis=1)
            # Windows 4 pixels apart have an intersection over union of exactly NMS_PNET_SCALE: only in whole pixels of
            # this scale does rounding not decide which of them stay.
            keep = tf.image.non_max_suppression(windows, logits, self._max_per_scale, NMS_PNET_SCALE)
            windows, logits, cells = (tf.gather(values, keep) for values in (windows, logits, cells))
        offsets = network.offsets(tf.gather_nd(features, cells))
        return tf.concat([windows * tf.tile(pixel_size, [2]), logits[:, None], offsets], axis=1)

    def _refine(self, levels, boxes, threshold):
        """R-Net's boxes after regression, and their scores."""
        boxes, _, outputs = self._look(stages.RNET, levels, boxes, threshold)
        with tf.name_scope("nms"):
            keep = tf.image.non_max_suppression(boxes, outputs.logits, self._max_proposals, NMS_RNET)
        boxes = decode(tf.gather(boxes, keep), tf.gather(outputs.offsets, keep))
        boxes, logits = _drop_empty(boxes, tf.gather(outputs.logits, keep))
        return {"boxes": boxes, "scores": tf.sigmoid(logits)}

    def _finish(self, levels, boxes, threshold, shape):
        """O-Net's faces: boxes after regression, clipped to the picture, scores and landmarks."""
        squares, pixels, outputs = self._look(stages.ONET, levels, boxes, threshold)
        logits, offsets, mirrored_clues = self._look_at_mirrored(pixels, outputs)
        rows = tf.where(logits > _logit(threshold))[:, 0]
        boxes = decode(tf.gather(squares, rows), tf.gather(offsets, rows))
        boxes, logits, rows = _drop_empty(boxes, tf.gather(logits, rows), rows)
        order = tf.argsort(logits, direction="DESCENDING", stable=True)
        order = tf.boolean_mask(order, suppress_overlap(tf.gather(boxes, order), NMS_ONET))
        boxes, logits, rows = (tf.gather(values, order) for values in (boxes, logits, rows))
        found = {"scores": tf.sigmoid(logits)}
        if self._network("onet").has_landmarks:
            seen = (tf.gather(values, rows) for values in (squares, outputs.clues, mirrored_clues))
            found["landmarks"] = self._landmarks(levels, *seen, boxes)
        boxes, *others = _drop_empty(clip(boxes, shape), *found.values())
        return {"boxes": boxes, **dict(zip(found, others, strict=True))}

    def _look(self, stage, levels, boxes, threshold):
        """The squares round `boxes` that the stage's network takes for faces, their crops, and what it says of each."""
        boxes, num_boxes = square(boxes), tf.shape(boxes)[0]
        network = self._network(stage.name)

        def look():
            pixels, places = crops.cut(levels, _filled_up(boxes, _BATCH_STEPS[stage.name]), stage.size)
            outputs = network(pixels)
            keep = tf.where((outputs.logits > _logit(threshold)) & (places < num_boxes))[:, 0]
            return tf.gather(places, keep), tf.gather(pixels, keep), _gather_outputs(outputs, keep)

        no_pixels = tf.zeros([0, stage.size, stage.size, 3])
        places, pixels, outputs = _if_any(num_boxes, look, (tf.zeros([0], tf.int32), no_pixels, _no_outputs(network)))
        return tf.gather(boxes, places), pixels, outputs

    def _look_at_mirrored(self, pixels, outputs):
        """Logits and offsets, the means of O-Net's `outputs` for crops and of mirrored crops; the latter's clues."""
        network, num_crops = self._network("onet"), tf.shape(pixels)[0]

        def look():
            mirrored = network(tf.reverse(_filled_up(pixels, _BATCH_STEPS["onet"]), [2]))
            return inference.Outputs(*(values[:num_crops] for values in mirrored))

        mirrored = _if_any(num_crops, look, _no_outputs(network))
        logits = (outputs.logits + mirrored.logits) / 2
        return logits, (outputs.offsets + mirroring.offsets(mirrored.offsets)) / 2, mirrored.clues

    def _landmarks(self, levels, squares, clues, mirrored_clues, boxes):
        """The landmarks [N, 5, 2] of faces, as the mean of what four crops of each tell.

        These are the crop in which the face was found, cut at `squares` [N, 4], which gave `clues`, the one round its
        final box in `boxes` [N, 4], and the mirror images of both.
        """
        network, final_squares, num_faces = self._network("onet"), square(boxes), tf.shape(boxes)[0]

        def look():
            found, final, *found_clues = (
                _filled_up(values, _BATCH_STEPS["onet"] // 2)
                for values in (squares, final_squares, clues, mirrored_clues)
            )
            pixels, places = crops.cut(levels, final, stages.ONET.size)
            pixels = tf.gather(pixels, tf.math.invert_permutation(places))
            final_clues = tf.split(network(tf.concat([pixels, tf.reverse(pixels, [2])], axis=0)).clues, 2)
            straight, mirrored = (
                network.landmarks(tf.concat(both, axis=0)) for both in zip(found_clues, final_clues, strict=True)
            )
            points = tf.reshape((straight + mirroring.landmarks(mirrored)) / 2, [-1, 5, 2])
            by_found, by_final = tf.split(decode_points(tf.concat([found, final], axis=0), points), 2)
            return (by_found + by_final)[:num_faces] / 2

        return _if_any(num_faces, look, tf.zeros([0, 5, 2]))

    def _network(self, name: str) -> inference.Network:
        if name not in self.networks:
            held = ", ".join(self.networks)
            raise ValueError(f"expected a cascade with {name}, got one of {held} alone; stop before {name}")
        return self.networks[name]


def load_networks(workdir: str | os.PathLike, until: str = "onet") -> dict[str, keras.Model]:
    """The networks trained in `workdir`, by name of the stage, up to and with stage `until`; see `load_network`."""
    names = list(stages.BY_NAME)
    return {name: load_network(workdir, name) for name in names[: names.index(until) + 1]}


def load_network(workdir: str | os.PathLike, name: str) -> keras.Model:
    """The trained network of the stage called `name`.

    Raises:
        FileNotFoundError: `workdir` holds none.
        ValueError: See `networks.load`.
    """
    path = os.path.join(workdir, stages.BY_NAME[name].network_file)
    if not files.is_file(path):
        raise FileNotFoundError(
            f"expected a trained network at {path!r}, found no file; make it with "
            f"`python train.py --stage={name} --workdir={os.fspath(workdir)}`"
        )
    return networks.load(path)


def decode(boxes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """`boxes.decode` in TensorFlow: boxes [N, 4] and offsets [N, 4] to boxes [N, 4]."""
    return boxes + offsets * tf.tile(boxes[:, 2:] - boxes[:, :2], [1, 2])


def decode_points(boxes: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """`boxes.decode_points` in TensorFlow: boxes [N, 4] and relative points [N, P, 2] to points [N, P, 2]."""
    return points * (boxes[:, None, 2:] - boxes[:, None, :2]) + boxes[:, None, :2]


def square(boxes: tf.Tensor) -> tf.Tensor:
    """`boxes.square` in TensorFlow: [N, 4] to [N, 4]."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half_sides = tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2
    return tf.concat([centres - half_sides, centres + half_sides], axis=1)


def clip(boxes: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """`boxes.clip` in TensorFlow, to a picture of `shape` (H, W, …): [N, 4] to [N, 4]."""
    height, width = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    return tf.clip_by_value(boxes, 0.0, tf.stack([width, height, width, height]))


def suppress_overlap(boxes: tf.Tensor, max_overlap: float) -> tf.Tensor:
    """Mask [N] of the boxes that survive greedy suppression by intersection over the smaller.

    Greedy suppression is the one mask in which a box survives just if no surviving box before it covers it. Applying
    that rule to all boxes at once settles at least one more box each time, and in practice all of them in a few rounds.

    Args:
        boxes: float32 [N, 4], best first.
        max_overlap: Larger overlaps, in 0–1, are suppressed.
    """
    top_left = tf.maximum(boxes[:, None, :2], boxes[None, :, :2])
    bottom_right = tf.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = tf.reduce_prod(tf.maximum(bottom_right - top_left, 0), axis=-1)
    areas = tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    is_covered = shared > max_overlap * tf.minimum(areas[:, None], areas[None])  # [better, worse]
    is_covered &= tf.range(tf.size(areas))[:, None] < tf.range(tf.size(areas))[None]

    def apply_rule(keep, _):
        return ~tf.reduce_any(is_covered & keep[:, None], axis=0), keep

    start = apply_rule(tf.ones_like(areas, tf.bool), None)
    keep, _ = tf.while_loop(lambda keep, before: tf.reduce_any(keep != before), apply_rule, start)
    return keep


def _resize(levels, scale):
    """The picture at `scale`, float32 [h, w, 3], and how many pixels of the picture one of its covers, [2] in x, y."""
    with tf.name_scope("pyramid"):
        halving = crops.nearest_halving(1 / scale)
        # A halved copy may cover up to 2^k − 1 pixels more than the picture: ratios are of what it covers.
        step = tf.bitwise.left_shift(1, halving)
        covered = tf.cast((tf.shape(levels[0])[:2] + step - 1) // step * step, tf.float32)
        size = tf.maximum(tf.round(covered * scale), stages.PNET.size)
        resize = [lambda level=level: tf.image.resize(level, tf.cast(size, tf.int32)) for level in levels]
        return tf.switch_case(halving, resize), (covered / size)[::-1]


def _pyramid(shape, min_face_size, scale_factor):
    """The first scale and the number of scales, each `scale_factor` times the one before, that P-Net scans."""
    size = float(stages.PNET.size)
    shorter_side = tf.cast(tf.minimum(shape[0], shape[1]), tf.float32)
    wanted = size / min_face_size
    first_scale = tf.minimum(tf.maximum(wanted, size / shorter_side), tf.maximum(wanted, 1.0))
    # How often the shorter side can shrink and still be `size` pixels; the small number stands against rounding.
    num_shrinkings = tf.math.log(shorter_side * first_scale / size) / -tf.math.log(scale_factor)
    return first_scale, tf.cast(tf.floor(num_shrinkings + 1e-4), tf.int32) + 1


def _if_any(number, look, nothing):
    """What `look()` returns, or `nothing`: TensorFlow's fused convolutions refuse an empty batch."""
    return tf.cond(number > 0, look, lambda: nothing)


def _no_outputs(network):
    return inference.Outputs(tf.zeros([0]), tf.zeros([0, 4]), tf.zeros([0, *network.clue_shape]))


def _filled_up(values, step):
    """`values` with as many zeros after them as make their number a multiple of `step`."""
    missing = -tf.shape(values)[0] % step
    return tf.pad(values, [[0, missing], *[[0, 0]] * (len(values.shape) - 1)])


def _gather_outputs(outputs, rows):
    return inference.Outputs(*(tf.gather(output, rows) for output in outputs))


def _logit(probability):
    """Where the sigmoid is `probability`: minus infinity at 0, infinity at 1."""
    return tf.math.log(probability) - tf.math.log1p(-probability)


def _drop_empty(boxes, *others):
    """`boxes` and what belongs to them, without those that have no area: a wild regression turns boxes inside out."""
    keep = tf.where(tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1))[:, 0]
    return [tf.gather(values, keep) for values in (boxes, *others)]
