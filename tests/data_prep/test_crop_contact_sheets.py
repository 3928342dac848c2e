import pathlib

import numpy as np
import pytest

from data_prep import crop_contact_sheets, shards
from mtcnn_tf import kinds, stages
from mtcnn_tf.geometry import boxes
from mtcnn_tf.images import drawing
from mtcnn_tf.records import crop_records, manifests

GREEN = drawing.BOX_COLOUR
NO_OFFSETS, NO_POINTS = np.zeros(4, np.float32), np.zeros(10, np.float32)


def write_records(records_dir: pathlib.Path, num_of_kind=(9, 3, 5, 7), stage=stages.PNET) -> dict:
    """Records of one training shard, each crop of one colour that tells its number; returns the manifest."""
    kind = np.repeat(np.arange(4), num_of_kind)
    number = np.arange(len(kind))
    rng = np.random.default_rng(0)
    offsets = rng.uniform(-0.3, 0.3, (len(kind), 4)) * np.isin(kind, kinds.WITH_OFFSETS)[:, None]
    landmarks = rng.uniform(0, 1, (len(kind), 10)) * np.isin(kind, kinds.WITH_LANDMARKS)[:, None]
    examples = crop_records.Examples(
        images=np.broadcast_to(number[:, None, None, None], (len(kind), stage.size, stage.size, 3)).astype(np.uint8),
        kinds=kind,
        offsets=offsets.astype(np.float32),
        landmarks=landmarks.astype(np.float32),
    )
    entries = shards.write(records_dir / stage.name, "train", 0, 1, examples)
    counts = {"train": crop_records.num_per_kind(examples), "validation": dict.fromkeys(kinds.NAMES, 0)}
    manifest = {"stage": stage.name, "examples": counts, "shards": entries}
    shards.write_json(records_dir / stage.name / manifests.MANIFEST, manifest)
    return manifest


def pixels_of(tile, colour):
    """x, y of the pixels of this colour, int [N, 2]."""
    return np.argwhere((tile == colour).all(axis=-1))[:, ::-1]


@pytest.mark.parametrize("kind", range(4))
def test_crops_of_a_kind_are_read_with_their_targets(tmp_path, kind):
    write_records(tmp_path)
    batch = crop_contact_sheets.read_crops(tmp_path, stages.PNET, "train", kind, 3, augment=False)
    assert batch["image"].shape == (3, 12, 12, 3) and (batch["kind"] == kind).all()
    assert batch["offsets"].any() == (kind in kinds.WITH_OFFSETS)
    assert batch["landmarks"].any() == (kind in kinds.WITH_LANDMARKS)


def test_no_more_crops_than_there_are_and_none_where_there_are_none(tmp_path):
    write_records(tmp_path, (9, 3, 5, 0))
    assert (
        len(crop_contact_sheets.read_crops(tmp_path, stages.PNET, "train", kinds.POSITIVE, 48, augment=False)["kind"])
        == 3
    )
    assert crop_contact_sheets.read_crops(tmp_path, stages.PNET, "train", kinds.LANDMARK, 48, augment=False) is None
    assert (
        crop_contact_sheets.read_crops(tmp_path, stages.PNET, "validation", kinds.POSITIVE, 48, augment=False) is None
    )


def test_augmented_crops_are_the_same_examples(tmp_path):
    write_records(tmp_path, (0, 40, 0, 0))
    plain, augmented = (
        crop_contact_sheets.read_crops(tmp_path, stages.PNET, "train", kinds.POSITIVE, 20, augment, seed=3)
        for augment in (False, True)
    )
    # A mirror keeps the offsets of top and bottom, and is the only thing that changes those of left and right.
    np.testing.assert_array_equal(plain["offsets"][:, [1, 3]], augmented["offsets"][:, [1, 3]])
    mirrored_mask = (plain["offsets"] != augmented["offsets"]).any(axis=1)
    assert 0 < mirrored_mask.sum() < 20
    np.testing.assert_array_equal(plain["offsets"][mirrored_mask, 0], -augmented["offsets"][mirrored_mask, 2])
    assert not np.array_equal(plain["image"], augmented["image"])


