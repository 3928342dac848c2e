"""Crops drawn for a step, judged by what is drawn: where the square lies that a crop shows, and what is told of it."""

import dataclasses

import numpy as np
import pytest

from data_prep import crop_sampling, labels, recipes
from mtcnn_tf import kinds, landmark_sets, stages
from mtcnn_tf.geometry import boxes
from mtcnn_tf.images import image_store
from mtcnn_tf.records import image_records
from tests.mtcnn_tf.training import easy_images

STAGE, RECIPE = stages.RNET, recipes.Recipe(max_rotation=20.0)
ROWS = {"negative": 12, "positive": 9, "part": 7, "landmark": 8}
SIZE = STAGE.size
POINTS = np.float32([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])
IGNORED = np.float32([[10, 150, 90, 195]])
TINY = np.float32([[250, 20, 262, 32]])  # annotated, too small to be learnt from


def image(seed, has_face=True, has_proposals=True):
    """One usable face, a tiny one and an ignored region, and what a cascade may propose of them."""
    rng = np.random.default_rng(seed)
    corner, extent = rng.uniform(60, 110, 2), rng.uniform(40, 70, 2)
    face = np.concatenate([corner, corner + extent])[None].astype(np.float32)
    points = (corner + extent * POINTS)[None].astype(np.float32)
    around = face + rng.normal(0, 10, (80, 4))
    anywhere = rng.uniform(0, 160, (120, 2))
    anywhere = np.concatenate([anywhere, anywhere + rng.uniform(10, 90, (120, 1))], axis=1)
    on_others = np.concatenate([np.repeat(TINY, 5, axis=0), np.repeat(IGNORED, 5, axis=0)]) + rng.normal(0, 2, (10, 4))
    proposals = np.concatenate([around, anywhere, on_others]).astype(np.float32)
    unknown = np.full((1, 5, 2), np.nan, np.float32)
    return image_records.ImageRecord(
        encoded=b"",
        height=200,
        width=300,
        path="a/b.jpg",
        boxes=np.concatenate([face, TINY]) if has_face else TINY,
        landmarks=np.concatenate([points, unknown]) if has_face else unknown,
        ignored=IGNORED,
        is_complete=True,
        proposals=proposals if has_proposals else proposals[:0],
        proposal_scores=np.linspace(1, 0, len(proposals) if has_proposals else 0, dtype=np.float32),
    )


IMAGES = [image(seed) for seed in range(5)]


def sampler_of(images=IMAGES, stage=STAGE, recipe=RECIPE, **options):
    store = image_store.ImageStore([(one.height, one.width) for one in images])
    return crop_sampling.Sampler(images, store, stage, recipe, **options)


def drawn_rows(batch, margin=1.0):
    """Of each crop: its image, whether it is mirrored, by which angle it is rotated, its square's middle and side.

    The middle is that in the image as it is, not in the rotated one.
    """
    for index, to_image in zip(batch["image_index"], batch["to_image"].astype(float), strict=True):
        is_mirrored = np.linalg.det(to_image[:, :2]) < 0
        if is_mirrored:
            to_image = to_image @ np.array([[-1, 0, SIZE], [0, 1, 0], [0, 0, 1]])
        pixel = np.hypot(*to_image[:, 0])
        angle = np.arctan2(to_image[0, 1], to_image[0, 0])
        middle = to_image @ np.array([SIZE / 2, SIZE / 2, 1])
        yield IMAGES[index], is_mirrored, angle, middle, pixel * SIZE / margin


def square_and_face(one, angle, middle, side):
    """Both in the image after it has been rotated round the face's middle."""
    face = one.boxes[:1]
    pivot = (face[0, :2] + face[0, 2:]) / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    middle = np.array([[cosine, -sine], [sine, cosine]]) @ (middle - pivot) + pivot
    square = np.concatenate([middle - side / 2, middle + side / 2])[None].astype(np.float32)
    return square, boxes.rotate(face, np.array([angle]))


@pytest.mark.parametrize("rows", [ROWS, {"negative": 1, "positive": 1, "part": 1, "landmark": 1}, {"landmark": 3}])
@pytest.mark.parametrize("seed", range(4))
def test_kinds_come_as_they_are_asked_for(rows, seed):
    batch = sampler_of().draw(np.random.default_rng(seed), rows)
    found = np.bincount(batch["kind"], minlength=4)
    assert dict(zip(kinds.NAMES, found.tolist(), strict=True)) == {**dict.fromkeys(kinds.NAMES, 0), **rows}
    shapes = {
        "offsets": (4,),
        "landmarks": (10,),
        "to_image": (2, 3),
        "colours": (3, 4),
        "covered": (4,),
        "cover": (),
        "shown": (4,),
        "image_index": (),
        "noise": (),
    }
    for name, shape in shapes.items():
        assert batch[name].shape == (len(batch["kind"]), *shape)
    assert {batch[name].dtype for name in ("offsets", "landmarks", "to_image", "colours", "noise")} == {np.dtype("f4")}
    assert batch["kind"].dtype == batch["image_index"].dtype == np.int32


