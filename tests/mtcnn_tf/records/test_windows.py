"""Windows: boxes lie where the pixels are, and what is drawn is what the recipe says."""

import dataclasses

import cv2
import numpy as np
import pytest

from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.images import image_store
from mtcnn_tf.records import windows

RECIPE = windows.Recipe(size=96, rotated_fraction=0.0)
RED = (250, 0, 0)
RECTANGLE = np.float32([60, 40, 100, 90])


def with_rectangle(width=200, height=150, box=RECTANGLE):
    """A green image with a red rectangle."""
    image = np.full((height, width, 3), (0, 120, 0), np.uint8)
    x1, y1, x2, y2 = box.astype(int)
    image[y1:y2, x1:x2] = RED
    return image


def store_of(*all_images):
    store = image_store.ImageStore([image.shape[:2] for image in all_images])
    for index, image in enumerate(all_images):
        store.put(index, image)
    return store


def known(faces=(), ignored=(), is_complete=True):
    return windows.Boxes(np.float32(faces).reshape(-1, 4), np.float32(ignored).reshape(-1, 4), is_complete)


def sampler_of(store, all_known, recipe=RECIPE):
    return windows.Sampler(store.sizes, store.means, all_known, recipe)


def red_box(pixels):
    """The box round what is red, with the part of the edge pixels that is: None where nothing is."""
    redness = (pixels[..., 0].astype(float) / RED[0]).clip(0, 1)
    rows, columns = redness.max(axis=1), redness.max(axis=0)
    if not np.any(redness > 0.5):
        return None

    def edges(line):
        inside = np.flatnonzero(line > 0.99)
        first, last = inside[0], inside[-1] + 1
        return first - line[:first].sum(), last + line[last:].sum()

    (left, right), (top, bottom) = edges(columns), edges(rows)
    return np.array([left, top, right, bottom])


@pytest.fixture(scope="module")
def store():
    return store_of(with_rectangle(), with_rectangle(60, 100, np.float32([10, 20, 30, 50])))


def with_ellipse():
    """A green image with a red ellipse that fills `RECTANGLE`, as a face does its box."""
    image = np.full((150, 200, 3), (0, 120, 0), np.uint8)
    cv2.ellipse(image, ((79.5, 64.5), (40, 50), 0), RED, thickness=-1)
    return image


@pytest.mark.parametrize("rotated_fraction", [0.0, 1.0])
def test_boxes_are_where_the_pixels_are(store, rotated_fraction):
    """As they are, rotated and mirrored, at many scales; what of a box lies outside of the window can't be seen."""
    all_known = [known([RECTANGLE]), known([[10, 20, 30, 50]])]
    if rotated_fraction:
        store, all_known = store_of(with_ellipse()), all_known[:1]
    sampler = sampler_of(store, all_known, dataclasses.replace(RECIPE, rotated_fraction=rotated_fraction))
    rng = np.random.default_rng(0)
    num_seen = {False: 0, True: 0}
    for _ in range(24 if rotated_fraction else 12):
        drawn = sampler.draw(rng, 16)
        plain = {**drawn, "colours": np.tile(np.eye(3, 4, dtype=np.float32), (16, 1, 1)), "noise": np.zeros(16)}
        pixels = windows.cut(store, plain, RECIPE.size)
        for row in range(16):
            (found,) = np.flatnonzero(drawn["face_mask"][row]).tolist() or [None]
            seen = red_box(pixels[row])
            if found is None:
                continue
            box = drawn["boxes"][row, found]
            visible = box_geometry.clip(box, RECIPE.size, RECIPE.size)
            if seen is None or min(visible[2:] - visible[:2]) < 6:
                continue
            if rotated_fraction and not np.array_equal(visible, box):
                continue  # an ellipse that is cut off may be narrower than its box
            scale = 1 / np.linalg.norm(drawn["to_image"][row, :, 0])
            np.testing.assert_allclose(seen, visible, atol=0.6 + 0.5 * max(scale, 1))
            num_seen[bool(drawn["to_image"][row, 0, 0] < 0)] += 1
    assert min(num_seen.values()) > 30


