import os

import pytest

from mtcnn_tf.datasets import places


@pytest.fixture
def locate(tmp_path):
    """Writes images, and looks for what lists call them; paths come back relative to the set, with slashes."""

    def locate(present, *names, split="", inside=("images", "")):
        for name in present:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        folders = [os.path.join(tmp_path, folder) for folder in inside]
        found = places.locate([[name] for name in names], folders, str(tmp_path), split)
        return [path and os.path.relpath(path, tmp_path).replace(os.sep, "/") for path in found]

    return locate


@pytest.mark.parametrize(
    ("present", "name", "expected"),
    [
        (["images/a.jpg", "a.jpg"], "a.jpg", "images/a.jpg"),  # the likeliest place
        (["b/a.jpg"], "a.jpg", "b/a.jpg"),  # by its name within the set
        (["images/a.jpg"], "x/y/a.jpg", "images/a.jpg"),  # a path of another machine
        (["images/a.jpg"], "C:\\x\\a.jpg", "images/a.jpg"),
        (["images/a.jpg"], "/srv/x/a.jpg", "images/a.jpg"),
        (["images/a.jpg"], "../../x/a.jpg", "images/a.jpg"),
        (["b/x/a.jpg", "b/y/a.jpg"], "y/a.jpg", "b/y/a.jpg"),
        (["images/A.JPG"], "a.jpg", "images/A.JPG"),  # capitals
        (["images/a.png"], "a.jpg", "images/a.png"),  # another ending
        (["images/a.b.png"], "a.b", "images/a.b.png"),  # none
        (["images/a.JPG", "images/a.png"], "a.jpg", "images/a.JPG"),  # the nearest
    ],
)
def test_found(locate, present, name, expected):
    assert locate(present, name) == [expected]


@pytest.mark.parametrize(
    ("present", "name"),
    [
        ([], "a.jpg"),
        (["b/a.jpg", "c/a.jpg"], "a.jpg"),  # two that it may be
        (["images/a.png", "images/a.bmp"], "a.jpg"),
        (["2003/a.jpg"], "2002/a.jpg"),  # of another folder
        ([".cache/a.jpg"], "a.jpg"),
        (["images/a.txt"], "a.jpg"),
    ],
)
def test_never_guessed(locate, present, name):
    assert locate(present, name) == [f"images/{name}"]


@pytest.mark.parametrize("name", ["/etc/a.jpg", "..\\a.jpg", "a/../../a.jpg"])
def test_nothing_outside_is_taken(locate, name):
    assert locate([], name) == [None]


def test_a_image_that_is_listed_itself_is_no_other_ones(locate):
    assert locate(["images/x/a.jpg"], "a.jpg", "x/a.jpg") == ["images/a.jpg", "images/x/a.jpg"]


def test_images_of_other_splits_are_none_of_this_one(locate):
    assert locate(["valid/a.jpg", "photos/b.jpg"], "a.jpg", "b.jpg", split="train") == ["images/a.jpg", "photos/b.jpg"]
    assert locate([], "a.jpg", split="val") == ["valid/a.jpg"]
