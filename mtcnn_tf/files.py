"""Files and folders, here and elsewhere: found, opened, written whole or not at all, and whether they still are whole.

Data sets, networks and records may lie at an address such as gs://BUCKET/NAME, which `etils.epath` reads by
`tf.io.gfile`, as TensorFlow itself does. Local files are Python's own, and TensorFlow is not loaded for them.
"""

import builtins
import contextlib
import errno
import fnmatch
import hashlib
import io
import os
import pathlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from etils import epath

Path: TypeAlias = "pathlib.Path | epath.Path"
"""What `as_path` returns: the methods that both have may be called."""

_ADDRESS = re.compile("[a-z][a-z0-9+.-]*://")
_MARK = ".partial-"


def is_address(path: str | os.PathLike) -> bool:
    """Whether `path` is an address, such as gs://BUCKET/NAME."""
    return _ADDRESS.match(os.fspath(path)) is not None


def as_path(path: str | os.PathLike) -> Path:
    """`path` as a `pathlib.Path`, or for an address as an `epath.Path`, which has the same methods.

    Local paths are not left to epath: it takes /gs and /s3 for buckets, asks for the names of files' owners, which
    containers don't always know, and passes over an encoding.

    Raises:
        FileNotFoundError: An address that isn't UTF-8, at which nothing can lie.
        OSError: An address of a kind that can't be read.
    """
    return _at_address(os.fspath(path)) if is_address(path) else pathlib.Path(path)


def _at_address(address: str) -> "epath.Path":
    from etils import epath  # a quarter of a second, and few need it

    try:
        address.encode()
        return epath.Path(address)
    except UnicodeEncodeError:
        raise _missing(address) from None
    except KeyError:
        raise OSError(
            f"expected a path or an address such as gs://BUCKET/NAME, got {address!r}; copy it to a local folder"
        ) from None


def _missing(path: str | os.PathLike) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))


@contextlib.contextmanager
def _os_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turns TensorFlow's errors, and epath's, which don't name the file, into those of local files."""
    if not is_address(path):
        yield
        return
    import tensorflow as tf  # loaded for the address anyway

    try:
        yield
    except (FileNotFoundError, tf.errors.NotFoundError) as error:
        if getattr(error, "filename", None):
            raise
        raise _missing(path) from None
    except tf.errors.OpError as error:
        raise OSError(f"{os.fspath(path)}: {reason(error.message)}") from error


def open(path: str | os.PathLike) -> contextlib.AbstractContextManager[IO[bytes]]:
    """The file at `path`, open for reading bytes while the context lasts.

    Raises:
        FileNotFoundError: There is none; of an address it is raised within the context, by reading.
        OSError: It can't be read.
    """
    return _open_address(path) if is_address(path) else builtins.open(path, "rb")


@contextlib.contextmanager
def _open_address(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    with _os_errors(path), as_path(path).open("rb") as file:
        yield file


def read_text(path: str | os.PathLike, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The text of the file at `path`, with every line break as a newline; raises what `open` does."""
    with open(path) as file, io.TextIOWrapper(io.BytesIO(file.read()), encoding, errors) as text:
        return text.read()


def num_bytes(path: str | os.PathLike) -> int:
    """Size of the file at `path`; raises what `open` does."""
    with open(path) as file:
        file.seek(0, os.SEEK_END)
        return file.tell()


def is_file(path: str | os.PathLike) -> bool:
    """Whether a file lies at `path`; raises OSError where an address can't be asked."""
    if not is_address(path):  # pathlib raises errors, of names that are too long for instance
        return os.path.isfile(path)
    with contextlib.suppress(FileNotFoundError), _os_errors(path):
        return as_path(path).is_file()
    return False


def is_dir(path: str | os.PathLike) -> bool:
    """Whether a folder lies at `path`; in a bucket, whether anything lies below."""
    if not is_address(path):
        return os.path.isdir(path)
    with contextlib.suppress(FileNotFoundError), _os_errors(path):
        return as_path(path).is_dir()
    return False


def glob(directory: str | os.PathLike, pattern: str) -> list[str]:
    """Paths of what lies in `directory`, or in the folder that `pattern` begins with, and fits the pattern; sorted.

    Wildcards count in the last part of the pattern alone, for each folder costs a request. Hidden files fit none.
    """
    folder, _, name = pattern.rpartition("/")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), _os_errors(directory):
        found = [path.name for path in (as_path(directory) / folder).iterdir()]
        shown = [os.path.join(directory, folder, one) for one in fnmatch.filter(found, name) if one[0] != "."]
        return sorted(shown)
    return []


def walk(directory: str | os.PathLike) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`."""
    if not is_address(directory):  # before Python 3.12 pathlib can't walk
        yield from os.walk(os.fspath(directory))
        return
    with _os_errors(directory):
        for parent, folders, names in _at_address(os.fspath(directory)).walk():
            yield str(parent), folders, names


def relative(path: str, directory: str) -> str:
    """`path` as from `directory` on, with slashes; as it is where no way leads there, as from one drive to another."""
    if is_address(path):
        return path.removeprefix(f"{directory.rstrip('/')}/")
    try:
        return os.path.relpath(path, directory).replace(os.sep, "/")
    except ValueError:
        return path.replace(os.sep, "/")


def make_folder(path: Path) -> None:
    """Makes the folder and those above it, as far as they aren't there.

    Raises:
        OSError: It can't be made.
    """
    with _os_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Removes the file, if it is there.

    Raises:
        OSError: It can't be removed.
    """
    with _os_errors(path):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Removes the folder with all that lies in it, as far as it is there and can be removed."""
    with contextlib.suppress(OSError), _os_errors(path):
        shutil.rmtree(path, ignore_errors=True) if isinstance(path, pathlib.Path) else path.rmtree()


@contextlib.contextmanager
def local(path: str | os.PathLike) -> Iterator[str]:
    """A local file with the contents of the one at `path`: itself, or for an address a copy while the context lasts."""
    if not is_address(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory, as_path(path).name)
        with open(path) as file:
            copy.write_bytes(file.read())
        yield str(copy)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """A name to write to, in the same folder and with the same ending.

    The file, or the folder where none is yet, gets its own name at the end of the context; if the writing failed it
    goes, and what was there stays. In a bucket the last step is a copy, which appears whole as well.

    Raises:
        OSError: The name can't be given; or TensorFlow could not write to the address.
    """
    path = as_path(path)
    # Drawn by chance: two machines may give a process the same number, and may write the same file.
    partial = path.with_name(f"{_MARK}{secrets.token_hex(3)}-{path.name}")
    with _os_errors(path):
        try:
            yield partial
            partial.replace(path)
        finally:
            _remove(partial)


def remove_partial(directory: str | os.PathLike) -> None:
    """Removes from `directory`, at any depth, what a killed process left half-written."""
    for parent, folders, names in walk(directory):
        for name in [*folders, *names]:
            if name.startswith(_MARK):
                _remove(as_path(parent) / name)
        folders[:] = [name for name in folders if not name.startswith(_MARK)]


def remove_partial_of(path: pathlib.Path) -> None:
    """Removes what a killed process left half-written of the file at `path`."""
    for partial in path.parent.glob(f"{_MARK}*-{path.name}"):
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path) if isinstance(path, pathlib.Path) else path.rmtree()
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
    with open(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
