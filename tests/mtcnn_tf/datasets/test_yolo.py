import numpy as np
import pytest

from mtcnn_tf import landmark_sets
from mtcnn_tf.datasets import yolo
from mtcnn_tf.images import image_files

POINTS = np.float32([[40, 20], [60, 21], [51, 30], [42, 38], [58, 39]])
FRACTIONS = POINTS / (200, 100)


@pytest.fixture
def write(tmp_path):
    """Writes the labels of one image of 200 × 100 pixels, and perhaps data.yaml."""

    def write(labels, settings=None, name="a"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        image_files.write(tmp_path / "images" / f"{name}.png", np.zeros((100, 200, 3), np.uint8))
        if labels is not None:
            (tmp_path / "labels" / f"{name}.txt").write_text(labels)
        if settings is not None:
            (tmp_path / "data.yaml").write_text(settings)
        return str(tmp_path)

    return write


def row(*more):
    return " ".join(str(value) for value in (0, 0.25, 0.3, 0.2, 0.4, *more)) + "\n"


def test_fractions_of_the_centre_become_edges(write):
    (annotation,), problems = yolo.read(write(row()))
    assert not problems
    np.testing.assert_allclose(annotation.boxes, [[30, 10, 70, 50]], rtol=1e-5)
    assert np.isnan(annotation.landmarks).all() and annotation.is_complete and annotation.size == (200, 100)


KEYPOINTS = {
    "kpt_shape: [5, 3]": np.concatenate([FRACTIONS, np.full((5, 1), 2)], axis=1),
    "kpt_shape: [5, 2]": FRACTIONS,
    "nc: 1": np.concatenate([FRACTIONS, np.full((5, 1), 1)], axis=1),
}


@pytest.mark.parametrize("settings", KEYPOINTS)
def test_five_keypoints(write, settings):
    values = KEYPOINTS[settings].copy()
    unknown = values.copy()
    unknown[2] = 0
    (annotation,), problems = yolo.read(write(row(*values.ravel()) + row(*unknown.ravel()) + row(), settings))
    assert not problems or settings != "nc: 1"
    np.testing.assert_allclose(annotation.landmarks[0], POINTS, rtol=1e-5)
    assert np.isnan(annotation.landmarks[1]).all(axis=1).tolist() == [False, False, True, False, False]
    assert np.isnan(annotation.landmarks[2]).all()


def test_the_persons_sides_are_exchanged(write):
    values = FRACTIONS[[1, 0, 2, 4, 3]]
    (annotation,), _ = yolo.read(write(row(*values.ravel()), "kpt_shape: [5, 2]"))
    np.testing.assert_allclose(annotation.landmarks[0], POINTS, rtol=1e-5)


def test_other_points_are_read_where_they_are_wanted(write):
    three = landmark_sets.LandmarkSet(3, ())
    values = np.concatenate([FRACTIONS[:3], [[2], [0], [1]]], axis=1).ravel()
    for text in ("kpt_shape: [3, 3]", "nc: 1"):
        (annotation,), problems = yolo.read(write(row(*values), text), landmark_set=three)
        assert not problems
        np.testing.assert_allclose(annotation.landmarks[0, [0, 2]], POINTS[[0, 2]], rtol=1e-5)
        assert np.isnan(annotation.landmarks[0, 1]).all()


def test_other_keypoints_are_passed_over_and_polygons_give_the_box_round_them(write):
    (annotation,), problems = yolo.read(write(row(*[0.3] * 51), "kpt_shape: [17, 3]"))
    assert not problems and len(annotation.boxes) == 1 and np.isnan(annotation.landmarks).all()
    (annotation,), problems = yolo.read(write("0 0.15 0.2 0.35 0.1 0.3 0.5\n", "nc: 1"))
    assert not problems
    np.testing.assert_allclose(annotation.boxes, [[30, 10, 70, 50]], rtol=1e-5)


@pytest.mark.parametrize(
    "line",
    [
        "0", "0 0.5 0.5 0.1", "0 0.5 0.5 0.1 x", "0 0.5 0.5 0.1 nan", "0 50 30 40 40", "0 0.5 0.5 1.5 0.1",
        "0 0.5 0.5 0.1 0.1 0.9", row(*FRACTIONS.ravel()),
    ],
)  # fmt: skip
def test_lines_that_are_no_face_make_their_image_incomplete(write, line):
    (annotation,), problems = yolo.read(write(f"{line}\n{row()}"))
    assert len(annotation.boxes) == 1 and not annotation.is_complete
    assert [p.what for p in problems] == ["a line that is no box, polygon or points in fractions"]
    assert ":1" in problems[0].where


def test_boxes_without_area_and_inside_out(write):
    (annotation,), problems = yolo.read(write("0 0.25 0.3 0 0.4\n0 0.25 0.3 -0.2 0.4\n"))
    np.testing.assert_allclose(annotation.boxes, [[30, 10, 70, 50]], rtol=1e-5)
    assert not annotation.is_complete
    assert [p.what for p in problems] == ["a box without area", "a box turned inside out, put right"]


def test_classes_by_number_and_name(write):
    labels = row() + "1.0" + row()[1:] + "7" + row()[1:]
    directory = write(labels, "names: {0: dog, 1: Face}")
    (annotation,), problems = yolo.read(directory, class_name="face")
    assert (len(annotation.boxes), annotation.is_complete) == (1, False)
    assert [p.what for p in problems] == ["a face of no known class"]
    assert len(yolo.read(directory)[0][0].boxes) == 3
    with pytest.raises(ValueError, match="Face, dog"):
        yolo.read(directory, class_name="cat")


def test_an_empty_file_says_no_face_and_none_says_nothing(write, tmp_path):
    write("", name="empty")
    write(None, name="missing")
    (tmp_path / "images" / "damaged.png").write_bytes(b"no image")
    (tmp_path / "labels" / "damaged.txt").write_text(row())
    (tmp_path / "labels" / "stray.txt").write_text(row())
    annotations, problems = yolo.read(write(row(), name="b"))
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(1, True), (0, True)]
    assert [p.what for p in problems] == [
        "unreadable image",
        "an image without label file, left out; an empty one would say that it shows no face",
        "labels without an image",
    ]


def test_label_files_in_other_capitals(write, tmp_path):
    directory = write(row())
    (tmp_path / "labels" / "a.txt").rename(tmp_path / "labels" / "A.TXT")
    assert len(yolo.read(directory)[0][0].boxes) == 1


@pytest.mark.parametrize("settings", ["[1, 2", "- a\n- b\n", "a: [", "\0"])
def test_settings_that_are_none(write, settings):
    with pytest.raises(ValueError, match="data.yaml should hold|data.yaml should be"):
        yolo.read(write(row(), settings))


def test_splits(write, tmp_path):
    with pytest.raises(ValueError, match="train, val, test"):
        yolo.read(write(row()), "dev")
    assert len(yolo.read(str(tmp_path), "val")[0]) == 1  # nothing speaks of splits
    (tmp_path / "images").rename(tmp_path / "train")
    with pytest.raises(FileNotFoundError, match="'val'.*train"):
        yolo.read(str(tmp_path), "val")
