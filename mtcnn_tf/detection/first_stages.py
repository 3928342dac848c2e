"""The first stages of the cascade, in its graph: what proposes boxes where a whole image is looked at.

P-Net looks at a pyramid of scales through windows of 12 pixels (Zhang et al. 2016, section II.A; thresholds of the
non-maximum suppression are those of the authors' released code). The RPN looks once, at the image as P-Net's first
scale has it, and tells of anchors of many sizes (Ren et al. 2015, "Faster R-CNN", section 3.1). Of an image in which a
face may be larger than its anchors it sees a small copy, too.

Both sample from the same mip levels that training crops are cut from, see `graph_crops`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from mtcnn_tf import stages
from mtcnn_tf.geometry import anchors, graph_boxes
from mtcnn_tf.images import array_crops, graph_crops
from mtcnn_tf.models import inference

NMS_PNET_SCALE, NMS_PNET = 0.5, 0.7
"""Largest intersection over union of two windows: of one scale, and of all scales."""
NMS_RPN = 0.6
"""Largest intersection over union of two boxes of the RPN, after their regression."""
MAX_OF_RPN = 1000
"""The RPN's best that many boxes compete in its suppression, where no other number is asked for."""
PNET_STRIDE = 2
MAX_GROWTH = 1.4
"""A face larger than this times the RPN's largest anchor is not found."""
LOOK_AGAIN = 8.0
"""Where larger faces may be, the RPN looks once more at so many times fewer pixels a side, which costs little."""


class Proposals(NamedTuple):
    """Boxes on their way through the cascade, best first."""

    boxes: tf.Tensor
    """float32 [N, 4] in pixels of the image; may reach out of it."""
    logits: tf.Tensor
    """[N], of the last network that has seen them."""
    first_logits: tf.Tensor
    """[N], of the first stage."""


class Pyramid:
    """P-Net as a first stage."""

    def __init__(self, network: inference.Network, max_proposals: int | None, max_proposals_per_scale: int):
        """Holds the network.

        Args:
            network: A P-Net.
            max_proposals: The best that many boxes go on; by default 2,048.
            max_proposals_per_scale: The best that many windows of a scale compete in non-maximum suppression.
        """
        self._network = network
        self.max_proposals = 2048 if max_proposals is None else max_proposals
        self._max_per_scale = max_proposals_per_scale

    def __call__(
        self,
        levels: Callable[[int], tf.Tensor],
        min_face_size: tf.Tensor,
        threshold: tf.Tensor,
        scale_factor: tf.Tensor,
    ) -> Proposals:
        """P-Net's boxes after regression.

        Args:
            levels: k → the k-th of `graph_crops.mip_levels`.
            min_face_size: Of `cascade.Cascade`, as the others.
            threshold: Score to exceed.
            scale_factor: Ratio of neighbouring scales.
        """
        first_scale, num_scales = _scales(tf.shape(levels(0)), min_face_size, scale_factor)

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
        boxes, logits = graph_boxes.drop_empty(graph_boxes.decode(windows, offsets), logits[:, 0])
        return Proposals(boxes, logits, logits)

    def _best(self, windows, logits, scale_factor):
        """The places of the best proposals of all scales, best first."""
        num_best = tf.minimum(self.max_proposals, tf.size(logits))
        # Windows of two scales cannot overlap by more than the ratio of their areas, those of one scale no longer do.
        # Rounding a scale's sides to whole pixels changes that ratio by less than a fifth.
        with tf.name_scope("nms"):
            return tf.cond(
                1.2 * scale_factor**2 < NMS_PNET,
                lambda: tf.math.top_k(logits, num_best).indices,
                lambda: tf.image.non_max_suppression(windows, logits, self.max_proposals, NMS_PNET),
            )

    def _scan(self, levels, scale, threshold):
        """Windows of one scale that look like faces: float32 [N, 9] of window, logit, offsets."""
        pixels, pixel_size = _resize(levels, scale)
        features = self._network.features(pixels[None])[0]
        logits = self._network.logits(features)
        with tf.name_scope("nms"):
            cells = tf.where(logits > logit(threshold))  # [N, 2] of row, column
            logits = tf.gather_nd(logits, cells)
            best = tf.math.top_k(logits, tf.minimum(self._max_per_scale, tf.size(logits)))
            logits, cells = best.values, tf.gather(cells, best.indices)
            corners = tf.cast(cells[:, ::-1] * PNET_STRIDE, tf.float32)
            windows = tf.concat([corners, corners + stages.PNET.size], axis=1)
            # Windows 4 pixels apart have an intersection over union of exactly NMS_PNET_SCALE: only in whole pixels of
            # this scale does rounding not decide which of them stay.
            keep = tf.image.non_max_suppression(windows, logits, self._max_per_scale, NMS_PNET_SCALE)
            windows, logits, cells = (tf.gather(values, keep) for values in (windows, logits, cells))
        offsets = self._network.offsets(tf.gather_nd(features, cells))
        return tf.concat([windows * tf.tile(pixel_size, [2]), logits[:, None], offsets], axis=1)