@pytest.mark.parametrize("overlap", labels.OVERLAPS)
@pytest.mark.parametrize("margin", [1.0, 1.4])
def test_every_crop_is_of_its_kind_and_its_targets_lead_to_the_face(overlap, margin):
    recipe = dataclasses.replace(RECIPE, rules=labels.Rules(overlap=overlap), margin=margin)
    sampler = sampler_of(recipe=recipe)
    num_rotated = num_mirrored = 0
    for seed in range(10):
        batch = sampler.draw(np.random.default_rng(seed), ROWS)
        for row, (one, is_mirrored, angle, middle, side) in enumerate(drawn_rows(batch, margin)):
            kind = batch["kind"][row]
            if kind == kinds.NEGATIVE:
                continue
            square, face = square_and_face(one, angle, middle, side)
            compared = boxes.square(face) if overlap == "square" else face
            iou = boxes.iou(square, compared)[0, 0]
            low, high = {kinds.PART: (0.4, 0.65)}.get(kind, (0.65, 1.0))
            assert low - 1e-3 <= iou <= high + 1e-3
            if kind in kinds.WITH_OFFSETS:
                offsets = batch["offsets"][row]
                if is_mirrored:
                    offsets = offsets[[2, 1, 0, 3]] * [-1, 1, -1, 1]
                np.testing.assert_allclose(boxes.decode(square, offsets[None]), face, atol=0.1)
            num_rotated += abs(angle) > 0.05
            num_mirrored += is_mirrored
    assert num_rotated > 40 and 60 < num_mirrored < 180  # of 240


@pytest.mark.parametrize("margin", [1.0, 1.4])
def test_landmarks_lie_in_the_crop_where_the_map_says(margin):
    sampler = sampler_of(recipe=dataclasses.replace(RECIPE, margin=margin))
    for seed in range(6):
        batch = sampler.draw(np.random.default_rng(seed), {"landmark": 12})
        for row, (one, is_mirrored, *_) in enumerate(drawn_rows(batch, margin)):
            points = batch["landmarks"][row].reshape(5, 2)
            assert np.all((points >= 0) & (points <= 1))
            pixels = ((points - 0.5) / margin + 0.5) * SIZE
            there = pixels @ batch["to_image"][row, :, :2].T + batch["to_image"][row, :, 2]
            expected = one.landmarks[0][list(landmark_sets.FIVE.mirror_order)] if is_mirrored else one.landmarks[0]
            np.testing.assert_allclose(there, expected, atol=0.05)


def test_other_points_are_drawn_and_mirrored_likewise():
    three = landmark_sets.LandmarkSet(3, ((0, 2),))
    images = [dataclasses.replace(one, landmarks=one.landmarks[:, [0, 2, 1]]) for one in IMAGES]
    sampler = sampler_of(images, recipe=dataclasses.replace(RECIPE, landmark_set=three))
    batch = sampler.draw(np.random.default_rng(0), ROWS)
    assert batch["landmarks"].shape == (len(batch["kind"]), 6)
    of_landmarks = batch["kind"] == kinds.LANDMARK
    assert np.all(batch["landmarks"][~of_landmarks].reshape(-1, 3, 2)[:, :, 1] == 0)
    rows = {name: values[of_landmarks] for name, values in batch.items()}
    for row, (one, is_mirrored, *_) in enumerate(drawn_rows(rows)):
        there = (
            rows["landmarks"][row].reshape(3, 2) * SIZE @ rows["to_image"][row, :, :2].T + rows["to_image"][row, :, 2]
        )
        expected = one.landmarks[0][[1, 2, 0]] if is_mirrored else one.landmarks[0][[0, 2, 1]]
        np.testing.assert_allclose(there, expected, atol=0.05)


def test_negatives_keep_away_from_every_face_and_ignored_region():
    """The proposals lie on a tiny face and on the ignored region, too. Rotated squares are compared as they were."""
    sampler = sampler_of()
    for seed in range(5):
        for one, _, _, middle, side in drawn_rows(sampler.draw(np.random.default_rng(seed), {"negative": 60})):
            square = np.concatenate([middle - side / 2, middle + side / 2])[None].astype(np.float32)
            assert boxes.iou(square, boxes.square(one.boxes)).max() < 0.3 + 1e-3
            assert boxes.overlap(square, one.ignored).max() < 0.3 + 1e-3


def test_as_many_negatives_as_positives_are_rotated_and_as_far():
    """Else a rotated crop's black corners and smoothness would tell of a face."""
    angles = {}
    for kind, name in ((kinds.NEGATIVE, "negative"), (kinds.POSITIVE, "positive")):
        batches = [sampler_of().draw(np.random.default_rng(seed), {name: 100}) for seed in range(10)]
        assert all((batch["kind"] == kind).all() for batch in batches)
        angles[name] = np.abs([angle for batch in batches for _, _, angle, *_ in drawn_rows(batch)])
    for found in angles.values():
        assert 0.45 < np.mean(found > 1e-6) < 0.55 and 0.95 < found.max() / np.deg2rad(RECIPE.max_rotation) < 1.001


