"""Files and folders, here and elsewhere: found, opened, written whole or not at all, and whether they still are whole.

Data sets, networks and records may lie where `tf.io.gfile` reaches, under an address such as gs://BUCKET/NAME. Local
files are opened by Python itself, and TensorFlow is not loaded for them.
"""

import builtins
import contextlib
import glob as globbing
import hashlib
import os
import pathlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from mtcnn_tf import remote

Path: TypeAlias = "pathlib.Path | remote.Path"
"""What `as_path` returns."""

_ADDRESS = re.compile("[a-z][a-z0-9+.-]*://")
_MARK = ".partial-"


def is_remote(path: str | os.PathLike) -> bool:
    """Whether `path` is an address, such as gs://BUCKET/NAME."""
    return _ADDRESS.match(os.fspath(path)) is not None


def as_path(path: str | os.PathLike) -> Path:
    """`path` as a `pathlib.Path`, or for an address as a `remote.Path`, which has the same methods."""
    if not is_remote(path):
        return pathlib.Path(path)
    from mtcnn_tf import remote  # brings TensorFlow along

    return remote.Path(os.fspath(path))


def open(path: str | os.PathLike, mode: str = "r", **options: Any) -> IO:
    """As Python's `open`; addresses can be read from."""
    return as_path(path).open(mode, **options) if is_remote(path) else builtins.open(path, mode, **options)


def is_file(path: str | os.PathLike) -> bool:
    """As `os.path.isfile`."""
    return as_path(path).is_file() if is_remote(path) else os.path.isfile(path)


def is_dir(path: str | os.PathLike) -> bool:
    """As `os.path.isdir`; in a bucket, whether anything lies below."""
    return as_path(path).is_dir() if is_remote(path) else os.path.isdir(path)


def listdir(directory: str) -> list[str]:
    """As `os.listdir`."""
    return [path.name for path in as_path(directory).glob("*")] if is_remote(directory) else os.listdir(directory)


def glob(directory: str, pattern: str) -> list[str]:
    """Paths of what below `directory` fits the pattern, sorted."""
    if is_remote(directory):
        return [str(path) for path in as_path(directory).glob(pattern)]
    return sorted(globbing.glob(os.path.join(globbing.escape(directory), pattern)))


def walk(directory: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`."""
    return as_path(directory).walk() if is_remote(directory) else os.walk(directory)


def relative(path: str, directory: str) -> str:
    """`path` as from `directory` on, with slashes; as it is where no way leads there, as from one drive to another."""
    if is_remote(path):
        return path.removeprefix(f"{directory.rstrip('/')}/")
    try:
        return os.path.relpath(path, directory).replace(os.sep, "/")
    except ValueError:
        return path.replace(os.sep, "/")


def remove_folder(path: Path) -> None:
    """Removes the folder with all that lies in it, as far as it is there and can be removed."""
    path.rmtree() if is_remote(path) else shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def local(path: str | os.PathLike) -> Iterator[str]:
    """A local file with the contents of the one at `path`: itself, or for an address a copy while the context lasts."""
    if not is_remote(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory, as_path(path).name)
        copy.write_bytes(as_path(path).read_bytes())
        yield str(copy)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """A name to write to, in the same folder and with the same ending.

    The file, or the folder where none is yet, gets its own name at the end of the context; if the writing failed it
    goes, and what was there stays. In a bucket the last step is a copy, which appears whole as well.
    """
    path = as_path(path)
    # Drawn by chance: two machines may give a process the same number, and may write the same file.
    partial = path.with_name(f"{_MARK}{secrets.token_hex(3)}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


def remove_partial(directory: Path) -> None:
    """Removes from `directory`, at any depth, what a killed process left half-written."""
    for partial in list(directory.rglob(f"{_MARK}*")):
        _remove(partial)


def remove_partial_of(path: pathlib.Path) -> None:
    """Removes what a killed process left half-written of the file at `path`."""
    for partial in path.parent.glob(f"{_MARK}*-{path.name}"):
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def reason(message: str) -> str:
    """What TensorFlow's `message` says, on one line and without the operations that it names before and after."""
    return re.sub(r"^\{\{.*?\}\} | \[Op:\w+\]", "", message.partition("\n")[0])


def one_line(text: str) -> str:
    """`text` with line breaks and other control characters escaped as in Python, for lists with an entry a line."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: ascii(match[0])[1:-1], text)


def sha256(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's contents, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
