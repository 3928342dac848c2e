"""The labels of anchors against loops over anchors and boxes, and the laws that they keep."""

import itertools

import numpy as np
import pytest
from keras import ops

from mtcnn_tf.geometry import anchor_labels, anchors

SIZE = 96
ANCHORS = anchors.Anchors((12.0, 24.0, 48.0, 90.0, 150.0))  # on all three strides
RULES = anchor_labels.Rules()


def assign(boxes, face_mask=None, is_complete=True, rules=RULES, xp=np, size=SIZE, its_anchors=ANCHORS):
    """Labels and boxes of one window with these boxes [M, 4]."""
    boxes = np.asarray(boxes, np.float32).reshape(1, -1, 4)
    face_mask = np.ones(boxes.shape[:2], bool) if face_mask is None else np.asarray(face_mask, bool)[None]
    known = [boxes, face_mask, np.array([is_complete])]
    if xp is ops:
        known = [ops.convert_to_tensor(values) for values in known]
    labels, true_boxes = anchor_labels.assign(xp, its_anchors, size, *known, rules)
    return np.asarray(labels)[0], np.asarray(true_boxes)[0]


def intersection(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def area(a):
    return max(a[2] - a[0], 0.0) * max(a[3] - a[1], 0.0)


def iou(a, b):
    return intersection(a, b) / (area(a) + area(b) - intersection(a, b))


def square_of(box):
    x, y, half = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, max(box[2] - box[0], box[3] - box[1]) / 2
    return (x - half, y - half, x + half, y + half)


def oracle(boxes, face_mask, is_complete, rules, size=SIZE, its_anchors=ANCHORS):
    """By the rules as their module states them, anchor by anchor; −2 where float32 may decide otherwise."""
    boxes = [tuple(map(float, box)) for box in boxes]
    learnt = []
    for box, is_face in zip(boxes, face_mask, strict=True):
        longer = max(box[2] - box[0], box[3] - box[1])
        visible = intersection(box, (0, 0, size, size)) / max(area(box), 1e-9)
        is_of_size = rules.min_face_size <= longer <= rules.max_face_size
        learnt.append(bool(is_face and is_of_size and visible > rules.min_visible))
    all_anchors = [tuple(map(float, anchor)) for anchor in its_anchors.boxes(size, size)]
    overlaps = [
        [
            iou(anchor, square_of(box) if rules.overlap == "square" else box) if is_learnt else 0.0
            for anchor in all_anchors
        ]
        for box, is_learnt in zip(boxes, learnt, strict=True)
    ]
    least = [sorted(of_box, reverse=True)[min(rules.num_nearest, len(of_box)) - 1] for of_box in overlaps]
    labels, faces = [], []
    for k, anchor in enumerate(all_anchors):
        best = max(range(len(boxes)), key=lambda i, k=k: overlaps[i][k])
        near = [i for i in range(len(boxes)) if overlaps[i][k] >= least[i] and overlaps[i][k] > rules.nearest_iou]
        is_close_call = any(
            abs(overlaps[i][k] - limit) < 1e-5
            for i in range(len(boxes))
            for limit in (rules.positive_iou, rules.negative_iou, rules.nearest_iou)
        )
        touches_ignored = any(
            intersection(anchor, box) / area(anchor) > 0.25 or iou(anchor, box) > 0.2
            for box, is_learnt in zip(boxes, learnt, strict=True)
            if not is_learnt and area(box) > 0
        )
        if is_close_call:
            labels.append(-2), faces.append(best)
        elif overlaps[best][k] >= rules.positive_iou:
            labels.append(1), faces.append(best)
        elif near:
            labels.append(1), faces.append(max(near, key=lambda i, k=k: overlaps[i][k]))
        else:
            is_negative = overlaps[best][k] < rules.negative_iou and is_complete and not touches_ignored
            labels.append(0 if is_negative else -1), faces.append(best)
    return np.array(labels), np.array(faces)


def some_boxes(seed, count=7):
    """Boxes of many sizes and proportions, some of which reach out of the window, and which of them are faces."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(6), np.log(130), (count, 1))) * rng.uniform(0.6, 1, (count, 2))
    centres = rng.uniform(-5, SIZE + 5, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32), rng.random(
        count
    ) < 0.7


@pytest.mark.parametrize("xp", [np, ops], ids=["numpy", "keras"])
@pytest.mark.parametrize("overlap", ["square", "box"])
def test_labels_are_those_of_brute_force(xp, overlap):
    seen = set()
    for seed in range(6):
        boxes, face_mask = some_boxes(seed)
        rules = anchor_labels.Rules(overlap=overlap, num_nearest=1 + seed % 3, max_face_size=100.0)
        is_complete = bool(seed % 4)
        labels, true_boxes = assign(boxes, face_mask, is_complete, rules, xp)
        expected, of_faces = oracle(boxes, face_mask, is_complete, rules)
        sure = expected != -2
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(labels[sure], expected[sure])
        positive = sure & (labels == 1)
        np.testing.assert_array_equal(true_boxes[positive], boxes[of_faces[positive]])
        seen |= set(labels.tolist())
    assert seen == {-1, 0, 1}


def test_a_batch_is_labelled_window_by_window_and_rows_without_an_area_count_for_nothing():
    windows = [some_boxes(seed, count) for seed, count in ((1, 2), (2, 5), (3, 1))]
    boxes, face_mask = np.zeros((3, 9, 4), np.float32), np.zeros((3, 9), bool)
    for row, (of_window, is_face) in enumerate(windows):
        boxes[row, : len(of_window)], face_mask[row, : len(of_window)] = of_window, is_face
    complete_mask = np.array([True, False, True])
    for xp in (np, ops):
        labels, true_boxes = anchor_labels.assign(xp, ANCHORS, SIZE, boxes, face_mask, complete_mask, RULES)
        for row, (of_window, is_face) in enumerate(windows):
            alone, boxes_alone = assign(of_window, is_face, complete_mask[row])
            np.testing.assert_array_equal(np.asarray(labels)[row], alone)
            positive = alone == 1
            np.testing.assert_array_equal(np.asarray(true_boxes)[row][positive], boxes_alone[positive])


def in_grid(values, size=SIZE, its_anchors=ANCHORS):
    """Values of all anchors as arrays [rows, columns, K, …], one for each stride."""
    parts = []
    for stride, sizes in its_anchors.by_stride().items():
        count = (size // stride) ** 2 * len(sizes)
        parts.append(values[:count].reshape(size // stride, size // stride, len(sizes), *values.shape[1:]))
        values = values[count:]
    assert not len(values)
    return parts


@pytest.mark.parametrize("seed", range(4))
def test_mirrored_boxes_have_mirrored_labels(seed):
    boxes, face_mask = some_boxes(seed)
    boxes = np.round(boxes)  # no number is rounded on its way into the mirror
    mirrored = np.stack([SIZE - boxes[:, 2], boxes[:, 1], SIZE - boxes[:, 0], boxes[:, 3]], axis=1)
    labels, mirrored_labels = (in_grid(assign(x, face_mask)[0]) for x in (boxes, mirrored))
    for here, there in zip(labels, mirrored_labels, strict=True):
        np.testing.assert_array_equal(here, there[:, ::-1])


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_boxes_does_not_matter(seed):
    boxes, face_mask = some_boxes(seed)
    order = np.random.default_rng(seed).permutation(len(boxes))
    labels, true_boxes = assign(boxes, face_mask)
    again, boxes_again = assign(boxes[order], face_mask[order])
    np.testing.assert_array_equal(labels, again)
    np.testing.assert_array_equal(true_boxes[labels == 1], boxes_again[labels == 1])


@pytest.mark.parametrize("seed", range(4))
def test_one_more_ignored_region_only_takes_negatives_away(seed):
    boxes, face_mask = some_boxes(seed, 3)
    region = np.float32([[10, 30, 80, 90]])
    labels, true_boxes = assign(boxes, face_mask)
    fewer, boxes_then = assign(np.concatenate([boxes, region]), np.append(face_mask, False))
    changed = labels != fewer
    assert changed.any() and set(labels[changed]) == {0} and set(fewer[changed]) == {-1}
    np.testing.assert_array_equal(true_boxes[labels == 1], boxes_then[labels == 1])


def test_a_face_between_the_anchors_gets_its_three_nearest():
    face = np.float32([[40 - 9, 40 - 9, 40 + 9, 40 + 9]])  # of 18 pixels, in the corner of four cells of 8
    labels, true_boxes = assign(face)
    overlaps = [iou(anchor, face[0]) for anchor in ANCHORS.boxes(SIZE, SIZE).astype(float)]
    assert max(overlaps) < RULES.positive_iou
    # Four anchors share the third place here: all of them are taken.
    assert np.flatnonzero(labels == 1).tolist() == np.flatnonzero(np.isclose(overlaps, max(overlaps))).tolist()
    np.testing.assert_array_equal(true_boxes[labels == 1], np.repeat(face, 4, axis=0))
    moved = face + np.float32([1.5, 0.7, 1.5, 0.7])
    overlaps = [iou(anchor, moved[0]) for anchor in ANCHORS.boxes(SIZE, SIZE).astype(float)]
    chosen = np.flatnonzero(assign(moved)[0] == 1)
    assert sorted(chosen) == sorted(np.argsort(overlaps)[-3:]) and min(np.array(overlaps)[chosen]) > RULES.nearest_iou
    none = anchor_labels.Rules(num_nearest=1, nearest_iou=0.5)
    assert not np.any(assign(face, rules=none)[0] == 1)


@pytest.mark.parametrize(
    "box",
    [(40, 40, 49, 48), (10, 10, 86, 86), (-40, 20, 20, 80), (60, -70, 90, 10)],
    ids=["too small", "too large", "to the left", "above"],
)
def test_faces_that_are_not_learnt_from_are_neither_face_nor_background(box):
    rules = anchor_labels.Rules(max_face_size=75.0)
    labels, _ = assign([box], rules=rules)
    as_ignored, _ = assign([box], [False], rules=rules)
    np.testing.assert_array_equal(labels, as_ignored)
    boxes = ANCHORS.boxes(SIZE, SIZE).astype(float)
    overlaps = np.array([iou(anchor, box) for anchor in boxes])
    covered = np.array([intersection(anchor, box) / area(anchor) for anchor in boxes])
    assert not np.any(labels == 1) and np.any(labels == -1) and np.any(labels == 0)
    assert not np.any(labels[(covered > 0.25) | (overlaps > 0.2)] == 0)


def test_a_window_whose_faces_are_not_all_known_has_no_negatives():
    boxes, face_mask = some_boxes(5)
    known, unknown = (assign(boxes, face_mask, is_complete)[0] for is_complete in (True, False))
    np.testing.assert_array_equal(np.where(known == 0, -1, known), unknown)
    assert np.any(known == 0) and np.any(known == 1)


@pytest.mark.parametrize("xp", [np, ops], ids=["numpy", "keras"])
def test_without_boxes_all_is_background(xp):
    assert np.all(assign(np.zeros((3, 4)), np.zeros(3), xp=xp)[0] == 0)
    assert np.all(assign(np.zeros((3, 4)), np.zeros(3), is_complete=False, xp=xp)[0] == -1)


@pytest.mark.parametrize("xp", [np, ops], ids=["numpy", "keras"])
@pytest.mark.parametrize("sizes", [(24.0,), (150.0,), (12.0, 150.0)])
def test_the_smallest_window_and_a_single_anchor_are_enough(xp, sizes):
    """On a coarse grid such a window has fewer anchors than a face is to get."""
    its_anchors = anchors.Anchors(sizes)
    box, rules = [[2.0, 3.0, 29.0, 31.0]], anchor_labels.Rules(nearest_iou=0.01)
    labels, _ = assign(box, xp=xp, size=32, its_anchors=its_anchors, rules=rules)
    expected, _ = oracle(box, [True], True, rules, 32, its_anchors)
    np.testing.assert_array_equal(labels, expected)
    assert np.sum(labels == 1) >= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"positive_iou": 0.3},
        {"negative_iou": 0.0},
        {"negative_iou": np.nan},
        {"nearest_iou": 0.6},
        {"positive_iou": 1.1},
        {"overlap": "circle"},
    ],
)
def test_rules_that_contradict_each_other_are_refused(changes):
    with pytest.raises(ValueError, match="expected 0 < negative_iou|overlap must be square or box") as error:
        anchor_labels.Rules(**changes)
    assert "\n" not in str(error.value)


def test_anchors_come_in_the_order_of_their_boxes():
    """A face that is an anchor's very square, for some of each grid: that anchor is positive, and told of it."""
    boxes = ANCHORS.boxes(SIZE, SIZE)
    inside = np.flatnonzero(((boxes >= 0) & (boxes <= SIZE)).all(axis=1))
    for index in itertools.chain(inside[::40], inside[-4:]):
        labels, true_boxes = assign(boxes[index : index + 1])
        assert labels[index] == 1
        np.testing.assert_array_equal(true_boxes[index], boxes[index])
