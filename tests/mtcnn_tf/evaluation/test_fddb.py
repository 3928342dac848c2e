import dataclasses

import numpy as np
import PIL.Image
import pytest

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import fddb as ellipse_lists
from mtcnn_tf.evaluation import fddb

SIZE = (200, 100)


def detections(boxes, scores):
    return faces.Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), faces.no_landmarks(len(scores))
    )


def image(*ellipses):
    return ellipse_lists.Image("a.jpg", np.array(ellipses, float).reshape(-1, 5), True)


def circle(x, y, radius):
    return [radius, radius, 0, x, y]


def box_round(x, y, radius):
    return [x - radius, y - radius, x + radius, y + radius]


@pytest.mark.parametrize(
    ("box", "ellipse", "expected"),
    [
        (box_round(50, 50, 20), circle(50, 50, 20), np.pi / 4),
        (box_round(50, 50, 10), circle(50, 50, 30), 4 / (9 * np.pi)),  # the box lies within
        (box_round(50, 50, 30), circle(50, 50, 10), np.pi / 36),  # the circle lies within
        ([50, 0, 200, 100], circle(50, 50, 40), 800 * np.pi / (15_000 + 800 * np.pi)),  # cuts it in half
        ([100, 20, 120, 40], circle(50, 50, 30), 0),
        ([0, 30, 20, 70], circle(0, 50, 20), 200 * np.pi / 800),  # half of the circle is outside of the image
        ([-20, 30, 20, 70], circle(0, 50, 20), 200 * np.pi / 800),  # and half of the box, too
        ([-50, 0, -10, 9], circle(-50, 50, 20), 0),
        ([50, 50, 50, 50], circle(50, 50, 20), 0),
        ([60, 40, 140, 60], [40, 10, np.pi, 100, 50], np.pi / 4),
        ([90, 10, 110, 90], [40, 10, -np.pi / 2, 100, 50], np.pi / 4),
    ],
)
def test_iou_by_hand(box, ellipse, expected):
    iou = fddb.iou(np.array([box], np.float32), np.array([ellipse], float), SIZE)
    np.testing.assert_allclose(iou, [[expected]], atol=1e-6)


def test_iou_of_drawn_regions():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:400, 0:800] / 4 + 0.125  # four times as fine as the image
    low = rng.uniform([-20, -20], [180, 80], (8, 2))
    rectangles = np.concatenate([low, low + rng.uniform(30, 120, (8, 2))], axis=1).astype(np.float32)
    radii, turns, centres = rng.uniform(10, 60, (8, 2)), rng.uniform(-7, 7, (8, 1)), rng.uniform(0, SIZE, (8, 2))
    ellipses = np.concatenate([radii, turns, centres], axis=1)
    expected = np.zeros((8, 8))
    for row, (x1, y1, x2, y2) in enumerate(rectangles):
        in_box = (x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)
        for column, (major, minor, angle, cx, cy) in enumerate(ellipses):
            along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
            across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
            in_ellipse = (along / major) ** 2 + (across / minor) ** 2 <= 1
            expected[row, column] = np.sum(in_box & in_ellipse) / np.sum(in_box | in_ellipse)
    np.testing.assert_allclose(fddb.iou(rectangles, ellipses, SIZE), expected, atol=4e-3)
    assert (expected > 0.1).sum() > 5


def test_iou_is_that_of_the_reader_s_box():
    """The angle turns the same way for ellipses as for the boxes round them."""
    ellipse = np.array([[40, 15, 0.5, 100, 50]])
    within = np.array([[120.0, 55, 130, 65], [120, 35, 130, 45]], np.float32)  # below right, above right
    below, above = fddb.iou(within, ellipse, SIZE)[:, 0]
    assert below > 0.03 and above == pytest.approx(0, abs=1e-9)


