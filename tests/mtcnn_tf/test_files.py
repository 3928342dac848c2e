import ntpath
import os

import pytest

from mtcnn_tf import files


def test_a_file_gets_its_name_at_the_end(tmp_path):
    with files.atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
        assert partial.suffix == ".txt" and partial.parent == tmp_path
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_was_there_stays_when_the_writing_fails(tmp_path, error):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(error), files.atomic_write(str(tmp_path / "a.txt")) as partial:
        partial.write_text("half")
        raise error
    assert (tmp_path / "a.txt").read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_two_that_write_the_same_file_do_not_meet(tmp_path):
    with files.atomic_write(tmp_path / "a.txt") as first, files.atomic_write(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first" and os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_gets_its_name_at_the_end_and_replaces_none(tmp_path):
    def write(content):
        with files.atomic_write(tmp_path / "1") as partial:
            partial.mkdir()
            (partial / "a.txt").write_text(content)
            assert not (tmp_path / "1" / "a.txt").exists() or content == "second"

    write("first")
    with pytest.raises(OSError, match="not empty"):
        write("second")
    assert os.listdir(tmp_path) == ["1"] and (tmp_path / "1" / "a.txt").read_text() == "first"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "{{function_node __wrapped__SaveV2_device_/job:a}} a/b; No space left [Op:SaveV2]\nmore",
            "a/b; No space left",
        ),
        ("a/b; No space left", "a/b; No space left"),
    ],
)
def test_what_tensorflow_says_without_its_operations(message, reason):
    assert files.reason(message) == reason


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "train").mkdir()
    with files.atomic_write(tmp_path / "train" / "a.tfrecord") as partial:
        partial.write_text("whole")
    partial.write_text("half")
    (tmp_path / "train" / ".partial-1-2").mkdir()
    (tmp_path / "train" / ".partial-1-2" / "half").touch()
    files.remove_partial_of(tmp_path / "train" / "b.tfrecord")
    assert len(os.listdir(tmp_path / "train")) == 3
    files.remove_partial_of(tmp_path / "train" / "a.tfrecord")
    assert sorted(os.listdir(tmp_path / "train")) == [".partial-1-2", "a.tfrecord"]
    files.remove_partial(tmp_path)
    assert os.listdir(tmp_path / "train") == ["a.tfrecord"]


def test_a_way_from_one_folder_to_a_file(monkeypatch):
    assert files.relative("/a/b/c.jpg", "/a") == "b/c.jpg"
    assert files.relative("/a/c.jpg", "/b") == "../a/c.jpg"
    assert files.relative("gs://bucket/a/b.jpg", "gs://bucket/a/") == "b.jpg"
    monkeypatch.setattr(files.os, "path", ntpath)
    monkeypatch.setattr(files.os, "sep", "\\")
    assert files.relative("C:\\a\\b.jpg", "C:\\a") == "b.jpg"
    assert files.relative("D:\\a\\b.jpg", "C:\\a") == "D:/a/b.jpg"  # from one drive to another there is none
