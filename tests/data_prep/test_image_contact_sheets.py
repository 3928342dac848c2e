import numpy as np
import pytest

from data_prep import image_contact_sheets, shards
from mtcnn_tf import faces, stages
from mtcnn_tf.images import drawing, image_files
from mtcnn_tf.records import image_records, manifests

NO_BOXES = faces.no_boxes()


def image_of(width, height, boxes=NO_BOXES, ignored=NO_BOXES, proposals=None, name="a.jpg"):
    image = np.full((height, width, 3), 10, np.uint8)
    scores = None if proposals is None else np.ones(len(proposals), np.float32)
    landmarks = faces.no_landmarks(len(boxes))
    encoded = image_files.encode_jpeg(image)
    return image_records.ImageRecord(
        encoded, height, width, name, np.float32(boxes), landmarks, np.float32(ignored), True, proposals, scores
    )


def write_records(records_dir, images):
    serialized = map(image_records.serialize, images)
    entry = shards.write_images(records_dir / "rpn", "train", 0, 1, serialized)
    manifest = {"stage": "rpn", "records": manifests.IMAGES, "shards": [entry]}
    shards.write_json(records_dir / "rpn" / manifests.MANIFEST, manifest)


def pixels_of(tile, colour):
    """x, y of the pixels of this colour, int [N, 2]."""
    return np.argwhere((tile == colour).all(axis=-1))[:, ::-1]


def test_boxes_are_drawn_where_they_lie_in_the_colour_of_what_they_are():
    image = image_of(
        640, 480, [[100, 50, 200, 180]], [[300, 300, 400, 400]], np.float32([[500, 20, 600, 120], [500, 300, 620, 420]])
    )
    tile = image_contact_sheets.draw(image)
    assert tile.shape == (320, 320, 3) and tile.dtype == np.uint8
    # The image is halved, and 40 pixels of margin lie above it. Lines of 2 pixels reach one pixel further out.
    assert (tile[:40] == image_contact_sheets.BACKGROUND).all() and (
        tile[280:] == image_contact_sheets.BACKGROUND
    ).all()
    for colour, edges, slack in (
        (drawing.BOX_COLOUR, [50, 65, 99, 129], 1),
        (image_contact_sheets.IGNORED_COLOUR, [150, 190, 199, 239], 1),
        (image_contact_sheets.PROPOSAL_COLOUR, [250, 50, 309, 249], 0),
    ):
        line = pixels_of(tile, colour)
        np.testing.assert_allclose([*line.min(axis=0), *line.max(axis=0)], edges, atol=slack)


def test_the_best_proposals_alone_are_drawn_and_faces_on_top():
    proposals = np.float32([[10, 10, 60, 60]] * image_contact_sheets.NUM_PROPOSALS + [[100, 100, 150, 150]])
    tile = image_contact_sheets.draw(image_of(320, 320, [[10, 10, 60, 60]], proposals=proposals))
    assert not len(pixels_of(tile, image_contact_sheets.PROPOSAL_COLOUR)) and len(pixels_of(tile, drawing.BOX_COLOUR))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 900), (5000, 20)])
def test_images_of_any_shape_fit_on_a_tile(width, height):
    boxes = np.tile(np.float32([[0, 0, width, height]]), (500, 1))
    assert image_contact_sheets.draw(image_of(width, height, boxes)).shape == (320, 320, 3)


def test_an_image_that_cannot_be_decoded_is_named():
    broken = image_records.ImageRecord(b"nothing", 9, 9, "of/a.jpg", NO_BOXES, faces.no_landmarks(0), NO_BOXES, True)
    with pytest.raises(ValueError, match="of/a.jpg"):
        image_contact_sheets.draw(broken)


def test_the_seed_chooses_and_there_are_no_more_than_there_are(tmp_path):
    write_records(tmp_path, [image_of(9, 9, name=f"{number}.jpg") for number in range(30)])
    chosen = [
        [image.path for image in image_contact_sheets.choose(tmp_path, stages.RPN, "train", 5, seed)]
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2] and len(set(chosen[2])) == 5
    assert len(image_contact_sheets.choose(tmp_path, stages.RPN, "train", 99)) == 30
    assert image_contact_sheets.choose(tmp_path, stages.RPN, "validation", 5) == []
    assert image_contact_sheets.sheet(image_contact_sheets.choose(tmp_path, stages.RPN, "train", 9)).shape == (
        646,
        2578,
        3,
    )
