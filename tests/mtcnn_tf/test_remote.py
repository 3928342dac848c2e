"""Files under addresses, by TensorFlow's file system in memory, ram://, which stands for a bucket."""

import itertools
import pathlib
import subprocess
import sys

import pytest

from mtcnn_tf import files, remote, stages
from mtcnn_tf.models import networks

ROOT = pathlib.Path(__file__).parents[2]

_numbers = itertools.count()


def new_folder() -> remote.Path:
    """An address that no test has used."""
    return remote.Path(f"ram://remote-{next(_numbers)}-")


def test_paths_are_put_together_as_pathlib_does():
    path = files.as_path("gs://bucket/a") / "b" / "c.txt"
    assert str(path) == "gs://bucket/a/b/c.txt" and path.name == "c.txt"
    assert path.parent == files.as_path("gs://bucket/a/b") and str(path.with_name("d")) == "gs://bucket/a/b/d"


@pytest.mark.parametrize("local", ["a", "/a/b", "a/gs://b", "C:\\a", "gs:/b", "./gs://b"])
def test_what_is_no_address_stays_a_local_path(local):
    assert not files.is_remote(local) and files.as_path(local) == pathlib.Path(local)
    assert not files.is_remote(pathlib.Path(local))


def test_what_is_written_is_read():
    path = new_folder() / "a" / "ä.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("one\r\ntwo ü")
    assert path.read_bytes() == "one\r\ntwo ü".encode()
    assert path.read_text() == "one\ntwo ü"
    with files.open(path, encoding="utf-8") as file:
        assert list(file) == ["one\n", "two ü"]
    with files.open(path, "rb") as file:
        assert file.read(3) == b"one"
    assert path.stat().st_size == 11 and path.is_file() and not path.is_dir()
    assert path.parent.is_dir() and not path.parent.is_file()


def test_a_file_gets_its_name_at_the_end_and_a_failed_one_leaves_what_was_there():
    path = new_folder() / "a.txt"
    with files.atomic_write(path) as partial:
        partial.write_text("before")
        assert not path.is_file() and partial.is_file()
    with pytest.raises(KeyboardInterrupt), files.atomic_write(str(path)) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before" and not partial.is_file()


def test_what_a_killed_process_left_is_removed():
    folder = new_folder()
    for name in ("a.txt", ".partial-1-a.txt", "train/.partial-2-b", "train/b"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("x")
    files.remove_partial(folder)
    assert [path.name for path in folder.rglob("*")] == ["a.txt", "train", "b"]
    files.remove_folder(folder)
    files.remove_folder(folder)
    assert not folder.is_dir()


def test_errors_are_those_of_local_files():
    missing = new_folder() / "none"
    for wanted in (
        missing.read_bytes,
        missing.read_text,
        missing.stat,
        missing.unlink,
        lambda: missing.replace(missing),
    ):
        with pytest.raises(FileNotFoundError, match=str(missing)):
            wanted()
    missing.unlink(missing_ok=True)
    assert not missing.is_file() and not missing.is_dir() and missing.glob("*") == list(missing.walk()) == []
    unnameable = missing / "\udcff.jpg"
    assert not unnameable.is_file()
    with pytest.raises(FileNotFoundError):
        unnameable.read_bytes()
    with pytest.raises(OSError, match="^other://a: .*'other' not implemented"):
        files.as_path("other://a").is_file()
    folder = new_folder()
    folder.mkdir()
    with pytest.raises(OSError, match="is a directory"):
        folder.write_text("x")


def test_names_with_wildcards_are_names():
    folder = new_folder() / "[a]*"
    folder.mkdir()
    (folder / "b.txt").write_text("x")
    assert folder.glob("*.txt") == [folder / "b.txt"]


def test_a_network_is_loaded_from_an_address(tmp_path):
    network = networks.build(stages.PNET)
    network.save(tmp_path / "pnet.keras")
    folder = new_folder()
    folder.mkdir()
    (folder / "pnet.keras").write_bytes((tmp_path / "pnet.keras").read_bytes())
    loaded = networks.load(folder / "pnet.keras")
    assert all((a == b).all() for a, b in zip(loaded.get_weights(), network.get_weights(), strict=True))
    with pytest.raises(FileNotFoundError):
        networks.load(folder / "rnet.keras")
    (folder / "bad.keras").write_bytes(b"no network")
    with pytest.raises(ValueError, match="bad.keras"):
        networks.load(folder / "bad.keras")


def test_local_files_do_not_load_tensorflow():
    code = (
        "import sys; from mtcnn_tf import datasets, files; files.as_path('a'); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
