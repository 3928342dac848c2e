import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtcnn_tf.datasets import wider_face


@pytest.fixture
def read_text(tmp_path):
    """Writes the list of the training part and reads it."""

    def read(content):
        (tmp_path / "wider_face_split").mkdir(exist_ok=True)
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_bytes(content)
        return wider_face.read(str(tmp_path))

    return read


def whats(problems):
    return [problem.what for problem in problems]


def test_reads_boxes_and_paths(read_text, tmp_path):
    annotations, problems = read_text("a/b c.jpg\n2\n1 2 10 20 0 0 0 0 0 0 \n5 6 7 8 2 1 1 0 2 1 \nz.jpg\n1\n0 0 4 4\n")
    assert not problems
    assert [a.image_path for a in annotations] == [
        str(tmp_path / "WIDER_train" / "images" / p) for p in (os.path.join("a", "b c.jpg"), "z.jpg")
    ]
    np.testing.assert_array_equal(annotations[0].boxes, [[1, 2, 11, 22], [5, 6, 12, 14]])
    assert annotations[0].boxes.dtype == np.float32
    assert np.isnan(annotations[0].landmarks).all()
    assert all(a.is_complete for a in annotations)


def test_attributes_belong_to_the_boxes(read_text, tmp_path):
    text = "a.jpg\n4\n1 2 10 20 0 0 0 0 1 0\n5 6 7 8 1 1 1 1 1 1\n5 6 0 8 1 1 1 0 1 1\n5 6 7 8 2 0 1 0 2 1\n"
    (annotation, _), _ = read_text(text + "b.jpg\n1\n1 1 5 5\n")
    attributes = wider_face.read_attributes(str(tmp_path))
    assert len(annotation.boxes) == 2 and len(annotation.ignored) == 1
    expected = {"blur": [0, 2], "expression": [0, 0], "illumination": [0, 1], "occlusion": [1, 2], "pose": [0, 1]}
    assert {name: values.tolist() for name, (values, _) in attributes.items()} == expected
    assert {name: values.tolist() for name, (_, values) in attributes.items()} == dict.fromkeys(expected, [-1])


@pytest.mark.parametrize("dummy", ["", "0 0 0 0 0 0 0 0 0 0\n"])
def test_image_without_faces_with_and_without_dummy_line(read_text, dummy):
    annotations, problems = read_text(f"a.jpg\n0\n{dummy}b.jpg\n1\n1 1 5 5 0 0 0 0 0 0\n")
    assert not problems
    assert [len(a.boxes) for a in annotations] == [0, 1]
    assert all(a.is_complete for a in annotations)


def test_line_of_zeros_is_a_dummy_only_after_the_count_0_and_marks_no_face(read_text):
    (annotation,), problems = read_text("a.jpg\n1\n0 0 0 0 0 0 0 0 0 0\n")
    assert whats(problems) == ["a box without area"]
    assert annotation.is_complete


def test_invalid_faces_are_ignored_regions(read_text):
    (annotation,), problems = read_text("a.jpg\n2\n1 1 5 5 0 0 0 1 0 0\n3 3 5 5 0 0 0 0 0 0\n")
    assert not problems
    np.testing.assert_array_equal(annotation.ignored, [[1, 1, 6, 6]])
    np.testing.assert_array_equal(annotation.boxes, [[3, 3, 8, 8]])


@pytest.mark.parametrize("row", ["9 9 0 5 0 0 0 0 0 0", "9 9 5 0 0 0 0 1 0 0", "9 9 -1 -1 0 0 0 0 0 0", "9 9 1e-9 5"])
def test_box_without_area_is_a_problem_and_its_face_may_be_anywhere(read_text, row):
    (annotation,), problems = read_text(f"a.jpg\n2\n{row}\n3 3 5 5 0 0 0 0 0 0\n")
    assert whats(problems) == ["a box without area"]
    assert problems[0].where.endswith("bbx_gt.txt:3")
    assert len(annotation.boxes) == 1
    assert len(annotation.ignored) == 0
    assert not annotation.is_complete


def test_box_turned_inside_out_is_put_right(read_text):
    (annotation,), problems = read_text("a.jpg\n2\n30 9 -20 25 0 0 0 0 0 0\n30 40 -20 -25 0 0 0 1 0 0\n")
    assert whats(problems) == ["a box turned inside out, put right"] * 2
    np.testing.assert_array_equal(annotation.boxes, [[10, 9, 30, 34]])
    np.testing.assert_array_equal(annotation.ignored, [[10, 15, 30, 40]])
    assert annotation.is_complete


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_count_keeps_the_faces_and_the_next_image(read_text, count):
    annotations, problems = read_text(f"a.jpg\n{count}\n1 1 5 5\n2 2 5 5\nb.jpg\n1\n3 3 5 5\n")
    assert whats(problems) == ["the count of faces does not match"]
    assert [len(a.boxes) for a in annotations] == [2, 1]
    assert [a.is_complete for a in annotations] == [False, True]


