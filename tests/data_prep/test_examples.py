import dataclasses

import drawn_faces
import numpy as np
import pytest

from data_prep import examples, labels, recipes
from mtcnn_tf import faces, kinds, landmark_sets, stages
from mtcnn_tf.geometry import boxes
from mtcnn_tf.records import crop_records

FACE = np.array([drawn_faces.FACE], np.float32)
POINTS = np.array([[[45, 51], [75, 51], [60, 62], [48, 78], [72, 78]]], np.float32)
ANNOTATION = faces.Annotation("a.png", FACE, POINTS)
IMAGE = drawn_faces.draw_image(0)
RECIPE = recipes.Recipe()


def of_image(annotation=ANNOTATION, stage=stages.PNET, recipe=RECIPE, seed=0, propose=None, image=IMAGE):
    return examples.of_image(image, annotation, stage, recipe, np.random.default_rng(seed), propose)


def test_counts_of_the_published_recipe():
    counts = crop_records.num_per_kind(of_image())
    assert 50 <= counts["negative"] <= 55
    assert counts["positive"] > 0 and counts["part"] > 0 and counts["positive"] + counts["part"] <= 20
    assert 0 < counts["landmark"] <= 20


def test_same_seed_same_examples():
    for name in ("images", "kinds", "offsets", "landmarks"):
        np.testing.assert_array_equal(getattr(of_image(), name), getattr(of_image(), name))
    assert not np.array_equal(of_image().offsets, of_image(seed=1).offsets)


def test_kinds_carry_the_targets_that_count_for_them():
    found = of_image()
    assert found.images.shape[1:] == (12, 12, 3) and found.images.dtype == np.uint8
    assert found.offsets[np.isin(found.kinds, kinds.WITH_OFFSETS)].any(axis=1).all()
    assert not found.offsets[~np.isin(found.kinds, kinds.WITH_OFFSETS)].any()
    assert found.landmarks[found.kinds == kinds.LANDMARK].all()
    assert not found.landmarks[found.kinds != kinds.LANDMARK].any()
    landmarks = found.landmarks[found.kinds == kinds.LANDMARK]
    assert (landmarks >= 0).all() and (landmarks <= 1).all()


def ramp_image():
    """Red tells x and green tells y, so that a crop tells where it was cut."""
    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    return np.stack([x, y, np.zeros_like(x)], axis=-1).round().astype(np.uint8)


def box_of(crop):
    """Where a crop of the ramp image was cut, from its colours."""
    x, y = crop[..., 0].astype(float), crop[..., 1].astype(float)
    step = (x[:, -1] - x[:, 0]).mean() / (crop.shape[1] - 1)
    return np.array([x[:, 0].mean(), y[0].mean(), x[:, -1].mean(), y[-1].mean()]) + step / 2 * np.array([-1, -1, 1, 1])


def test_offsets_lead_from_where_the_crop_was_cut_to_the_face():
    recipe = dataclasses.replace(RECIPE, max_rotation=0)
    found = of_image(image=ramp_image(), stage=stages.ONET, recipe=recipe)
    for row in np.flatnonzero(np.isin(found.kinds, kinds.WITH_OFFSETS)):
        box = box_of(found.images[row])
        np.testing.assert_allclose(boxes.decode(box[None], found.offsets[row : row + 1]), FACE, atol=2.5)


def test_turned_faces_are_framed_by_their_offsets():
    """A bright ellipse in the dark fills its box; the offsets must frame it in every crop, however that is turned."""
    left, top, right, bottom = FACE[0]
    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    from_centre = ((x - (left + right) / 2) * 2 / (right - left), (y - (top + bottom) / 2) * 2 / (bottom - top))
    image = np.repeat((np.hypot(*from_centre) <= 1)[:, :, None] * np.uint8(255), 3, axis=2)
    recipe = dataclasses.replace(RECIPE, max_rotation=40, trials_per_face=60, landmark_trials_per_face=0)
    found = of_image(image=image, stage=stages.ONET, recipe=recipe)
    assert len(found) > 30 and np.isin(found.kinds, kinds.WITH_OFFSETS).all()
    for crop, offsets in zip(found.images[..., 0], found.offsets, strict=True):
        rows, columns = np.nonzero(crop > 127)
        seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        framed = boxes.decode(np.array([0, 0, 48, 48]), offsets)
        np.testing.assert_allclose(seen, np.clip(framed, 0, 48), atol=1.6)


def test_half_of_the_negatives_are_rotated_round_their_middle():
    """The ramp image tells by which angle: upright, red does not change from one row of a crop to the next."""
    recipe = dataclasses.replace(RECIPE, max_rotation=40, negatives=300)
    found = of_image(image=ramp_image(), stage=stages.PNET, recipe=recipe)
    crops = found.images[found.kinds == kinds.NEGATIVE].astype(float)
    inner = crops[:, 3:9, 3:9, 0]  # a corner may be beyond the image
    along, down = (np.diff(inner, axis=axis).mean(axis=(1, 2)) for axis in (2, 1))
    angles = np.abs(np.rad2deg(np.arctan2(down, along)))
    assert 0.4 < np.mean(angles > 0) < 0.6 and 30 < angles.max() < 46


