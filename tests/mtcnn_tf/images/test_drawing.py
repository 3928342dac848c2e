"""Drawings change what they should and nothing else."""

import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.images import drawing


def one_face(box=(20, 30, 60, 80), points=((30, 45), (50, 45), (40, 55), (32, 68), (48, 68))):
    return faces.Detections(
        np.array([box], np.float32), np.array([0.93], np.float32), np.array([points], np.float32).reshape(1, 5, 2)
    )


def test_no_faces_change_nothing():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    nothing = faces.Detections(faces.no_boxes(), np.zeros(0, np.float32), faces.no_landmarks(0))
    drawn = drawing.draw(image, nothing)
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image


def test_box_and_points_are_drawn_where_they_are():
    image = np.zeros((100, 120, 3), np.uint8)
    drawn = drawing.draw(image, one_face())
    assert not image.any()
    for y, x in ((30, 40), (79, 40), (50, 20), (50, 59)):  # the last pixels inside: right and bottom are exclusive
        assert tuple(drawn[y, x]) == drawing.BOX_COLOUR
    assert not drawn[50, 60].any() and not drawn[80, 40].any()
    for (x, y), colour in zip(one_face().landmarks[0].astype(int), drawing.POINT_COLOURS, strict=True):
        assert tuple(drawn[y, x]) == colour
    assert drawn[:30].any(), "the score stands above the box"


def test_points_of_other_sets_are_small_and_of_one_colour():
    image = np.zeros((100, 120, 3), np.uint8)
    points = np.stack([np.arange(22, 56, 2), np.full(17, 50)], axis=1).astype(np.float32)
    found = faces.Detections(np.float32([[20, 30, 60, 80]]), np.float32([0.9]), np.tile(points, (1, 4, 1)))
    drawn = drawing.draw(image, found)
    assert len(np.unique([drawn[50, int(x)] for x, _ in points], axis=0)) == 1
    assert drawn[50, 30].any() and not drawn[60:79, 25:55].any()


def test_identities_are_written_behind_the_scores():
    image = np.zeros((100, 120, 3), np.uint8)
    plain, numbered = drawing.draw(image, one_face()), drawing.draw(image, one_face(), [7])
    different = np.argwhere((plain != numbered).any(axis=2))
    assert len(different) > 5 and different[:, 0].max() < 30 and different[:, 1].min() > 40


def test_unknown_points_and_far_boxes_are_no_trouble():
    image = np.zeros((20, 20, 3), np.uint8)
    found = one_face((-50, -1e6, 1e6, 10), np.full((5, 2), np.nan))
    assert set(map(tuple, drawing.draw(image, found).reshape(-1, 3))) <= {(0, 0, 0), drawing.BOX_COLOUR} | {
        tuple(pixel) for pixel in drawing.draw(image, found).reshape(-1, 3)
    }


def test_contact_sheet_places_every_crop():
    crops = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    sheet = drawing.contact_sheet(crops, columns=3, gap=1)
    assert sheet.shape == (3 * 5 + 1, 3 * 5 + 1, 3)
    for i in range(7):
        row, column = divmod(i, 3)
        np.testing.assert_array_equal(sheet[1 + 5 * row : 5 + 5 * row, 1 + 5 * column : 5 + 5 * column], crops[i])
    assert (sheet == 255).all(axis=2).sum() == 16 * 16 - 7 * 16
    assert drawing.contact_sheet(crops[:2], columns=16, gap=0).shape == (4, 8, 3)


@pytest.mark.parametrize(("shape", "columns"), [((0, 4, 4, 3), 3), ((4, 4, 3), 3), ((1, 4, 4, 3), 0)])
def test_contact_sheet_needs_crops(shape, columns):
    with pytest.raises(ValueError, match="contact sheet needs"):
        drawing.contact_sheet(np.zeros(shape, np.uint8), columns)
