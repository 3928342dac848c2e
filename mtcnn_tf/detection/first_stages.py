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
    """Boxes on their way through the cascade, image by image, and of each the best first."""

    boxes: tf.Tensor
    """float32 [N, 4] in pixels of their images; may reach out of them."""
    logits: tf.Tensor
    """[N], of the last network that has seen them."""
    first_logits: tf.Tensor
    """[N], of the first stage."""
    images: tf.Tensor
    """int32 [N], the index of the image of each box."""


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
        shape = tf.shape(levels(0))
        first_scale, num_scales = _scales(shape[1:3], min_face_size, scale_factor)

        def scan(i):
            return self._scan(levels, first_scale * scale_factor ** tf.cast(i, tf.float32), threshold)

        images, windows, logits, offsets = _columns(_at_scales(num_scales, scan))
        with tf.name_scope("nms"):
            rows = graph_boxes.rows_of_each(images, shape[0], self._choice(windows, logits, scale_factor))
        windows, logits, offsets, images = (tf.gather(values, rows) for values in (windows, logits, offsets, images))
        boxes, logits, images = graph_boxes.drop_empty(graph_boxes.decode(windows, offsets), logits, images)
        return Proposals(boxes, logits, logits, images)

    def _choice(self, windows, logits, scale_factor):
        """What chooses the best proposals of all scales among the rows of an image, best first."""
        # Windows of two scales cannot overlap by more than the ratio of their areas, those of one scale no longer do.
        # Rounding a scale's sides to whole pixels changes that ratio by less than a fifth.
        return lambda rows: tf.cond(
            1.2 * scale_factor**2 < NMS_PNET,
            lambda: graph_boxes.best(logits, rows, self.max_proposals),
            lambda: graph_boxes.suppressed(windows, logits, rows, self.max_proposals, NMS_PNET),
        )

    def _scan(self, levels, scale, threshold):
        """Windows of one scale that look like faces: float32 [N, 10], see `_columns`."""
        pixels, pixel_size = _resize(levels, scale)
        features = self._network.features(pixels)
        logits = self._network.logits(features)
        with tf.name_scope("nms"):
            cells = tf.where(logits > logit(threshold))  # [N, 3] of image, row, column
            logits, images = tf.gather_nd(logits, cells), tf.cast(cells[:, 0], tf.int32)
            corners = tf.cast(cells[:, :0:-1] * PNET_STRIDE, tf.float32)
            windows = tf.concat([corners, corners + stages.PNET.size], axis=1)

            def choose(rows):
                # Windows 4 pixels apart have an intersection over union of exactly NMS_PNET_SCALE: only in whole
                # pixels of this scale does rounding not decide which of them stay.
                rows = graph_boxes.best(logits, rows, self._max_per_scale)
                return graph_boxes.suppressed(windows, logits, rows, self._max_per_scale, NMS_PNET_SCALE)

            rows = graph_boxes.rows_of_each(images, tf.shape(pixels)[0], choose)
            windows, logits, cells = (tf.gather(values, rows) for values in (windows, logits, cells))
        offsets = self._network.offsets(tf.gather_nd(features, cells))
        return _found(cells[:, 0], windows * tf.tile(pixel_size, [2]), logits, offsets)


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
        shape = tf.shape(levels(0))
        first_scale, num_looks = self._looks(shape[1:3], min_face_size, scale_factor)

        def look(i):
            return self._look(levels, first_scale / LOOK_AGAIN ** tf.cast(i, tf.float32), threshold)

        images, squares, logits, offsets = _columns(_at_scales(num_looks, look))
        boxes = graph_boxes.decode(squares, offsets)

        def choose(rows):
            rows = graph_boxes.best(logits, rows, self.max_proposals)
            has_area = tf.reduce_all(tf.gather(boxes[:, 2:] > boxes[:, :2], rows), axis=1)
            rows = tf.boolean_mask(rows, has_area)
            return graph_boxes.suppressed(boxes, logits, rows, self.max_proposals, NMS_RPN)

        with tf.name_scope("nms"):
            rows = graph_boxes.rows_of_each(images, shape[0], choose)
        boxes, logits, images = (tf.gather(values, rows) for values in (boxes, logits, images))
        return Proposals(boxes, logits, logits, images)

    def _looks(self, shape, min_face_size, scale_factor):
        """The scale of the first look and the number of looks, each at `LOOK_AGAIN` times fewer pixels a side."""
        scale, num_scales = _scales(shape, min_face_size, scale_factor)
        side = tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * scale
        num_more = tf.math.ceil(
            tf.math.log(side / (MAX_GROWTH * self._network.anchors.sizes[-1])) / math.log(LOOK_AGAIN)
        )
        return scale, tf.where(num_scales > 0, 1 + tf.cast(tf.maximum(num_more, 0.0), tf.int32), 0)

    def _look(self, levels, scale, threshold):
        """Anchors of one look that look like faces: float32 [N, 10], see `_columns`."""
        pixels, pixel_size = _resize(levels, scale)
        missing = -tf.shape(pixels)[1:3] % anchors.LARGEST_STRIDE  # black, to the right and below
        pixels = tf.pad(pixels, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        logits, offsets = self._network(pixels)
        with tf.name_scope("nms"):
            cells = tf.where(logits > logit(threshold))  # [N, 2] of image, anchor
            chances = tf.gather_nd(logits, cells)
            rows = graph_boxes.rows_of_each(
                tf.cast(cells[:, 0], tf.int32),
                tf.shape(pixels)[0],
                lambda rows: graph_boxes.best(chances, rows, self.max_proposals),
            )
            cells = tf.gather(cells, rows)
        squares = anchor_boxes(self._network.anchors, tf.shape(pixels)[1:], tf.cast(cells[:, 1], tf.int32))
        squares *= tf.tile(pixel_size, [2])
        return _found(cells[:, 0], squares, tf.gather(chances, rows), tf.gather_nd(offsets, cells))


def _at_scales(num_scales, detect_at):
    """What `detect_at(i)` finds at all scales, float32 [N, 10]; see `_columns`."""

    def add_scale(i, found):
        return i + 1, tf.concat([found, detect_at(i)], axis=0)

    shapes = (tf.TensorShape([]), tf.TensorShape([None, 10]))
    start = (tf.constant(0), tf.zeros([0, 10]))
    return tf.while_loop(lambda i, _: i < num_scales, add_scale, start, shape_invariants=shapes)[1]


def _found(images, squares, logits, offsets):
    """What is found at one scale, float32 [N, 10]; see `_columns`."""
    return tf.concat([tf.cast(images, tf.float32)[:, None], squares, logits[:, None], offsets], axis=1)


def _columns(found):
    """Index of the image int32 [N], square [N, 4], logit [N] and offsets [N, 4] of what is found, [N, 10]."""
    images, squares, logits, offsets = tf.split(found, [1, 4, 1, 4], axis=1)
    return tf.cast(images[:, 0], tf.int32), squares, logits[:, 0], offsets


def of(
    network: inference.Network | inference.RpnNetwork, max_proposals: int | None, max_proposals_per_scale: int
) -> Pyramid | OneLook:
    """The first stage with this network; see `Pyramid` and `OneLook`."""
    if isinstance(network, inference.RpnNetwork):
        return OneLook(network, max_proposals)
    return Pyramid(network, max_proposals, max_proposals_per_scale)


def anchor_boxes(its_anchors: anchors.Anchors, shape: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """The `rows` [N], int32, of `anchors.Anchors.boxes` for an image of `shape` (H, W, …): float32 [N, 4]."""
    by_stride = its_anchors.by_stride()
    strides, counts = tf.constant(list(by_stride)), tf.constant([len(sizes) for sizes in by_stride.values()])
    columns = shape[1] // strides
    ends = tf.cumsum(shape[0] // strides * columns * counts)
    grid = tf.searchsorted(ends, rows, side="right")
    stride, count, num_columns, start, first_size = (
        tf.gather(values, grid)
        for values in (strides, counts, columns, tf.concat([[0], ends[:-1]], 0), tf.cumsum(counts, exclusive=True))
    )
    cell, place = (rows - start) // count, (rows - start) % count
    cells = tf.cast(tf.stack([cell % num_columns, cell // num_columns], axis=1), tf.float32)
    centres = (cells + 0.5) * tf.cast(stride, tf.float32)[:, None]
    half = tf.gather(tf.constant(its_anchors.sizes), first_size + place)[:, None] / 2
    return tf.concat([centres - half, centres + half], axis=1)


def logit(probability: tf.Tensor) -> tf.Tensor:
    """Where the sigmoid is `probability`: minus infinity at 0, infinity at 1."""
    return tf.math.log(probability) - tf.math.log1p(-probability)


def _resize(levels, scale):
    """The images at `scale`, float32 [B, h, w, 3], and how many pixels of the image one of its covers, [2] in x, y."""
    with tf.name_scope("pyramid"):
        mip_level = graph_crops.nearest_mip_level(1 / scale)
        # A mip level may cover up to 2^k − 1 pixels more than the image: ratios are of what it covers.
        step = tf.bitwise.left_shift(1, mip_level)
        covered = tf.cast((tf.shape(levels(0))[1:3] + step - 1) // step * step, tf.float32)
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
