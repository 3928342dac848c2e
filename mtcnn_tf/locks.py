"""Folders in which one process at a time is at work."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import filelock

NAME = ".lock"


@contextlib.contextmanager
def only_one_in(directory: str | os.PathLike, what: str) -> Iterator[None]:
    """A context within which no other process is at the same `what` in `directory`, which is made if need be.

    The system takes the lock away when its process ends, however that happens: nothing has to be cleaned up after a
    kill. Machines see each other's locks where their common file system passes them on, as NFS does.

    Args:
        directory: A local folder.
        what: One word for what goes on, such as "build".

    Raises:
        ValueError: Another process is at it.
        OSError: The folder can't be made or written to.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / NAME)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ValueError(f"another {what} is at work in {directory}; wait for it or take another folder") from None
    except NotImplementedError as error:
        raise OSError(f"{directory} lies on a file system without locks ({error}); take another folder") from None
    try:
        yield
    finally:
        lock.release()