def test_landmarks_lie_on_what_they_name_after_rotation_and_mirroring():
    """Each point of the ramp image has the colours of its own place, wherever the crop takes it."""
    found = of_image(image=ramp_image(), stage=stages.ONET, recipe=dataclasses.replace(RECIPE, max_rotation=20))
    rows = np.flatnonzero(found.kinds == kinds.LANDMARK)
    assert len(rows) > 2
    mirrored = 0
    for crop, points in zip(found.images[rows], found.landmarks[rows].reshape(-1, 5, 2), strict=True):
        pixels = np.clip((points * 48).astype(int), 0, 47)
        seen = crop[pixels[:, 1], pixels[:, 0], :2].astype(float)
        is_mirrored = crop[:, -1, 0].mean() < crop[:, 0, 0].mean()
        mirrored += is_mirrored
        expected = POINTS[0][list(landmark_sets.FIVE.mirror_order)] if is_mirrored else POINTS[0]
        np.testing.assert_allclose(seen, expected, atol=3)
    assert 0 < mirrored < len(rows)


def test_other_points_are_cut_and_mirrored_likewise():
    three = landmark_sets.LandmarkSet(3, ((0, 2),))
    annotation = faces.Annotation("a.png", FACE, POINTS[:, [0, 2, 1]])
    recipe = dataclasses.replace(RECIPE, landmark_set=three)
    found = of_image(annotation, stages.ONET, recipe, image=ramp_image())
    assert found.landmarks.shape == (len(found), 6)
    rows = np.flatnonzero(found.kinds == kinds.LANDMARK)
    assert len(rows) > 2
    for crop, points in zip(found.images[rows], found.landmarks[rows].reshape(-1, 3, 2), strict=True):
        pixels = np.clip((points * 48).astype(int), 0, 47)
        order = [1, 2, 0] if crop[:, -1, 0].mean() < crop[:, 0, 0].mean() else [0, 2, 1]
        np.testing.assert_allclose(crop[pixels[:, 1], pixels[:, 0], :2].astype(float), POINTS[0][order], atol=3)


def test_faces_with_unknown_points_give_no_landmark_crops():
    points = POINTS.copy()
    points[0, 2] = np.nan
    assert crop_records.num_per_kind(of_image(faces.Annotation("a.png", FACE, points)))["landmark"] == 0


def test_small_faces_give_only_negatives():
    recipe = dataclasses.replace(RECIPE, rules=labels.Rules(min_face_size=61))
    counts = crop_records.num_per_kind(of_image(recipe=recipe))
    assert counts["negative"] >= 50 and counts["positive"] == counts["part"] == counts["landmark"] == 0


def test_incomplete_images_give_no_negatives():
    counts = crop_records.num_per_kind(of_image(dataclasses.replace(ANNOTATION, is_complete=False)))
    assert counts["negative"] == 0 and counts["positive"] > 0


@pytest.mark.parametrize("stage", [stages.RNET, stages.ONET])
def test_mined_examples_come_from_the_proposals(stage):
    def propose(_):
        background = np.tile(np.array([[100, 10, 120, 50]], np.float32), (80, 1))
        proposed = np.concatenate([background, FACE, FACE + 12])
        return proposed, np.ones(len(proposed), np.float32)

    recipe = dataclasses.replace(RECIPE, trials_per_face=0, landmark_trials_per_face=0)
    found = of_image(stage=stage, recipe=recipe, propose=propose)
    assert crop_records.num_per_kind(found) == {"negative": 60, "positive": 1, "part": 1, "landmark": 0}
    assert found.images.shape[1:] == (stage.size, stage.size, 3)
    square = boxes.square(FACE)
    np.testing.assert_allclose(boxes.decode(square, found.offsets[found.kinds == kinds.POSITIVE]), FACE, atol=1e-3)


def test_scales_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="min_scale of at most max_scale, got 2 and 1.25"):
        recipes.Recipe(min_scale=2)


def test_no_proposals_at_all():
    recipe = dataclasses.replace(RECIPE, trials_per_face=0)
    nothing = faces.no_boxes(), np.zeros(0, np.float32)
    found = of_image(faces.Annotation("a.png"), stages.RNET, recipe, propose=lambda _: nothing)
    assert len(found) == 0


@pytest.mark.parametrize("size", [(1, 1), (13, 400)])
def test_tiny_images_give_what_they_can(size):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    assert len(of_image(faces.Annotation("a.png"), image=image)) == 0


def test_boxes_are_fitted_to_the_image():
    half, gone, fine = [-30, 10, 30, 70], [500, 10, 560, 70], list(drawn_faces.FACE)
    most_gone = [-50, 10, 10, 70]
    annotation = faces.Annotation("a.png", [half, gone, fine, most_gone], ignored=[[150, 100, 300, 300]])
    fitted, problems = examples.fit_to_image(annotation, 160, 120)
    np.testing.assert_array_equal(fitted.boxes, [[0, 10, 30, 70], fine])
    np.testing.assert_array_equal(fitted.ignored, [[150, 100, 160, 120], [0, 10, 10, 70]])
    assert [problem.what for problem in problems] == ["box outside the image"] * 3


@pytest.mark.parametrize("ignored", [False, True])
def test_a_face_of_which_nothing_lies_in_the_image_may_be_anywhere_in_it(ignored):
    half, gone = [-10, 10, 10, 70], [160, 10, 220, 70]
    for box, is_complete in ((half, True), (gone, False)):
        boxes = {"ignored" if ignored else "boxes": [box]}
        fitted, _ = examples.fit_to_image(faces.Annotation("a.png", **boxes), 160, 120)
        assert fitted.is_complete == is_complete
