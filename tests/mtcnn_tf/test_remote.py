"""Files under addresses, by TensorFlow's file system in memory, ram://, which stands for a bucket."""

import itertools
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from mtcnn_tf import files, stages
from mtcnn_tf.models import networks

ROOT = pathlib.Path(__file__).parents[2]

_numbers = itertools.count()


def new_folder() -> files.Path:
    """A folder at an address that no test has used."""
    folder = files.as_path(f"ram://remote-{next(_numbers)}-")
    folder.mkdir()
    return folder


def test_paths_are_put_together_as_pathlib_does():
    path = files.as_path("gs://bucket/a") / "b" / "c.txt"
    assert str(path) == "gs://bucket/a/b/c.txt" and path.name == "c.txt"
    assert path.parent == files.as_path("gs://bucket/a/b") and str(path.with_name("d")) == "gs://bucket/a/b/d"


@pytest.mark.parametrize("local", ["a", "/a/b", "a/gs://b", "C:\\a", "gs:/b", "./gs://b", "/gs/b", "/ram/b"])
def test_what_is_no_address_stays_a_local_path(local):
    assert not files.is_address(local) and not files.is_address(pathlib.Path(local))
    path = files.as_path(local)
    assert isinstance(path, pathlib.Path) and path == pathlib.Path(local)


def test_what_is_written_is_read():
    path = new_folder() / "a" / "ä.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\ufeffone\r\ntwo ü".encode() + b"\xff")
    assert path.read_bytes() == b"\xef\xbb\xbfone\r\ntwo \xc3\xbc\xff"
    assert files.read_text(path, "utf-8-sig", "surrogateescape") == "one\ntwo ü\udcff"
    with pytest.raises(UnicodeDecodeError):
        files.read_text(path)
    with files.open(path) as file:
        assert file.read(6) == b"\xef\xbb\xbfone" and file.read(1) == b"\r"
    assert files.num_bytes(path) == 15 and files.is_file(path) and not files.is_dir(path)
    assert files.is_dir(path.parent) and not files.is_file(path.parent)
    with files.local(path) as copy:
        assert pathlib.Path(copy).read_bytes() == path.read_bytes() and copy.endswith("ä.txt")


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
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    files.remove_partial(folder)
    left = [(parent, sorted(folders), names) for parent, folders, names in files.walk(folder)]
    assert left == [(str(folder), ["train"], ["a.txt"]), (f"{folder}/train", [], ["b"])]
    files.remove_folder(folder)
    files.remove_folder(folder)
    assert not folder.is_dir()


def test_errors_are_those_of_local_files():
    missing = new_folder() / "none"
    for wanted in (files.read_text, files.num_bytes, files.sha256):
        with pytest.raises(FileNotFoundError, match=str(missing)):
            wanted(missing)
    assert not files.is_file(missing) and not files.is_dir(missing)
    assert files.glob(missing, "*") == files.glob(missing, "a/*") == list(files.walk(missing)) == []
    unnameable = missing / "\udcff.jpg"
    assert not files.is_file(unnameable)
    with pytest.raises(FileNotFoundError):
        files.read_text(unnameable)
    folder = new_folder()
    with pytest.raises(OSError, match=f"^{folder}/a: .*is a directory.$"), files.atomic_write(folder / "a"):
        folder.write_text("x")
    with pytest.raises(FileNotFoundError), files.atomic_write(folder / "a"):
        pass


@pytest.mark.parametrize("ask", [files.is_file, files.read_text, files.as_path])
def test_addresses_of_an_unknown_kind_are_refused(ask):
    with pytest.raises(OSError, match="^expected a path or an address such as gs://.*, got 'other://a'; copy"):
        ask("other://a")


def test_addresses_that_tensorflow_does_not_open_are_refused():
    with pytest.raises(OSError, match="^az://a/b: .*'az' not implemented"):
        files.is_file("az://a/b")


def test_names_with_wildcards_are_names():
    folder = new_folder() / "[a]*"
    folder.mkdir()
    for name in ("b.txt", "a.txt", ".c.txt", "d.jpg"):
        (folder / name).write_text("x")
    assert files.glob(folder, "*.txt") == [f"{folder}/a.txt", f"{folder}/b.txt"]
    assert files.glob(folder.parent, "[[]a]*/*.txt") == []


def test_a_network_is_loaded_from_an_address(tmp_path):
    network = networks.build(stages.PNET)
    network.save(tmp_path / "pnet.keras")
    folder = new_folder()
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
        "import sys; from mtcnn_tf import datasets, files; files.as_path('a').is_file(); files.is_file('a'); "
        "files.as_path('gs://a/b'); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_an_address_refuses_is_an_os_error(monkeypatch):
    def refuse(*_, **__):
        raise tf.errors.PermissionDeniedError(None, None, "you may not")

    for name in ("makedirs", "remove"):
        monkeypatch.setattr(tf.io.gfile, name, refuse)
    path = files.as_path("ram://refused/a")
    for call in (files.make_folder, files.remove):
        with pytest.raises(OSError, match="ram://refused/a: you may not"):
            call(path)
