"""Files and folders that appear whole or not at all, and what tells whether they still are."""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

_MARK = ".partial-"


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A name to write to, in the same folder and with the same ending.

    The file, or the folder where none is yet, gets its own name at the end of the context; if the writing failed it
    goes, and what was there stays.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{_MARK}{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        _remove(partial)


def remove_partial(directory: pathlib.Path) -> None:
    """Removes from `directory`, at any depth, what a killed process left half-written."""
    for partial in list(directory.rglob(f"{_MARK}*")):
        _remove(partial)


def remove_partial_of(path: pathlib.Path) -> None:
    """Removes what a killed process left half-written of the file at `path`."""
    for partial in path.parent.glob(f"{_MARK}*-{path.name}"):
        _remove(partial)


def _remove(path: pathlib.Path) -> None:
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