def test_incomplete_images_give_no_negatives():
    incomplete = [dataclasses.replace(one, is_complete=index == 2) for index, one in enumerate(IMAGES)]
    batch = sampler_of(incomplete).draw(np.random.default_rng(0), ROWS)
    assert set(batch["image_index"][batch["kind"] == kinds.NEGATIVE]) == {2}
    assert len(set(batch["image_index"][batch["kind"] != kinds.NEGATIVE])) > 2


def test_a_margin_shows_more_and_targets_stay():
    batches = [
        sampler_of(recipe=dataclasses.replace(RECIPE, margin=margin)).draw(np.random.default_rng(1), ROWS)
        for margin in (1.0, 1.5)
    ]
    for name in batches[0].keys() - {"to_image"}:
        np.testing.assert_array_equal(batches[0][name], batches[1][name])
    np.testing.assert_allclose(batches[0]["to_image"][:, :, :2] * 1.5, batches[1]["to_image"][:, :, :2], rtol=1e-4)
    middle = np.float32([SIZE / 2, SIZE / 2, 1])
    np.testing.assert_allclose(*(batch["to_image"] @ middle for batch in batches), atol=1e-2)


def test_the_same_seed_gives_the_same_batch():
    first, again, other = (sampler_of().draw(np.random.default_rng(seed), ROWS) for seed in (5, 5, 6))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert np.any(first["to_image"] != other["to_image"])


def test_without_augmentation_nothing_is_mirrored_coloured_or_covered():
    assert sampler_of().draw(np.random.default_rng(0), ROWS)["covered"].any()
    batch = sampler_of(augment=False).draw(np.random.default_rng(0), ROWS)
    assert not batch["covered"].any()
    assert not any(is_mirrored for _, is_mirrored, *_ in drawn_rows(batch)) and not batch["noise"].any()
    np.testing.assert_array_equal(batch["colours"], np.tile(np.eye(3, 4), (len(batch["kind"]), 1, 1)))


def test_there_is_as_much_to_draw_from_as_the_records_say():
    counts = sampler_of().num_examples
    found = np.concatenate([labels.label(boxes.square(one.proposals), one, RECIPE.rules)[0] for one in IMAGES])
    expected = {name: int(np.sum(found == kind)) for kind, name in enumerate(kinds.NAMES) if name != "landmark"}
    assert counts == {**expected, "landmark": len(IMAGES)} and min(counts.values()) > 0


def test_pnet_needs_no_proposals():
    images = [image(seed, has_proposals=False) for seed in range(3)]
    images = [dataclasses.replace(one, proposals=None, proposal_scores=None) for one in images]
    batch = sampler_of(images, stages.PNET).draw(np.random.default_rng(0), ROWS)
    assert np.bincount(batch["kind"]).tolist() == list(ROWS.values())


def test_pnet_never_looks_beyond_the_image():
    """Though every face lies at its edge: the corners of upright crops tell."""
    corner = np.float32([[0, 0, 50, 50]])
    images = [dataclasses.replace(one, boxes=np.concatenate([corner, TINY]), proposals=None) for one in IMAGES]
    sampler = sampler_of(images, stages.PNET, dataclasses.replace(RECIPE, max_rotation=0.0), augment=False)
    batch = sampler.draw(np.random.default_rng(0), {"positive": 30, "part": 30})
    assert len(batch["kind"]) == 60 and batch["to_image"][:, :, 2].min() >= 0


def test_held_out_images_may_show_no_face_and_what_they_lack_is_said_of_them(tmp_path):
    shown = easy_images.with_proposals(easy_images.some_image(0))
    empty = easy_images.with_proposals(easy_images.some_image(1, sizes=()))
    alone = dataclasses.replace(shown, proposals=shown.proposals[:0], proposal_scores=shown.proposal_scores[:0])
    records_dir = easy_images.write(tmp_path / "a", [shown, empty], [empty], stage="rnet")
    sampler, store = crop_sampling.open_records(records_dir, STAGE, "train")
    assert len(store.sizes) == 2 and sampler.num_examples["negative"] > 10
    assert crop_sampling.open_records(records_dir, STAGE, "validation") is None
    easy_images.write(tmp_path / "b", [shown], [alone], stage="rnet")
    with pytest.raises(ValueError, match="^validation images: expected faces of at least 20 pixels and background"):
        crop_sampling.open_records(tmp_path / "b", STAGE, "validation")


@pytest.mark.parametrize(
    "images",
    [[image(0, has_face=False)], [image(0, has_proposals=False)], []],
    ids=["no face", "no background", "no images"],
)
def test_nothing_to_tell_apart_is_one_sentence(images):
    with pytest.raises(ValueError, match="expected (faces of at least 20 pixels and background|images)") as error:
        sampler_of(images)
    assert "\n" not in str(error.value)
