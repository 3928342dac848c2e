import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcnn_tf.datasets import wider_face_landmarks

POINTS = [[10, 10], [20, 10], [15, 16], [11, 22], [19, 22]]
WITH_FLAGS = " ".join(f"{x} {y} {flag}" for (x, y), flag in zip(POINTS, (0.0, 1.0, 0.0, 0.0, 0.0), strict=True))
NO_POINTS = " ".join(["-1.0"] * 15)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def check(annotation):
    np.testing.assert_array_equal(annotation.boxes, [[5, 4, 25, 34], [50, 60, 57, 68]])
    np.testing.assert_array_equal(annotation.landmarks[0], POINTS)
    assert np.isnan(annotation.landmarks[1]).all()


def test_label_txt_has_widths_and_a_score(tmp_path):
    write(tmp_path / "train" / "label.txt", f"# a/b.jpg\n5 4 20 30 {WITH_FLAGS} 0.9\n50 60 7 8 {NO_POINTS} 0.0\n")
    (annotation,), problems = wider_face_landmarks.read(str(tmp_path))
    assert not problems
    check(annotation)


def test_labelv2_txt_has_corners_and_ignored_regions(tmp_path):
    content = f"# a/b.jpg 640 480\n5 4 25 34 {WITH_FLAGS}\n50 60 57 68\n1 2 3 4 1\n"
    write(tmp_path / "train" / "labelv2.txt", content)
    (tmp_path / "train" / "images").mkdir()
    (annotation,), problems = wider_face_landmarks.read(str(tmp_path))
    assert not problems
    check(annotation)
    np.testing.assert_array_equal(annotation.ignored, [[1, 2, 3, 4]])
    assert annotation.image_path == str(tmp_path / "train" / "images" / "a" / "b.jpg")
    assert annotation.size == (640, 480)


def test_labelv2_flag_0_is_a_face(tmp_path):
    write(tmp_path / "train" / "labelv2.txt", "# a.jpg 640 480\n1 2 3 4 0\n")
    (annotation,), _ = wider_face_landmarks.read(str(tmp_path))
    assert (len(annotation.boxes), len(annotation.ignored)) == (1, 0)


def test_single_points_may_be_unknown(tmp_path):
    row = f"5 4 25 34 -1 -1 -1 {WITH_FLAGS.split(' ', 3)[3]}"
    write(tmp_path / "val" / "labelv2.txt", f"# a.jpg 640 480\n{row}\n")
    (annotation,), _ = wider_face_landmarks.read(str(tmp_path), "val")
    np.testing.assert_array_equal(np.isnan(annotation.landmarks[0]).all(axis=1), [True, False, False, False, False])


def test_machine_landmarks_beside_wider_faces_own_list(tmp_path):
    split_dir = tmp_path / "wider_face_split"
    write(
        split_dir / "label_machine_landmarks.txt",
        f"# a/b.jpg\n5 4 20 30 {WITH_FLAGS} 1.00\n50 60 7 8 {NO_POINTS} 0.00\n",
    )
    write(split_dir / "wider_face_train_bbx_gt.txt", "a/b.jpg\n2\n5 4 20 30 0 0 0 0 0 0\n70 80 9 9 0 0 0 1 0 0\n")
    (annotation,), problems = wider_face_landmarks.read(str(tmp_path))
    assert not problems
    check(annotation)
    np.testing.assert_array_equal(annotation.ignored, [[70, 80, 79, 89]])
    assert annotation.image_path == str(tmp_path / "WIDER_train" / "images" / "a" / "b.jpg")
    with pytest.raises(FileNotFoundError, match="lists for: train"):
        wider_face_landmarks.read(str(tmp_path), "val")


def test_what_wider_faces_own_list_lacks_is_no_background(tmp_path):
    write(tmp_path / "train" / "label.txt", "# a/b.jpg\n5 4 20 30\n# a/c.jpg\n5 4 20 30\n")
    own = "a/b.jpg\n2\n5 4 20 30 0 0 0 0 0 0\n70 80 0 9 0 0 0 1 0 0\na/c.jpg\n1\n5 4 20 30 0 0 0 0 0 0\n"
    write(tmp_path / "wider_face_split" / "wider_face_train_bbx_gt.txt", own)
    annotations, _ = wider_face_landmarks.read(str(tmp_path))
    assert [annotation.is_complete for annotation in annotations] == [False, True]


@pytest.mark.parametrize(("name", "row"), [("label.txt", "30 40 -20 -25"), ("labelv2.txt", "10 40 30 15")])
def test_boxes_turned_inside_out_are_put_right(tmp_path, name, row):
    write(tmp_path / "train" / name, f"# a.jpg{' 640 480' * (name == 'labelv2.txt')}\n{row}\n")
    (annotation,), problems = wider_face_landmarks.read(str(tmp_path))
    np.testing.assert_array_equal(annotation.boxes, [[10, 15, 30, 40]])
    assert annotation.is_complete and [p.what for p in problems] == ["a box turned inside out, put right"]


def test_damaged_lines_are_problems(tmp_path):
    rows = "1 2 3\n1 2 x 4\n1 2 0 4\n# \n1 2 3 4\n# b.jpg\n1 2 3 4\n"
    write(tmp_path / "train" / "label.txt", f"7 7 7 7\n# a.jpg\n{rows}")
    annotations, problems = wider_face_landmarks.read(str(tmp_path))
    assert sorted(problem.what for problem in problems) == [
        "a box without area",
        "a face's line with a wrong number of numbers",
        "a face's line with a wrong number of numbers",
        "a line before the first image",
        "an image's line without its path",
    ]
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(0, False), (1, True)]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(["label.txt", "labelv2.txt"]))
def test_no_mutation_breaks_the_reader(data, name):
    content = bytearray(
        f"# a.jpg 64 48\n5 4 25 34 {WITH_FLAGS}\n1 2 3 4 1\n# b.jpg\n5 4 20 30 {NO_POINTS} 0\n".encode()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=6))
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "train" / name
        path.parent.mkdir()
        path.write_bytes(content)
        annotations, _ = wider_face_landmarks.read(directory)
    for annotation in annotations:
        assert (annotation.boxes[:, 2:] > annotation.boxes[:, :2]).all()
        assert annotation.landmarks.shape == (len(annotation.boxes), 5, 2)
