"""Files that appear whole or not at all, and what tells whether they still are."""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator

_MARK = ".partial-"


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A name to write to, in the same folder and with the same ending.

    The file gets its own name at the end of the context; if the writing failed it goes, and what was there stays.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{_MARK}{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(directory: pathlib.Path) -> None:
    """Removes from `directory`, at any depth, what a killed process left half-written."""
    for partial in directory.rglob(f"{_MARK}*"):
        partial.unlink()


def sha256(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's contents, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
