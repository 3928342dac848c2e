import numpy as np
import pytest

from data_prep import labels
from mtcnn_tf import faces, kinds
from mtcnn_tf.geometry import boxes

FACE = np.array([[100, 100, 200, 200]], np.float32)
RULES = labels.Rules()


def shifted(iou):
    """A box of the face's size that shares `iou` with it: moved by d, the two share (100 − d) of (100 + d)."""
    distance = 100 * (1 - iou) / (1 + iou)
    return FACE + np.array([distance, 0, distance, 0], np.float32)


def label_one(box, annotation, rules=RULES):
    found, offsets = labels.label(box, annotation, rules)
    return found[0], offsets


@pytest.mark.parametrize(
    ("iou", "kind"),
    [
        (1.0, kinds.POSITIVE),
        (0.66, kinds.POSITIVE),
        (0.64, kinds.PART),
        (0.41, kinds.PART),
        (0.39, labels.DROPPED),
        (0.31, labels.DROPPED),
        (0.29, kinds.NEGATIVE),
        (0.0, kinds.NEGATIVE),
    ],
)
def test_kind_follows_iou(iou, kind):
    annotation = faces.Annotation("a.jpg", FACE)
    found, offsets = label_one(shifted(iou), annotation)
    assert found == kind
    if kind in kinds.WITH_OFFSETS:
        np.testing.assert_allclose(boxes.decode(shifted(iou), offsets), FACE, atol=1e-3)
    else:
        assert not offsets.any()


def test_incomplete_images_give_no_negatives():
    annotation = faces.Annotation("a.jpg", FACE, is_complete=False)
    assert label_one(shifted(0.0), annotation)[0] == labels.DROPPED
    assert label_one(shifted(0.9), annotation)[0] == kinds.POSITIVE


def test_small_faces_give_no_positives_and_are_respected_by_negatives():
    annotation = faces.Annotation("a.jpg", FACE)
    rules = labels.Rules(min_face_size=101)
    assert [label_one(shifted(iou), annotation, rules)[0] for iou in (0.9, 0.5, 0.1)] == [
        labels.DROPPED,
        labels.DROPPED,
        kinds.NEGATIVE,
    ]


def test_no_negative_is_cut_inside_or_round_an_ignored_region():
    annotation = faces.Annotation("a.jpg", ignored=FACE)
    within = np.array([[140, 140, 160, 160]], np.float32)  # an IoU of 0.04 only
    beside = np.array([[300, 300, 320, 320]], np.float32)
    assert label_one(within, annotation)[0] == labels.DROPPED
    assert label_one(FACE, annotation)[0] == labels.DROPPED
    assert label_one(beside, annotation)[0] == kinds.NEGATIVE


def test_a_box_belongs_to_the_face_it_shares_most_with():
    two = faces.Annotation("a.jpg", np.concatenate([FACE, FACE + 30]))
    found, offsets = labels.label(FACE + 28, two, RULES)
    assert found[0] == kinds.POSITIVE
    np.testing.assert_allclose(boxes.decode(FACE + 28, offsets), FACE + 30, atol=1e-3)


def test_no_boxes_and_no_faces():
    found, offsets = labels.label(faces.no_boxes(), faces.Annotation("a.jpg", FACE), RULES)
    assert found.shape == (0,) and offsets.shape == (0, 4)
    assert label_one(FACE, faces.Annotation("a.jpg"))[0] == kinds.NEGATIVE


@pytest.mark.parametrize(
    "ious", [(0.65, 0.4, 0.5), (0.3, 0.4, 0.3), (0.65, 0.4, -0.1), (1.1, 0.4, 0.3), (0.65, np.nan, 0.3)]
)
def test_rules_that_contradict_each_other_are_refused(ious):
    with pytest.raises(ValueError, match="negative_iou ≤ part_iou ≤ positive_iou"):
        labels.Rules(*ious)
