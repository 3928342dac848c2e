"""The whole detector as one graph for images of one size, for runtimes that are not TensorFlow.

LiteRT and ONNX Runtime have no image pyramids and no crops, and want shapes that are known beforehand. Behind the RPN,
which looks once, there is no pyramid: what is left is written here with operations that all of them have. Numbers of
boxes are fixed and what is beyond is empty; crops are gathered pixel by pixel from one table of all mip levels; O-Net
sees them in batches, and only as many batches as there are proposals.

What it finds is what `cascade.Cascade` finds, as long as no more than `max_proposals` go on from the RPN.
"""

import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from mtcnn_tf import arguments, stages
from mtcnn_tf.detection import cascade, final_scores, first_stages
from mtcnn_tf.geometry import anchors, graph_boxes, mirroring
from mtcnn_tf.images import array_crops, graph_crops
from mtcnn_tf.models import inference

_BATCH = 8
"""Crops that O-Net sees at once."""
MAX_PROPOSALS = 200


class Portable(tf.Module):
    """RPN and O-Net joined to a detector for images of one size.

    Called with `image`, uint8 [H, W, 3], RGB, it returns a dict, best score first, of `boxes` [max_faces, 4], `scores`
    [max_faces], `landmarks` [max_faces, P, 2] if O-Net finds them, and `num_faces`, int32 []: so many of the rows are
    faces, the others are zero.

    Attributes:
        image_size: Height and width.
        networks: The two as they compute, see `inference`.
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        image_size: tuple[int, int],
        thresholds: tuple[float, ...] | None = None,
        score_weights: final_scores.ScoreWeights = final_scores.NOT_CALIBRATED,
        min_face_size: float = cascade.MIN_FACE_SIZE,
        max_faces: int = 50,
        max_proposals: int = MAX_PROPOSALS,
    ):
        """Freezes the networks.

        Args:
            networks: "rpn" and "onet" → the trained network.
            image_size: Height and width of the images, in pixels.
            thresholds: To exceed after the two; by default those of `stages`.
            score_weights: See `cascade.Cascade`.
            min_face_size: Side of the smallest face looked for, in pixels.
            max_faces: So many at most are found.
            max_proposals: So many boxes of the RPN at most are seen by O-Net.

        Raises:
            ValueError: The networks are others than these two, `thresholds` are not two numbers in 0–1, or nothing fits
                into images of this size.
        """
        super().__init__(name="portable")
        if list(networks) != ["rpn", "onet"]:
            raise ValueError(
                f"expected an RPN and an O-Net for one graph of fixed shapes, got {', '.join(networks) or 'none'}; "
                "P-Net's pyramid has no fixed number of windows"
            )
        if min(image_size) < stages.RPN.size:
            raise ValueError(f"expected images of at least {stages.RPN.size} pixels a side, got {image_size}")
        self.image_size, self._max_faces, self._max_proposals = image_size, max_faces, max_proposals
        rpn, onet = (inference.frozen(networks[name]) for name in ("rpn", "onet"))
        assert isinstance(rpn, inference.RpnNetwork) and isinstance(onet, inference.Network)
        self._rpn, self._onet, self._score_weights = rpn, onet, score_weights
        self.networks = (rpn, onet)
        chosen = (stages.RPN.threshold, stages.ONET.threshold) if thresholds is None else thresholds
        self._logits = [_logit(value) for value in arguments.thresholds(chosen, 2).tolist()]
        self._scales = _scales(image_size, min_face_size, rpn.anchors)
        self.trace()

    def trace(self) -> None:
        """Makes `detect`, the call as a graph; anew where the networks have changed."""
        signature = [tf.TensorSpec([*self.image_size, 3], tf.uint8, "image")]
        self.detect = tf.function(self.__call__, input_signature=signature, autograph=False)

    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the class."""
        levels = _mip_levels(tf.cast(image, tf.float32))
        pixels = _Pixels(levels)
        squares, first_logits, count = self._propose(levels)
        logits, offsets = self._judge(pixels, squares, first_logits, count)
        boxes = graph_boxes.decode(squares, offsets)
        is_face = (logits > self._logits[1]) & (tf.range(self._max_proposals) < count) & _has_area(boxes)
        is_face &= cascade.near_mask(offsets)
        ranked = tf.math.top_k(tf.where(is_face, logits, _NEVER), self._max_proposals)
        boxes = tf.where((ranked.values > _NEVER)[:, None], tf.gather(boxes, ranked.indices), 0.0)
        keep = graph_boxes.suppress_overlap(boxes, cascade.NMS_ONET) & _has_area(boxes)
        clipped = graph_boxes.clip(boxes, tf.constant(self.image_size))
        keep &= _has_area(clipped)
        best = tf.math.top_k(tf.where(keep, ranked.values, _NEVER), min(self._max_faces, self._max_proposals))
        is_face = best.values > _NEVER
        num_faces = tf.reduce_sum(tf.cast(is_face, tf.int32))
        found = {"boxes": tf.gather(clipped, best.indices), "scores": tf.sigmoid(best.values)}  # 0 of what is no face
        if self._onet.has_landmarks:
            points = self._landmarks(
                pixels,
                tf.gather(tf.gather(squares, ranked.indices), best.indices),
                graph_boxes.square(tf.gather(boxes, best.indices)),
                num_faces,
            )
            found["landmarks"] = tf.where(is_face[:, None, None], points, 0.0)
        found["boxes"] = tf.where(is_face[:, None], found["boxes"], 0.0)
        return {**found, "num_faces": num_faces}

    def _propose(self, levels: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The RPN's squares [P, 4] after regression, their logits [P], and how many of the rows are proposals."""
        looks = [self._look(levels, scale) for scale in self._scales]
        squares, logits, offsets = (tf.concat(values, axis=0) for values in zip(*looks, strict=True))
        best = tf.math.top_k(logits, min(first_stages.MAX_OF_RPN, logits.shape[0]))
        boxes = graph_boxes.decode(tf.gather(squares, best.indices), tf.gather(offsets, best.indices))
        scores = tf.where(_has_area(boxes), best.values, _NEVER)
        keep, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes,
            scores=scores,
            max_output_size=self._max_proposals,
            iou_threshold=first_stages.NMS_RPN,
            score_threshold=self._logits[0],
            pad_to_max_output_size=True,
        )
        return graph_boxes.square(tf.gather(boxes, keep)), tf.gather(scores, keep), count

    def _look(self, levels: list[tf.Tensor], scale: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Squares [A, 4], logits [A] and offsets [A, 4] of all anchors on the image at `scale`."""
        k = min(max(math.floor(math.log2(max(1 / scale, 1)) + 1e-6), 0), array_crops.NUM_MIP_LEVELS - 1)
        step = 2**k
        covered = [(side + step - 1) // step * step for side in self.image_size]
        size = [max(round(side * scale), stages.RPN.size) for side in covered]
        small = tf.image.resize(levels[k], size)
        padded = [-(-side // anchors.LARGEST_STRIDE) * anchors.LARGEST_STRIDE for side in size]
        small = tf.pad(small, [[0, padded[0] - size[0]], [0, padded[1] - size[1]], [0, 0]])
        logits, offsets = (values[0] for values in self._rpn(small[None]))
        ratio = np.tile([covered[1] / size[1], covered[0] / size[0]], 2).astype(np.float32)
        squares = self._rpn.anchors.boxes(*padded) * ratio
        return tf.constant(squares), tf.reshape(logits, [len(squares)]), tf.reshape(offsets, [len(squares), 4])

    def _judge(self, pixels: "_Pixels", squares: tf.Tensor, first_logits: tf.Tensor, count: tf.Tensor):
        """Final logits [P] and offsets [P, 4] by O-Net."""

        def straight(squares):
            outputs = self._onet(self._cut(pixels, squares))
            return tf.concat([outputs.logits[:, None], outputs.offsets], axis=1)

        def both_ways(squares):
            crops = self._cut(pixels, squares)
            outputs = [self._onet(x) for x in (crops, tf.reverse(crops, [2]))]
            logits = (outputs[0].logits + outputs[1].logits) / 2
            offsets = (outputs[0].offsets + mirroring.offsets(outputs[1].offsets)) / 2
            return tf.concat([logits[:, None], offsets], axis=1)

        def final(said):
            return final_scores.logits(self._score_weights, said[:, 0], first_logits, squares)

        said = _in_batches(straight, squares, count, _JUDGEMENT)
        is_face = (final(said) > self._logits[1]) & (tf.range(self._max_proposals) < count)
        first = tf.math.top_k(tf.cast(is_face, tf.float32), self._max_proposals).indices  # faces first
        num_faces = tf.reduce_sum(tf.cast(is_face, tf.int32))
        again = _in_batches(both_ways, tf.gather(squares, first), num_faces, _JUDGEMENT)
        back = tf.math.top_k(-tf.cast(first, tf.float32), self._max_proposals).indices  # the inverse permutation
        said = tf.where(is_face[:, None], tf.gather(again, back), said)
        return tf.where(is_face, final(said), _NEVER), said[:, 1:]

    def _landmarks(self, pixels: "_Pixels", squares: tf.Tensor, final_squares: tf.Tensor, count: tf.Tensor):
        """Landmarks [F, P, 2], the mean of what one or two squares and their mirror images tell; see `Cascade`."""
        onet, num_points = self._onet, self._onet.landmark_set.num_points
        looks = [final_squares, squares] if onet.landmark_margin == onet.margin else [final_squares]

        def compute(seen):
            points = []
            for boxes in tf.split(seen, len(looks), axis=1):
                crops = pixels.cut(graph_boxes.enlarge(boxes, onet.landmark_margin), stages.ONET.size)
                straight, mirrored = (onet.landmarks(onet(x).features) for x in (crops, tf.reverse(crops, [2])))
                relative = (straight + mirroring.landmarks(mirrored, onet.landmark_set)) / 2
                points.append(graph_boxes.decode_points(boxes, tf.reshape(relative, [-1, num_points, 2])))
            return tf.reshape(sum(points) / len(looks), [-1, 2 * num_points])

        points = _in_batches(compute, tf.concat(looks, axis=1), count, 2 * num_points)
        return tf.reshape(points, [-1, num_points, 2])

    def _cut(self, pixels: "_Pixels", squares: tf.Tensor) -> tf.Tensor:
        return pixels.cut(graph_boxes.enlarge(squares, self._onet.margin), stages.ONET.size)


_NEVER = -1e4
"""A logit below all others."""
_JUDGEMENT = 5
"""Numbers that O-Net says of a crop: a logit and four offsets."""


class _Pixels:
    """All mip levels of an image in one table, from which crops are gathered."""

    def __init__(self, levels: list[tf.Tensor]):
        rimmed = [level[0] for level in graph_crops.padded([level[None] for level in levels])]
        sizes = np.array([level.shape[:2] for level in rimmed])
        self._table = tf.concat([tf.reshape(level, [-1, 3]) for level in rimmed], axis=0)
        self._starts = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))[:-1]]).astype(np.int32)
        self._heights, self._widths = sizes.T.astype(np.int32)

    def cut(self, boxes: tf.Tensor, size: int) -> tf.Tensor:
        """`graph_crops.cut` in the order of the boxes: float32 [N, size, size, 3]."""
        shrinkage = tf.reduce_max(boxes[:, 2:] - boxes[:, :2], axis=1) / size
        # Not by a logarithm, which int8 models would have to quantize.
        level = sum(tf.cast(shrinkage * (1 + 1e-6) >= 2.0**k, tf.int32) for k in range(1, len(self._starts)))
        step = tf.gather(tf.constant(2.0 ** np.arange(len(self._starts)), tf.float32), level)
        start, height, width = (tf.gather(tf.constant(x), level) for x in (self._starts, self._heights, self._widths))
        y, x = (
            _samples(boxes[:, axis], boxes[:, axis + 2], size) / step[:, None] + 0.5 for axis in (1, 0)
        )  # [N, size], on the rimmed level
        inside = tf.logical_and(_is_within(y, height)[:, :, None], _is_within(x, width)[:, None])
        rows, columns = tf.floor(y), tf.floor(x)
        down, right = (y - rows)[:, :, None, None], (x - columns)[:, None, :, None]

        def corner(below: int, beside: int) -> tf.Tensor:
            row = _clipped(tf.cast(rows, tf.int32) + below, height)
            column = _clipped(tf.cast(columns, tf.int32) + beside, width)
            places = start[:, None, None] + row[:, :, None] * width[:, None, None] + column[:, None]
            return tf.gather(self._table, places)

        top = corner(0, 0) * (1 - right) + corner(0, 1) * right
        bottom = corner(1, 0) * (1 - right) + corner(1, 1) * right
        return (top * (1 - down) + bottom * down) * tf.cast(inside, tf.float32)[..., None]


def _samples(first: tf.Tensor, last: tf.Tensor, size: int) -> tf.Tensor:
    """Centres of `size` equal parts between two sides, [N, size], in pixels less a half."""
    fractions = (np.arange(size, dtype=np.float32) + 0.5) / size
    return first[:, None] + (last - first)[:, None] * fractions


def _is_within(places: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    return tf.logical_and(places >= 0, places <= tf.cast(length - 1, tf.float32)[:, None])


def _clipped(places: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    return tf.minimum(tf.maximum(places, 0), length[:, None] - 1)


def _mip_levels(image: tf.Tensor) -> list[tf.Tensor]:
    """`graph_crops.mip_levels` of an image of known size."""
    levels = [image]
    while len(levels) < array_crops.NUM_MIP_LEVELS:
        levels.append(tf.nn.avg_pool2d(levels[-1][None], 2, 2, "SAME")[0])
    return levels


def _in_batches(compute: Callable[[tf.Tensor], tf.Tensor], rows: tf.Tensor, count: tf.Tensor, width: int) -> tf.Tensor:
    """`compute` of the first `count` rows of [N, D], some at a time: [N, width]; what comes after is of no meaning.

    Eagerly, where the number is known, it sees these rows and no others: what `quantization` observes are crops alone.
    """
    num_rows = rows.shape[0]
    if tf.executing_eagerly():
        said = compute(rows[:count]) if count > 0 else tf.zeros([0, width])
        return tf.pad(said, [[0, num_rows - len(said)], [0, 0]])
    rows = tf.pad(rows, [[0, -num_rows % _BATCH], [0, 0]])
    length, num_batches = rows.shape[0], (count + _BATCH - 1) // _BATCH

    def add(i, done):
        said = compute(tf.slice(rows, tf.stack([i * _BATCH, 0]), [_BATCH, rows.shape[1]]))
        return i + 1, tf.concat([done[_BATCH:], said], axis=0)  # what is done moves up

    _, done = tf.while_loop(lambda i, _: i < num_batches, add, (tf.constant(0), tf.zeros([length, width])))
    places = tf.range(length) + (length - num_batches * _BATCH)
    return tf.gather(done, tf.minimum(places, length - 1))[:num_rows]


def _has_area(boxes: tf.Tensor) -> tf.Tensor:
    return tf.logical_and(boxes[:, 2] > boxes[:, 0], boxes[:, 3] > boxes[:, 1])


def _logit(probability: float) -> float:
    """`first_stages.logit` within what a runtime's numbers hold."""
    return float(np.clip(np.log(max(probability, 1e-9)) - np.log1p(-min(probability, 1 - 1e-7)), _NEVER / 2, -_NEVER))


def _scales(image_size: tuple[int, int], min_face_size: float, its_anchors: anchors.Anchors) -> list[float]:
    """The scales at which the RPN looks; see `first_stages.OneLook`."""
    size, shorter_side = float(stages.RPN.size), min(image_size)
    wanted = size / min_face_size
    first = min(max(wanted, size / shorter_side), max(wanted, 1.0))
    if shorter_side * first < size * (1 - 1e-4):
        raise ValueError(f"expected images in which a face of {min_face_size:g} pixels fits, got {image_size}")
    largest = first_stages.MAX_GROWTH * its_anchors.sizes[-1]
    more = math.ceil(math.log(shorter_side * first / largest) / math.log(first_stages.LOOK_AGAIN))
    return [first / first_stages.LOOK_AGAIN**i for i in range(1 + max(more, 0))]
