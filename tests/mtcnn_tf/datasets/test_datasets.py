import os

import pytest

from mtcnn_tf import datasets, faces
from mtcnn_tf.datasets import annotation_lists


def test_reads_by_name_and_keeps_the_rest_of_the_directory(tmp_path):
    directory = tmp_path / "with:colon"
    for name in ("b/2.PNG", "b/1.jpg", "a.jpeg", "notes.txt", ".hidden.jpg", ".cache/x.jpg"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    annotations, problems = datasets.read(f"folder:{directory}", class_name="face")
    assert not problems
    assert [os.path.relpath(a.image_path, directory) for a in annotations] == [
        "a.jpeg",
        os.path.join("b", "1.jpg"),
        os.path.join("b", "2.PNG"),
    ]
    assert all(a.is_complete and len(a.boxes) == 0 for a in annotations)


def test_images_without_faces_may_be_listed_in_a_file(tmp_path):
    (tmp_path / "list.txt").write_text("b/2.PNG\n\n/elsewhere/1.jpg\nnotes.txt\na.jpg\n")
    annotations, problems = datasets.read(f"folder:{tmp_path / 'list.txt'}")
    assert not problems and all(a.is_complete and len(a.boxes) == 0 for a in annotations)
    expected = ["/elsewhere/1.jpg", *(str(tmp_path / name) for name in ("a.jpg", "b/2.PNG"))]
    assert sorted(annotation.image_path for annotation in annotations) == expected


def test_faces_without_image_or_class_are_an_alarm():
    whats = [annotation_lists.NO_IMAGE, "a box without area", annotation_lists.NO_IMAGE, annotation_lists.NO_CLASS]
    met = [faces.Problem(f"list.json: annotation {index}", what) for index, what in enumerate(whats)]
    first, second = datasets.alarms("coco:DIR", met)
    assert "coco:DIR" in first and "2 × a face in no known image" in first and "annotation 0" in first
    assert "1 × a face of no known class" in second and "annotation 3" in second
    assert datasets.alarms("coco:DIR", met[1:2]) == []


@pytest.mark.parametrize("spec", ["lfw:/x", "folder", "folder:", ":/x", ""])
def test_unknown_names_list_the_known_ones(spec):
    with pytest.raises(ValueError, match="wider_face, wider_face_landmarks, celeba"):
        datasets.read(spec)


@pytest.mark.parametrize("name", datasets.NAMES)
def test_missing_directory(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        datasets.read(f"{name}:{tmp_path / 'nowhere'}")


@pytest.mark.parametrize("name", [name for name in datasets.NAMES if name != "folder"])
def test_missing_list(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="there"):
        datasets.read(f"{name}:{tmp_path}")


def test_nothing_found_names_the_first_problem(tmp_path):
    with pytest.raises(ValueError, match="none was found; check"):
        datasets.read(f"folder:{tmp_path}")
    (tmp_path / "trainImageList.txt").write_text("a.jpg 1 2\n")
    with pytest.raises(ValueError, match=r"trainImageList.txt:1: a line without"):
        datasets.read(f"points:{tmp_path}")


def test_only_classes_of_formats_that_have_them_are_asked_for(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation><object><name>face</name></object></annotation>")
    with pytest.raises(ValueError, match="its classes are: face"):
        datasets.read(f"voc:{tmp_path}", class_name="head")
