import numpy as np
import pytest

from mtcnn_tf.datasets import voc


def an_object(name, edges, difficult=0):
    box = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=False))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "Annotations").mkdir()

    def write(name, *objects, filename=None, head=""):
        text = f"{head}<annotation><filename>{filename or name + '.jpg'}</filename>{''.join(objects)}</annotation>"
        (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
        return str(tmp_path)

    return write


def test_pixels_counted_from_one_become_edges(write):
    (annotation,), problems = voc.read(write("a", an_object("face", (1, 1, 10, 20))))
    assert not problems
    np.testing.assert_array_equal(annotation.boxes, [[0, 0, 10, 20]])
    assert annotation.is_complete


def test_boxes_turned_inside_out_are_put_right(write):
    edges = (1, 5, 30, 40), (30, 5, 1, 40), (1, 40, 30, 5), (30, 40, 1, 5)
    (annotation,), problems = voc.read(write("a", *(an_object("face", four) for four in edges)))
    np.testing.assert_array_equal(annotation.boxes, [[0, 4, 30, 40]] * 4)
    assert annotation.is_complete
    assert [p.what for p in problems] == ["a box turned inside out, put right"] * 3


def test_one_pixel_has_an_area_and_less_has_none(write):
    directory = write("a", an_object("face", (5, 5, 5, 5)), an_object("face", (5, 5, 4, 9)))
    (annotation,), problems = voc.read(directory)
    np.testing.assert_array_equal(annotation.boxes, [[4, 4, 5, 5]])
    assert not annotation.is_complete
    assert [p.what for p in problems] == ["a box without area"]


def test_an_image_outside_of_the_set_is_left_out(write):
    write("a", an_object("face", (1, 1, 5, 5)), filename="..")
    annotations, problems = voc.read(write("b"))
    assert [annotation.image_path.rpartition("/")[2] for annotation in annotations] == ["b.jpg"]
    assert [problem.what for problem in problems] == ["a path that leads out of the data set"]


def test_the_stated_size_travels_and_0_states_none(write):
    sizes = ["<width>640</width><height>480</height>", "<width>0</width><height>0</height>", "<width>x</width>", ""]
    for name, size in zip("abcd", sizes, strict=True):
        directory = write(name, f"<size>{size}</size>")
    assert [annotation.size for annotation in voc.read(directory)[0]] == [(640, 480), None, None, None]


def test_classes_and_difficult_objects(write):
    directory = write(
        "a", an_object("face", (1, 1, 5, 5)), an_object("dog", (1, 1, 7, 7)), an_object("face", "1199", 1)
    )
    (only_faces,), _ = voc.read(directory, class_name="face")
    assert only_faces.boxes.tolist() == [[0, 0, 5, 5]]
    assert only_faces.ignored.tolist() == [[0, 0, 9, 9]]
    (everything,), _ = voc.read(directory)
    assert len(everything.boxes) == 2
    with pytest.raises(ValueError, match="'cat'.*dog, face"):
        voc.read(directory, class_name="cat")


def test_capitals_make_no_other_class_and_an_object_without_one_no_background(write):
    write("a", an_object("Face", (1, 1, 5, 5)), an_object("face ", (1, 1, 9, 9), "True"))
    annotations, problems = voc.read(write("b", an_object("", (1, 1, 5, 5))), class_name="face")
    assert [(len(a.boxes), len(a.ignored), a.is_complete) for a in annotations] == [(1, 1, True), (0, 0, False)]
    assert [p.what for p in problems] == ["a face of no known class"]


def test_objects_without_box_are_problems(write):
    bad = ["<object><name>face</name></object>", an_object("face", (1, 2, 3)), an_object("face", (1, 2, 3, "x"))]
    (annotation,), problems = voc.read(write("a", *bad, an_object("face", (1, 1, 5, 5))))
    assert [p.what for p in problems] == ["an object without the four numbers of its box"] * 3
    assert len(annotation.boxes) == 1
    assert not annotation.is_complete


def test_entity_bombs_and_broken_files_are_refused(write):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    write("bomb", "<object><name>&b;</name></object>", head=bomb)
    write("broken", "<object>")
    annotations, problems = voc.read(write("good", an_object("face", (1, 1, 5, 5))))
    assert [p.what for p in problems] == ["an annotation that cannot be read"] * 2
    assert len(annotations) == 1


def test_names_of_images(write, tmp_path):
    """That are there, and that aren't; LabelImg's file keeps the old name of an image that was given another one."""
    (tmp_path / "JPEGImages").mkdir()
    for name in ("b.png", "renamed.jpg"):
        (tmp_path / "JPEGImages" / name).touch()
    for name, filename in (("a", "C:\\photos\\x.png"), ("b", "b"), ("c", "c"), ("renamed", "old.jpg")):
        directory = write(name, filename=filename)
    expected = ["x.png", "b.png", "c", "renamed.jpg"]
    assert [a.image_path for a in voc.read(directory)[0]] == [str(tmp_path / "JPEGImages" / n) for n in expected]


def test_lists_give_the_order(write, tmp_path):
    for name in "abc":
        directory = write(name, an_object("face", (1, 1, 5, 5)))
    assert [a.image_path[-5:] for a in voc.read(directory, "val")[0]] == ["a.jpg", "b.jpg", "c.jpg"]
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("c\na\nmissing\n")
    annotations, problems = voc.read(directory, "train")
    assert [a.image_path[-5:] for a in annotations] == ["c.jpg", "a.jpg"]
    assert len(problems) == 1
    with pytest.raises(FileNotFoundError, match="lists for: train"):
        voc.read(directory, "val")
    with pytest.raises(ValueError, match="train, val, test"):
        voc.read(directory, "dev")