def test_missing_count(read_text):
    annotations, problems = read_text("a.jpg\n1 1 5 5\nb.jpg\n")
    assert whats(problems) == ["no count of faces after the path"] * 2
    assert [len(a.boxes) for a in annotations] == [1, 0]
    assert not any(a.is_complete for a in annotations)


@pytest.mark.parametrize(
    "row", ["1 1 x 5 0 0 0 0 0 0", "1 1 nan 5", "1 1 inf 5", "1 1 5", "1 1 1e30 5", "1 1 5 5 0 0", "garbage"]
)
def test_damaged_line_is_a_problem_and_the_image_not_complete(read_text, row):
    annotations, problems = read_text(f"a.jpg\n2\n{row}\n2 2 5 5 0 0 0 0 0 0\nb.jpg\n1\n3 3 5 5\n")
    assert whats(problems) == ["a face's line without its 4 or 10 numbers"]
    assert [len(a.boxes) for a in annotations] == [1, 1]
    assert [a.is_complete for a in annotations] == [False, True]


def test_truncated_last_record(read_text):
    annotations, problems = read_text("a.jpg\n1\n1 1 5 5 0 0 0 0 0 0\nb.jpg\n2\n1 1 5 5 0 0 0 0 0 0\n2 2 5")
    assert len(problems) == 1
    assert [len(a.boxes) for a in annotations] == [1, 1]
    assert [a.is_complete for a in annotations] == [True, False]


def test_mark_crlf_blank_lines_and_blanks_change_nothing(read_text):
    plain, _ = read_text("a.jpg\n1\n1 2 5 5 0 0 0 0 0 0\nb.jpg\n0\n")
    odd, problems = read_text(b"\xef\xbb\xbf\r\na.jpg  \r\n\r\n 1 \r\n1 2\t5 5 0 0 0 0 0 0 \r\n\r\nb.jpg\r\n0\r\n \r\n")
    assert not problems
    assert [a.image_path for a in odd] == [a.image_path for a in plain]
    np.testing.assert_array_equal(odd[0].boxes, plain[0].boxes)


def test_line_before_first_image_and_names_not_in_utf8(read_text):
    annotations, problems = read_text(b"3 3 3 3\n\xe9t\xe9.jpg\n0\n")
    assert whats(problems) == ["a line before the first image"]
    assert os.fsencode(annotations[0].image_path).endswith(b"\xe9t\xe9.jpg")
    assert str(problems[0]).encode()


def test_errors_say_what_is_there(read_text, tmp_path):
    read_text("a.jpg\n0\n")
    with pytest.raises(FileNotFoundError, match="lists for: train"):
        wider_face.read(str(tmp_path), "val")
    with pytest.raises(ValueError, match="train, val"):
        wider_face.read(str(tmp_path), "test")
    with pytest.raises(FileNotFoundError, match="is not there"):
        wider_face.read(str(tmp_path / "nowhere"))


BOX = st.tuples(*[st.integers(0, 5000)] * 2, *[st.integers(1, 3000)] * 2, st.booleans())
NAME = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(lambda t: "\\" not in t)
IMAGES = st.lists(st.tuples(NAME, st.lists(BOX, max_size=4)), max_size=5)


def as_text(images):
    lines = []
    for name, boxes in images:
        lines += [f"event/x{name}.jpg", str(len(boxes))]
        lines += [f"{x} {y} {w} {h} 0 0 0 {int(invalid)} 0 0 " for x, y, w, h, invalid in boxes]
        lines += [] if boxes else ["0 0 0 0 0 0 0 0 0 0 "]
    return "".join(line + "\n" for line in lines)


IN_ONE_DIRECTORY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@IN_ONE_DIRECTORY
@given(IMAGES.filter(lambda images: all("/" not in name for name, _ in images)))
def test_what_is_written_is_read(read_text, images):
    annotations, problems = read_text(as_text(images))
    assert not problems
    assert [os.path.basename(a.image_path) for a in annotations] == [f"x{name}.jpg" for name, _ in images]
    for annotation, (_, boxes) in zip(annotations, images, strict=True):
        for got, is_invalid in ((annotation.boxes, False), (annotation.ignored, True)):
            expected = [[x, y, x + w, y + h] for x, y, w, h, invalid in boxes if invalid == is_invalid]
            np.testing.assert_array_equal(got, np.reshape(expected, (-1, 4)))
        assert annotation.is_complete


@IN_ONE_DIRECTORY
@given(IMAGES, st.data())
def test_no_mutation_breaks_the_reader(read_text, images, data):
    content = bytearray(as_text(images).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 5)))
        content[start:end] = data.draw(st.binary(max_size=6))
    annotations, _ = read_text(bytes(content))
    for annotation in annotations:
        for boxes in (annotation.boxes, annotation.ignored):
            assert np.isfinite(boxes).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()