def test_match_is_optimal_not_greedy():
    # Alone, the first detection takes the first face. With the second it is better off with the other face.
    iou = np.array([[0.8, 0.7], [0.6, 0.1], [0.0, 0.0], [0.9, 0.0]])
    discrete, continuous = fddb.match(iou)
    np.testing.assert_array_equal(discrete, [1, 2, 2, 2])
    np.testing.assert_allclose(continuous, [0.8, 1.3, 1.3, 1.6])


def test_half_is_not_enough():
    np.testing.assert_array_equal(fddb.match(np.array([[0.5]])), [[0], [0.5]])
    np.testing.assert_array_equal(fddb.match(np.zeros((2, 0))), np.zeros((2, 2)))


def test_rank_by_hand():
    # A box round a circle has an IoU of π / 4, which is above 0.5: two faces found, one twice, and one box elsewhere.
    images = [image(circle(50, 50, 20), circle(150, 50, 30)), image(circle(100, 50, 20)), image()]
    found = [
        detections([box_round(50, 50, 20), box_round(50, 50, 24), box_round(150, 50, 30)], [0.9, 0.7, 0.5]),
        detections([], []),
        detections([box_round(60, 60, 9)], [0.8]),
    ]
    discrete, continuous = fddb.rank(images, found, [SIZE] * 3)
    np.testing.assert_allclose(discrete.totals(), [[0, 1, 2, 2], [1, 1, 1, 2]])
    np.testing.assert_allclose(continuous.totals(), [[0, 1, 2, 2], np.array([1, 1, 1, 2]) * np.pi / 4], atol=1e-6)
    assert discrete.recall_at(0) == pytest.approx(1 / 3) and discrete.recall_at(2) == pytest.approx(2 / 3)
    assert continuous.recall_at(10) == pytest.approx(np.pi / 6)


def test_order_of_images_and_scale_do_not_matter():
    rng = np.random.default_rng(3)
    images, found = [], []
    for _ in range(6):
        ellipses = np.stack([[30, 20, rng.uniform(0, 3), *rng.uniform(20, 80, 2)] for _ in range(3)])
        centres = ellipses[rng.integers(0, 3, 5), 3:] + rng.normal(0, 12, (5, 2))
        images.append(image(*ellipses))
        boxes = np.concatenate([centres - 25, centres + 25], axis=1)
        found.append(detections(boxes, np.sort(rng.integers(0, 9, 5))[::-1] / 9))
    scaled = [image(*(p.ellipses * [2, 2, 1, 2, 2])) for p in images]
    others = [
        (images[::-1], found[::-1], [SIZE] * 6),
        (scaled, [faces.Detections(f.boxes * 2, np.sqrt(f.scores), f.landmarks) for f in found], [(400, 200)] * 6),
    ]
    expected = fddb.report(images, found, [SIZE] * 6).figures
    assert 0 < expected["discrete_score_at_fp_50"] < 1
    for other in others:
        assert fddb.report(*other).figures == pytest.approx(expected, rel=1e-6)


def test_perfect_boxes():
    # Upright, one of them half outside: the boxes round them are perfect; on ellipses no box can be.
    images = [image([30, 20, np.pi / 2, 60, 50], circle(180, 50, 40)), image(circle(50, 50, 20))]
    found = [detections(ellipse_lists.annotate(p).boxes, np.linspace(0.9, 0.8, len(p.ellipses))) for p in images]
    figures = fddb.report(images, found, [SIZE] * 2).figures
    assert figures["num_faces"] == 3
    assert figures["ap"] == figures["discrete_score_at_fp_10"] == pytest.approx(1)
    assert figures["continuous_score_at_fp_10"] == pytest.approx(np.pi / 4, abs=0.02)


def test_image_sizes(tmp_path):
    PIL.Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg")
    whole = ellipse_lists.Image(str(tmp_path / "a.jpg"), np.zeros((0, 5)), True)
    assert fddb.image_sizes([whole]) == [(30, 20)]
    files.as_path("ram://sizes").mkdir()
    files.as_path("ram://sizes/a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    assert fddb.image_sizes([dataclasses.replace(whole, image_path="ram://sizes/a.jpg")]) == [(30, 20)]