def test_chosen_windows_show_what_they_should(store):
    sampler = sampler_of(store, [known([RECTANGLE], [[0, 0, 20, 20]], False), known([[10, 20, 30, 50]])])
    chosen = np.float32([[40, 10, 136, 106], [0, 0, 96, 96], [150, 100, 198, 148]])
    drawn = sampler.of_windows(np.array([0, 1, 0]), chosen)
    np.testing.assert_allclose(drawn["boxes"][0, 0], RECTANGLE - [40, 10, 40, 10])
    np.testing.assert_allclose(drawn["boxes"][1, 0], [10, 20, 30, 50])
    assert drawn["face_mask"].sum(axis=1).tolist() == [1, 1, 0]
    assert drawn["complete_mask"].tolist() == [False, True, False] and not drawn["boxes"][2].any()
    pixels = windows.cut(store, drawn, RECIPE.size)
    np.testing.assert_array_equal(pixels[0], with_rectangle()[10:106, 40:136])
    np.testing.assert_array_equal(pixels[1, :96, :60], with_rectangle(60, 100, np.float32([10, 20, 30, 50]))[:96])
    assert not pixels[1, :, 61:].any()  # the image is 60 pixels wide: beyond its edge it is black


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_window_larger_than_the_image_is_black_outside(store, is_mirrored):
    window = np.float32([[-70, -20, 130, 180]])  # the image lies in columns 70–130 and rows 20–120 of 200
    to_image = windows.maps(window, np.zeros(1), np.array([is_mirrored]), RECIPE.size)
    drawn = {"image_index": np.array([1]), "to_image": to_image, "noise": np.zeros(1), "pattern": np.zeros(1, int)}
    (pixels,) = windows.cut(store, {**drawn, "colours": np.eye(3, 4, dtype=np.float32)[None]}, RECIPE.size)
    lit = pixels.any(axis=2)
    left, right = (70 * 0.48, 130 * 0.48)
    assert abs(lit.any(axis=0).sum() - (right - left)) <= 2 and abs(lit.any(axis=1).sum() - 48) <= 2
    assert abs(np.flatnonzero(lit.any(axis=0))[0] - left) <= 1.5  # it lies in the middle: mirrored, it does again
    box = red_box(pixels)
    expected = np.array([80, 40, 100, 70]) * 0.48
    if is_mirrored:
        expected[[0, 2]] = 96 - expected[[2, 0]]
    np.testing.assert_allclose(box, expected, atol=1)


def test_as_many_windows_are_rotated_as_far_as_the_recipe_says(store):
    recipe = dataclasses.replace(RECIPE, rotated_fraction=0.25, max_rotation=20.0)
    drawn = sampler_of(store, [known([RECTANGLE]), known()], recipe).draw(np.random.default_rng(0), 1000)
    linear = drawn["to_image"][:, :, :2]
    angles = np.rad2deg(np.arctan2(linear[:, 0, 1], linear[:, 1, 1]))
    assert np.abs(angles).max() == pytest.approx(20, abs=1) and abs(np.median(angles[angles != 0])) < 3
    assert np.mean(angles != 0) == pytest.approx(0.25, abs=0.04)


def test_what_lies_outside_of_a_rotated_image_is_black(store):
    window = np.float32([[-10, -10, 110, 110]])  # round the middle of the first 100 columns and rows
    to_image = windows.maps(window, np.deg2rad([45.0]), np.zeros(1, bool), 120)
    drawn = {"image_index": np.array([0]), "to_image": to_image, "noise": np.zeros(1), "pattern": np.zeros(1, int)}
    (pixels,) = windows.cut(store, {**drawn, "colours": np.eye(3, 4, dtype=np.float32)[None]}, 120)
    rows, columns = np.mgrid[:120, :120] + 0.5 - 60
    places = np.stack([columns + rows, rows - columns], axis=-1) * np.sqrt(0.5) + 50  # rotated back, in the image
    inside = (places >= 0).all(axis=-1) & (places <= (200, 150)).all(axis=-1)
    assert np.mean(pixels.any(axis=2) != inside) < 0.02 and 0.05 < np.mean(~inside) < 0.5


def test_the_same_seed_gives_the_same_windows(store):
    sampler = sampler_of(store, [known([RECTANGLE]), known()])
    first, again, other = (sampler.draw(np.random.default_rng(seed), 8) for seed in (3, 3, 4))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert np.any(first["to_image"] != other["to_image"])
    assert not np.array_equal(first["colours"], other["colours"])
    np.testing.assert_array_equal(windows.cut(store, first, 96), windows.cut(store, again, 96))


def test_faces_are_brought_to_the_sizes_of_the_recipe_and_into_sight():
    store = store_of(np.zeros((900, 1200, 3), np.uint8))
    faces = [[300, 300, 400, 420], [700, 500, 716, 512], [5, 5, 13, 14]]  # the last is too small to be drawn
    recipe = dataclasses.replace(RECIPE, anywhere_fraction=0.0, own_scale_fraction=0.0, face_sizes=(12.0, 60.0))
    sampler = sampler_of(store, [known(faces)], recipe)
    drawn = sampler.draw(np.random.default_rng(0), 300)
    size_of_face = {2.5: 0, 1.0: 0}
    for row in range(300):
        boxes = drawn["boxes"][row, drawn["face_mask"][row]]
        longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        in_sight = ((centres > 0) & (centres < RECIPE.size)).all(axis=1)
        # 16 pixels times 2.5 are 40, the largest scale.
        assert np.any(in_sight & (longer > 11.9) & (longer < 60.1))
        scale = 1 / abs(drawn["to_image"][row, 0, 0])
        assert 0.099 < scale < 2.501
        size_of_face[2.5] += scale > 2.49
        size_of_face[1.0] += scale < 1
    assert min(size_of_face.values()) > 20