@pytest.mark.parametrize("stage", stages.ON_CROPS)
@pytest.mark.parametrize("kind", (kinds.POSITIVE, kinds.PART))
def test_the_box_is_drawn_where_the_face_is(stage, kind):
    """A crop is cut round a face that is painted white: the drawn box frames the white."""
    size = stage.size
    image = np.zeros((size, size, 3), np.float32)
    first, last = size // 4, size * 3 // 4
    image[first : last + size // 6, first:last] = 255
    crop_box = np.float32([0, 0, size, size])
    offsets = boxes.encode(crop_box, np.float32([first, first, last, last + size // 6]))
    tile = crop_contact_sheets.draw_targets(image, kind, offsets, NO_POINTS)
    assert tile.shape == (crop_contact_sheets.TILE_SIDE, crop_contact_sheets.TILE_SIDE, 3) and tile.dtype == np.uint8
    line = pixels_of(tile, GREEN)
    plain = crop_contact_sheets.draw_targets(
        image, kind, offsets + 100, NO_POINTS
    )  # the box lies far outside of the tile
    white = pixels_of(plain, (255, 255, 255))
    np.testing.assert_array_equal(line.min(axis=0), white.min(axis=0))
    np.testing.assert_array_equal(line.max(axis=0), white.max(axis=0))


def test_a_face_that_reaches_out_of_the_crop_is_drawn_in_the_margin():
    offsets = np.float32([-0.5, -0.25, 0.25, 0.5])
    line = pixels_of(crop_contact_sheets.draw_targets(np.zeros((12, 12, 3)), kinds.PART, offsets, NO_POINTS), GREEN)
    # The crop takes the 96 pixels from 72 to 168.
    assert line.min(axis=0).tolist() == [72 - 48, 72 - 24] and line.max(axis=0).tolist() == [168 + 24 - 1, 168 + 48 - 1]


@pytest.mark.parametrize("stage", stages.ON_CROPS)
def test_points_are_drawn_where_they_lie(stage):
    """Points in the middle of one pixel of the crop each; on the tile they lie in the middle of its enlarged square."""
    cells = np.array([[3, 3], [8, 3], [5, 6], [3, 9], [8, 9]]) * stage.size // 12
    landmarks = ((cells + 0.5) / stage.size).astype(np.float32).reshape(10)
    tile = crop_contact_sheets.draw_targets(
        np.zeros((stage.size, stage.size, 3)), kinds.LANDMARK, NO_OFFSETS, landmarks
    )
    zoom = crop_contact_sheets.CROP_SIDE // stage.size
    for cell, colour in zip(cells, drawing.POINT_COLOURS, strict=True):
        point = pixels_of(tile, colour)
        centre = 24 + (cell + 0.5) * zoom  # the crop takes the 192 pixels from 24 to 216
        assert len(point) > 9
        np.testing.assert_allclose(point.mean(axis=0), centre, atol=0.51)


@pytest.mark.parametrize("kind", (kinds.NEGATIVE, kinds.LANDMARK))
def test_targets_that_do_not_count_are_not_drawn(kind):
    tile = crop_contact_sheets.draw_targets(
        np.zeros((12, 12, 3)), kind, np.full(4, 0.1, np.float32), np.full(10, 0.5, np.float32)
    )
    assert not len(pixels_of(tile, GREEN))
    assert np.isin(tile, (0, crop_contact_sheets.BACKGROUND)).all() == (kind == kinds.NEGATIVE)


def test_pixels_are_enlarged_and_not_smoothed():
    image = np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.float32)
    tile = crop_contact_sheets.draw_targets(image, kinds.NEGATIVE, NO_OFFSETS, NO_POINTS)
    np.testing.assert_array_equal(tile[24:216:8, 24:216:8], image)
    np.testing.assert_array_equal(tile[31:216:8, 31:216:8], image)
    assert (tile[:24] == crop_contact_sheets.BACKGROUND).all() and (
        tile[:, 216:] == crop_contact_sheets.BACKGROUND
    ).all()


def test_the_sheet_holds_every_crop_in_rows(tmp_path):
    write_records(tmp_path)
    batch = crop_contact_sheets.read_crops(tmp_path, stages.PNET, "train", kinds.NEGATIVE, 9, augment=False)
    gap = 2
    sheet = crop_contact_sheets.sheet(batch)
    assert sheet.shape == (
        2 * (crop_contact_sheets.TILE_SIDE + gap) + gap,
        8 * (crop_contact_sheets.TILE_SIDE + gap) + gap,
        3,
    )
    middles = np.array([sheet[122 + i // 8 * 242, 122 + i % 8 * 242, 0] for i in range(9)])
    np.testing.assert_array_equal(middles, batch["image"][:, 0, 0, 0])
