import hypothesis
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtcnn_tf.geometry import boxes


@st.composite
def some_boxes(draw, count=None):
    num = count or draw(st.integers(1, 6))
    values = st.floats(-100, 100, width=32)
    corners = draw(hnp.arrays(np.float32, (num, 2), elements=values))
    sides = draw(hnp.arrays(np.float32, (num, 2), elements=st.floats(1, 100, width=32)))
    return np.concatenate([corners, corners + sides], axis=1)


def pixels(box):
    """The set of pixels of a box with whole corners: the definition of area, in the slowest way."""
    x1, y1, x2, y2 = (int(value) for value in box)
    return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}


def test_iou_and_overlap_count_pixels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (30, 2))
    many = np.concatenate([corners, corners + rng.integers(1, 12, (30, 2))], axis=1).astype(np.float32)
    for a in many[:8]:
        for b in many:
            shared = len(pixels(a) & pixels(b))
            np.testing.assert_allclose(boxes.iou(a[None], b[None]), shared / len(pixels(a) | pixels(b)), rtol=1e-6)
            smaller = min(len(pixels(a)), len(pixels(b)))
            np.testing.assert_allclose(boxes.overlap(a[None], b[None]), shared / smaller, rtol=1e-6)


@hypothesis.given(some_boxes(), some_boxes())
def test_iou_laws(a, b):
    iou = boxes.iou(a, b)
    assert iou.shape == (len(a), len(b))
    assert (iou >= 0).all() and (iou <= 1 + 1e-5).all()
    np.testing.assert_allclose(iou, boxes.iou(b, a).T, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(boxes.iou(a, a)), 1, atol=1e-4)
    np.testing.assert_allclose(boxes.paired_iou(a, a[::-1]), np.diagonal(boxes.iou(a, a[::-1])), atol=1e-6)
    assert (boxes.overlap(a, b) >= iou - 1e-5).all()


def test_a_box_without_area_overlaps_nothing():
    flat = np.array([[3, 3, 3, 8]], np.float32)
    assert boxes.iou(flat, flat) == 0
    assert boxes.overlap(flat, np.array([[0, 0, 9, 9]], np.float32)) == 0
    assert boxes.iou(np.zeros((0, 4), np.float32), flat).shape == (0, 1)


@hypothesis.given(some_boxes(3), some_boxes(3))
def test_decode_inverts_encode(a, faces):
    np.testing.assert_allclose(boxes.decode(a, boxes.encode(a, faces)), faces, atol=1e-2)
    assert not boxes.encode(a, a).any()


@hypothesis.given(some_boxes(4))
def test_points_round_trip_and_unit_square(a):
    points = np.random.default_rng(0).uniform(-100, 100, (4, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(boxes.decode_points(a, boxes.encode_points(a, points)), points, atol=1e-2)
    np.testing.assert_allclose(boxes.encode_points(a, a.reshape(4, 2, 2)), [[[0, 0], [1, 1]]] * 4, atol=1e-5)


@hypothesis.given(some_boxes())
def test_square_is_the_smallest_square_round_the_same_centre(a):
    squares = boxes.square(a)
    sides = squares[:, 2:] - squares[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], rtol=1e-3)
    np.testing.assert_allclose(sides[:, 0], (a[:, 2:] - a[:, :2]).max(axis=1), rtol=1e-3)
    np.testing.assert_allclose(squares[:, :2] + squares[:, 2:], a[:, :2] + a[:, 2:], atol=1e-2)
    np.testing.assert_allclose(boxes.overlap(a, squares).diagonal(), 1, atol=1e-3)


def test_clip():
    clipped = boxes.clip(np.array([[-5, -5, 5, 5], [90, 40, 130, 70]], np.float32), 100, 60)
    np.testing.assert_array_equal(clipped, [[0, 0, 5, 5], [90, 40, 100, 60]])


def test_a_turned_box_frames_the_turned_ellipse():
    around = np.linspace(0, 2 * np.pi, 3601)
    box = np.array([[10, 20, 40, 70]], np.float32)
    ellipse = np.stack([15 * np.cos(around), 25 * np.sin(around)])
    for angle in (0, 0.3, -0.3, 1.2, np.pi / 2, np.pi):
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ ellipse
        frame = np.concatenate([turned.min(axis=1), turned.max(axis=1)]) + [25, 45, 25, 45]
        np.testing.assert_allclose(boxes.rotate(box, np.array([angle]))[0], frame, atol=1e-3)