class OneLook:
    """The RPN as a first stage."""

    def __init__(self, network: inference.RpnNetwork, max_proposals: int | None):
        """Holds the network.

        Args:
            network: An RPN.
            max_proposals: The best that many boxes compete in non-maximum suppression; by default 1,000.
        """
        self._network = network
        self.max_proposals = MAX_OF_RPN if max_proposals is None else max_proposals

    def __call__(
        self,
        levels: Callable[[int], tf.Tensor],
        min_face_size: tf.Tensor,
        threshold: tf.Tensor,
        scale_factor: tf.Tensor,
    ) -> Proposals:
        """The RPN's boxes after regression; see `Pyramid`, whose scale factor is of no use here."""
        first_scale, num_looks = self._looks(tf.shape(levels(0)), min_face_size, scale_factor)

        def add_scale(i, found):
            scale = first_scale / LOOK_AGAIN ** tf.cast(i, tf.float32)
            return i + 1, tf.concat([found, self._detect_at(levels, scale, threshold)], axis=0)

        _, found = tf.while_loop(
            lambda i, _: i < num_looks,
            add_scale,
            (tf.constant(0), tf.zeros([0, 9])),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 9])),
        )
        with tf.name_scope("nms"):
            best = tf.math.top_k(found[:, 4], tf.minimum(self.max_proposals, tf.shape(found)[0]))
            squares, _, offsets = tf.split(tf.gather(found, best.indices), [4, 1, 4], axis=1)
            boxes, logits = graph_boxes.drop_empty(graph_boxes.decode(squares, offsets), best.values)
            keep = tf.image.non_max_suppression(boxes, logits, self.max_proposals, NMS_RPN)
        boxes, logits = tf.gather(boxes, keep), tf.gather(logits, keep)
        return Proposals(boxes, logits, logits)

    def _looks(self, shape, min_face_size, scale_factor):
        """The scale of the first look and the number of looks, each at `LOOK_AGAIN` times fewer pixels a side."""
        scale, num_scales = _scales(shape, min_face_size, scale_factor)
        side = tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * scale
        num_more = tf.math.ceil(
            tf.math.log(side / (MAX_GROWTH * self._network.anchors.sizes[-1])) / math.log(LOOK_AGAIN)
        )
        return scale, tf.where(num_scales > 0, 1 + tf.cast(tf.maximum(num_more, 0.0), tf.int32), 0)

    def _detect_at(self, levels, scale, threshold):
        """Anchors of one look that look like faces: float32 [N, 9] of square, logit, offsets."""
        pixels, pixel_size = _resize(levels, scale)
        missing = -tf.shape(pixels)[:2] % anchors.LARGEST_STRIDE  # black, to the right and below
        pixels = tf.pad(pixels, [[0, missing[0]], [0, missing[1]], [0, 0]])
        logits, offsets = (values[0] for values in self._network(pixels[None]))
        with tf.name_scope("nms"):
            rows = tf.where(logits > logit(threshold))[:, 0]
            best = tf.math.top_k(tf.gather(logits, rows), tf.minimum(self.max_proposals, tf.size(rows)))
            rows = tf.gather(rows, best.indices)
            squares = tf.gather(anchor_boxes(self._network.anchors, tf.shape(pixels)), rows)
            squares *= tf.tile(pixel_size, [2])
        return tf.concat([squares, best.values[:, None], tf.gather(offsets, rows)], axis=1)


def of(
    network: inference.Network | inference.RpnNetwork, max_proposals: int | None, max_proposals_per_scale: int
) -> Pyramid | OneLook:
    """The first stage with this network; see `Pyramid` and `OneLook`."""
    if isinstance(network, inference.RpnNetwork):
        return OneLook(network, max_proposals)
    return Pyramid(network, max_proposals, max_proposals_per_scale)


def anchor_boxes(its_anchors: anchors.Anchors, shape: tf.Tensor) -> tf.Tensor:
    """`anchors.Anchors.boxes` in TensorFlow, for an image of `shape` (H, W, …): float32 [A, 4]."""
    grids = []
    for stride, sizes in its_anchors.by_stride().items():
        y, x = ((tf.range(shape[axis] // stride, dtype=tf.float32) + 0.5) * stride for axis in (0, 1))
        centres = tf.stack(tf.meshgrid(x, y), axis=-1)[:, :, None]  # [rows, columns, 1, 2]
        half = tf.constant(sizes)[:, None] / 2
        grids.append(tf.reshape(tf.concat([centres - half, centres + half], axis=-1), [-1, 4]))
    return tf.concat(grids, axis=0)


def logit(probability: tf.Tensor) -> tf.Tensor:
    """Where the sigmoid is `probability`: minus infinity at 0, infinity at 1."""
    return tf.math.log(probability) - tf.math.log1p(-probability)


def _resize(levels, scale):
    """The image at `scale`, float32 [h, w, 3], and how many pixels of the image one of its covers, [2] in x, y."""
    with tf.name_scope("pyramid"):
        mip_level = graph_crops.nearest_mip_level(1 / scale)
        # A mip level may cover up to 2^k − 1 pixels more than the image: ratios are of what it covers.
        step = tf.bitwise.left_shift(1, mip_level)
        covered = tf.cast((tf.shape(levels(0))[:2] + step - 1) // step * step, tf.float32)
        size = tf.maximum(tf.round(covered * scale), stages.PNET.size)
        pixels = tf.cast(size, tf.int32)
        resize = [lambda k=k: tf.image.resize(levels(k), pixels) for k in range(array_crops.NUM_MIP_LEVELS)]
        return tf.switch_case(mip_level, resize), (covered / size)[::-1]


def _scales(shape, min_face_size, scale_factor):
    """The first scale and the number of scales, each `scale_factor` times the one before, that P-Net scans."""
    size = float(stages.PNET.size)
    shorter_side = tf.cast(tf.minimum(shape[0], shape[1]), tf.float32)
    wanted = size / min_face_size
    first_scale = tf.minimum(tf.maximum(wanted, size / shorter_side), tf.maximum(wanted, 1.0))
    # How often the shorter side can shrink and still be `size` pixels; the small number stands against rounding.
    num_shrinkings = tf.math.log(shorter_side * first_scale / size) / -tf.math.log(scale_factor)
    return first_scale, tf.cast(tf.floor(num_shrinkings + 1e-4), tf.int32) + 1
