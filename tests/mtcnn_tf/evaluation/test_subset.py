import pytest

from mtcnn_tf import faces, files
from mtcnn_tf.evaluation import subset


@pytest.fixture
def annotations(tmp_path):
    """Three images, one of them missing, two with the same name in different folders."""
    paths = [tmp_path / "set" / name for name in ("a/1.jpg", "b/1.jpg", "b/2.jpg")]
    for path in paths[:2]:
        path.parent.mkdir(parents=True)
        path.touch()
    return [faces.Annotation(str(path)) for path in paths]


def write(tmp_path, *lines):
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def test_images_that_are_not_here_are_left_out_and_told(annotations):
    chosen, notes = subset.choose(annotations, [faces.Problem("list:3", "a bad line")], "set")
    assert chosen == annotations[:2]
    assert notes == [
        "Of the 3 images in the lists, 2 are here and counted.",
        "1 flaws of the lists were stepped over, the first: list:3: a bad line",
    ]


def test_a_list_names_images_by_endings_and_by_paths_in_its_own_order(tmp_path, annotations, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for second in (annotations[0].image_path, "set/a/1.jpg", "./set/a/1.jpg", "a/1.jpg"):
        assert subset.named(annotations, write(tmp_path, "b/1.jpg", second, "", second)) == annotations[1::-1]


def test_a_list_names_images_with_line_breaks_in_their_names(tmp_path):
    broken = [
        faces.Annotation(str(tmp_path / name)) for name in ("line\nbreak.jpg", "break.jpg", "line", "Käse 顔.jpg")
    ]
    lines = [files.one_line(annotation.image_path) for annotation in broken]
    assert not any("\n" in line for line in lines) and lines[3] == broken[3].image_path
    assert subset.named(broken, write(tmp_path, *lines)) == broken


def test_a_list_may_name_images_of_other_sets(tmp_path, annotations):
    other = tmp_path / "other.jpg"
    other.touch()
    assert subset.named(annotations, write(tmp_path, other, "a/1.jpg")) == annotations[:1]
    with pytest.raises(ValueError, match="found none"):
        subset.choose(annotations, [], "set", write(tmp_path, other))


@pytest.mark.parametrize("line", ["c/1.jpg", "1.jpg", ".jpg"])
def test_lines_that_name_none_or_two_are_refused(tmp_path, annotations, line):
    with pytest.raises(ValueError, match=f"1 don't, such as '{line}'"):
        subset.named(annotations, write(tmp_path, "a/1.jpg", line))