def test_windows_lie_within_images_that_are_large_enough():
    store = store_of(np.zeros((300, 250, 3), np.uint8), np.zeros((20, 400, 3), np.uint8))
    sampler = sampler_of(store, [known([[3, 3, 40, 40], [200, 250, 245, 295]]), known([[390, 2, 400, 14]])])
    drawn = sampler.draw(np.random.default_rng(1), 400)
    linear, origin = drawn["to_image"][:, 0, 0], drawn["to_image"][:, :, 2]
    side = np.abs(linear) * RECIPE.size
    low = np.stack([np.where(linear < 0, origin[:, 0] - side, origin[:, 0]), origin[:, 1]], axis=1)
    extent = store.sizes[drawn["image_index"], ::-1]
    for axis in (0, 1):
        fits = side <= extent[:, axis]
        assert np.all(low[fits, axis] > -1e-3) and np.all((low[:, axis] + side)[fits] < extent[fits, axis] + 1e-3)
        middle = (low[:, axis] + side / 2)[~fits]
        np.testing.assert_allclose(middle, extent[~fits, axis] / 2, atol=1e-3)
    assert set(drawn["image_index"].tolist()) == {0, 1}


def test_of_more_boxes_than_there_is_room_for_the_smallest_are_ignored_together():
    """500 faces; none of them is ever background."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(np.arange(25) * 16, np.arange(20) * 16), axis=-1).reshape(-1, 2)
    faces = np.concatenate([corners, corners + rng.uniform(10.5, 15.5, (500, 1))], axis=1).astype(np.float32)
    store = store_of(np.zeros((320, 400, 3), np.uint8))
    recipe = windows.Recipe(size=512, augment=False)
    sampler = sampler_of(store, [known(faces, [[0, 0, 3, 3]])], recipe)
    whole = np.float32([[0, 0, 400, 400], [0, 0, 100, 100]])
    drawn = sampler.of_windows(np.array([0, 0]), whole)
    boxes, is_face = drawn["boxes"][0] * (400 / 512), drawn["face_mask"][0]
    assert is_face.sum() == windows.MAX_BOXES - 1 and np.all(boxes[:, 2] > boxes[:, 0])
    kept = {tuple(box) for box in np.round(boxes[is_face]).astype(int)}
    by_area = faces[np.argsort(-box_geometry.area(faces), kind="stable")]
    assert kept == {tuple(box) for box in np.round(by_area[: windows.MAX_BOXES - 1]).astype(int)}
    (rest,) = boxes[~is_face]
    others = by_area[windows.MAX_BOXES - 1 :]
    assert np.all(rest[:2] <= others[:, :2].min(axis=0) + 1e-2) and np.all(rest[2:] >= others[:, 2:].max(axis=0) - 1e-2)
    # A second window of the batch with few boxes has its own ones.
    alone = sampler.of_windows(np.array([0]), whole[1:])
    np.testing.assert_array_equal(drawn["boxes"][1], alone["boxes"][0])
    np.testing.assert_array_equal(drawn["face_mask"][1], alone["face_mask"][0])
    assert 36 <= alone["face_mask"].sum() <= 49


def test_windows_anywhere_show_images_without_faces_too():
    store = store_of(with_rectangle(), np.zeros((90, 90, 3), np.uint8))
    recipe = dataclasses.replace(RECIPE, anywhere_fraction=0.5)
    drawn = sampler_of(store, [known([RECTANGLE]), known()], recipe).draw(np.random.default_rng(0), 200)
    assert 20 < np.sum(drawn["image_index"] == 1) < 90
    assert not drawn["face_mask"][drawn["image_index"] == 1].any() and drawn["complete_mask"].all()


@pytest.mark.parametrize("all_known", [[known([[5, 5, 14, 30]])], [known([], [[0, 0, 90, 90]])], []])
def test_without_a_face_to_draw_there_is_one_sentence(all_known):
    sizes, means = np.full((len(all_known), 2), 100), np.zeros((len(all_known), 3), np.float32)
    with pytest.raises(ValueError, match="expected faces of at least 10 pixels .* found none in . images") as error:
        windows.Sampler(sizes, means, all_known, RECIPE)
    assert "\n" not in str(error.value)


def test_without_augmentation_nothing_is_rotated_mirrored_or_coloured(store):
    recipe = dataclasses.replace(RECIPE, augment=False, rotated_fraction=1.0)
    drawn = sampler_of(store, [known([RECTANGLE]), known()], recipe).draw(np.random.default_rng(0), 50)
    assert np.all(drawn["to_image"][:, 0, 0] > 0) and not drawn["to_image"][:, 0, 1].any()
    assert not drawn["noise"].any()
    np.testing.assert_array_equal(drawn["colours"], np.tile(np.eye(3, 4), (50, 1, 1)))
