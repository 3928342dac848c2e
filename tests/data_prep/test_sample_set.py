"""The sample set: what is written about an image is true of its pixels, in the formats that the readers know."""

import numpy as np
import pytest
from PIL import Image

from data_prep.sample_set import sample_files, sample_scenes
from mtcnn_tf.datasets import points, wider_face
from mtcnn_tf.geometry import boxes

NUM_SCENES, NUM_PORTRAITS = 16, 8


@pytest.fixture(scope="module")
def sample_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sample_set")
    _write(directory, seed=0)
    return directory


def _write(directory, seed):
    for split in (sample_scenes.TRAIN, sample_scenes.VAL):
        sample_files.write_scenes(directory / "wider", split, NUM_SCENES, seed)
    for split in (sample_scenes.POINTS_TRAIN, sample_scenes.POINTS_TEST):
        sample_files.write_portraits(directory / "points", split, NUM_PORTRAITS, seed)


def _contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("split", ["train", "val"])
def test_scenes_are_read_as_wider_face(sample_dir, split):
    annotations, problems = wider_face.read(str(sample_dir / "wider"), split)
    assert not problems
    assert len(annotations) == NUM_SCENES
    assert len(list((sample_dir / "wider" / f"WIDER_{split}").rglob("*.jpg"))) == NUM_SCENES
    num_faces = [len(annotation.boxes) for annotation in annotations]
    assert min(num_faces) == 0 and max(num_faces) > 1
    for annotation in annotations:
        with Image.open(annotation.image_path) as image:
            np.testing.assert_array_equal(boxes.clip(annotation.boxes, *image.size), annotation.boxes)
        heights = annotation.boxes[:, 3] - annotation.boxes[:, 1]
        assert np.all(heights > 20) and np.all(heights < 230)
        overlaps = boxes.iou(annotation.boxes, annotation.boxes)
        assert np.all(overlaps - np.eye(len(overlaps)) < 1e-6), "no face covers another"


def test_an_empty_scene_has_the_official_dummy_line(sample_dir):
    lines = (sample_dir / "wider/wider_face_split/wider_face_train_bbx_gt.txt").read_text().splitlines()
    empty = [i for i, line in enumerate(lines) if line == "0"]
    assert empty
    for i in empty:
        assert lines[i - 1].endswith(".jpg") and lines[i + 1] == "0 0 0 0 0 0 0 0 0 0"


@pytest.mark.parametrize("split", ["train", "test"])
def test_portraits_are_read_as_point_lists(sample_dir, split):
    annotations, problems = points.read(str(sample_dir / "points"), split)
    assert not problems
    assert len(annotations) == NUM_PORTRAITS
    rows = (sample_dir / "points" / f"{split}ImageList.txt").read_text().splitlines()
    for annotation, row in zip(annotations, rows, strict=True):
        left, right, top, bottom = (int(edge) for edge in row.split()[1:5])
        [landmarks] = annotation.landmarks
        assert np.all(landmarks > [left, top]) and np.all(landmarks < [right, bottom])
        with Image.open(annotation.image_path) as image:
            assert 0 <= left < right <= image.width and 0 <= top < bottom <= image.height
        left_eye, right_eye, nose, left_mouth, right_mouth = landmarks
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        # The box that the reader draws from the points alone is about the box that was placed by hand.
        assert boxes.iou(annotation.boxes, np.float32([[left, top, right, bottom]]))[0, 0] > 0.7


@pytest.mark.slow
def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(sample_dir, tmp_path):
    _write(tmp_path / "same", seed=0)
    _write(tmp_path / "other", seed=1)
    first, same, other = (_contents(path) for path in (sample_dir, tmp_path / "same", tmp_path / "other"))
    assert first == same
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_fewer_scenes_are_the_first_of_more(sample_dir, tmp_path):
    sample_files.write_scenes(tmp_path, sample_scenes.TRAIN, 3, seed=0)
    for name, content in _contents(tmp_path).items():
        if name.suffix == ".jpg":
            assert (sample_dir / "wider" / name).read_bytes() == content


@pytest.mark.parametrize("height", [20, 45, 110, 190])
def test_paint_puts_the_points_where_the_placement_says(height):
    """A portrait that is black but for one white disc: the disc's centre of mass is the landmark, at every scale."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :256] + 0.5
    landmarks = np.float32([[90, 100], [160, 100], [125, 140], [95, 170], [155, 170]])
    outline = np.float32([[20, 10], [235, 10], [235, 250], [20, 250]])
    for index in range(5):
        x, y = landmarks[index]
        pixels = np.where((columns - x) ** 2 + (rows - y) ** 2 < 10**2, 255, 0).astype(np.uint8)
        portrait = sample_scenes.Portrait(np.dstack([pixels] * 3), np.float32([60, 40, 190, 220]), landmarks, outline)
        placement = sample_scenes.place(rng, portrait, np.array([160.0, 120.0]), height)
        scene = sample_scenes.paint(rng, np.zeros((240, 320, 3), np.float32), placement)
        weights = np.maximum(scene.sum(axis=2) - scene.sum(axis=2).max() * 0.2, 0)
        centre = np.average(np.indices(weights.shape)[::-1] + 0.5, axis=(1, 2), weights=np.stack([weights] * 2))
        is_mirrored = np.linalg.det(placement.matrix[:, :2]) < 0
        named = (1, 0, 2, 4, 3)[index] if is_mirrored else index
        np.testing.assert_allclose(centre, placement.landmarks[named], atol=0.15)


def test_the_box_is_the_one_around_the_turned_oval():
    rng = np.random.default_rng(1)
    for portrait in sample_scenes.portraits():
        placement = sample_scenes.place(rng, portrait, np.array([100.0, 80.0]), 60)
        angles = np.linspace(0, 2 * np.pi, 1000)
        half_sides = (portrait.box[2:] - portrait.box[:2]) / 2
        oval = placement.points(portrait.centre + half_sides * np.stack([np.cos(angles), np.sin(angles)], axis=1))
        np.testing.assert_allclose(placement.box, [*oval.min(axis=0), *oval.max(axis=0)], atol=0.01)
        np.testing.assert_allclose((placement.box[:2] + placement.box[2:]) / 2, [100, 80], atol=1e-4)


def test_held_out_scenes_stand_before_other_photographs():
    train = {photo.tobytes() for photo in sample_scenes.backgrounds(sample_scenes.TRAIN)}
    for split in (sample_scenes.VAL, sample_scenes.POINTS_TEST):
        assert not train & {photo.tobytes() for photo in sample_scenes.backgrounds(split)}


def test_the_group_shows_several_faces_of_several_sizes():
    pixels, placements = sample_scenes.group(np.random.default_rng([0, sample_scenes.GROUP]))
    assert pixels.shape == (427, 640, 3) and pixels.dtype == np.uint8
    assert len(placements) >= 6
    heights = [placement.box[3] - placement.box[1] for placement in placements]
    assert max(heights) > 2 * min(heights)
