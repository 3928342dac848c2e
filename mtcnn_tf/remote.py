"""Files on other machines, under an address such as gs://BUCKET/NAME: what `tf.io.gfile` opens."""

import contextlib
import dataclasses
import errno
import fnmatch
import io
import os
import posixpath
import re
import stat
from collections.abc import Iterator

import tensorflow as tf

_BUFFER_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Path:
    """An address with the methods of `pathlib.Path` that records and their images need.

    Errors are those of local files, FileNotFoundError and OSError. What is written to an object store, such as gs://,
    appears whole when it is closed.
    """

    address: str

    def __fspath__(self) -> str:
        return self.address

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> "Path":
        return Path(posixpath.join(self.address, name))

    @property
    def name(self) -> str:
        """What follows the last slash."""
        return posixpath.basename(self.address)

    @property
    def parent(self) -> "Path":
        """The folder in which it lies."""
        return Path(posixpath.dirname(self.address))

    def with_name(self, name: str) -> "Path":
        """A neighbour in the same folder."""
        return self.parent / name

    def stat(self) -> os.stat_result:
        """Kind and size; all else is 0."""
        with self._os_errors():
            found = tf.io.gfile.stat(self.address)
        kind = stat.S_IFDIR if found.is_directory else stat.S_IFREG
        return os.stat_result((kind, 0, 0, 0, 0, 0, found.length, 0, 0, 0))

    def is_file(self) -> bool:
        """Whether a file lies here."""
        return stat.S_ISREG(self._kind())

    def is_dir(self) -> bool:
        """Whether a folder lies here; in an object store, whether anything lies below."""
        return stat.S_ISDIR(self._kind())

    def _kind(self) -> int:
        try:
            return self.stat().st_mode
        except FileNotFoundError:
            return 0

    def glob(self, pattern: str) -> list["Path"]:
        """What below it fits the pattern, in which * stands for anything but a slash; sorted."""
        folder = re.sub(r"([*?\[\]\\])", r"\\\1", self.address)
        try:
            with self._os_errors():
                return [Path(address) for address in sorted(tf.io.gfile.glob(posixpath.join(folder, pattern)))]
        except FileNotFoundError:
            return []

    def rglob(self, pattern: str) -> Iterator["Path"]:
        """What has a name that fits the pattern, at any depth."""
        level = "*"
        while found := self.glob(level):
            yield from (path for path in found if fnmatch.fnmatchcase(path.name, pattern))
            level += "/*"

    def walk(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """As `os.walk`: each folder's address, and the names of the folders and files in it."""
        with self._os_errors():
            yield from tf.io.gfile.walk(self.address)

    def open(
        self, mode: str = "r", encoding: str = "utf-8", errors: str = "strict"
    ) -> io.BufferedReader | io.TextIOWrapper:
        """A file to read from, of bytes for the mode "rb", of text for "r".

        Reading raises FileNotFoundError where there is none.
        """
        file = io.BufferedReader(_Reader(self), _BUFFER_BYTES)
        return file if "b" in mode else io.TextIOWrapper(file, encoding, errors)

    def read_bytes(self) -> bytes:
        """All of the file."""
        with self.open("rb") as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of the file."""
        with self.open(encoding=encoding) as file:
            return file.read()

    def write_bytes(self, content: bytes) -> None:
        """Writes the whole file."""
        with self._os_errors(), tf.io.gfile.GFile(self.address, "wb") as file:
            file.write(content)

    def write_text(self, text: str, encoding: str = "utf-8", errors: str = "strict") -> None:
        """Writes the whole file."""
        self.write_bytes(text.encode(encoding, errors))

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Makes the folder and those above it, and leaves one that is there, whatever is asked for."""
        del parents, exist_ok
        with self._os_errors():
            tf.io.gfile.makedirs(self.address)

    def replace(self, target: "Path") -> None:
        """Gives the file another name; object stores copy it, and `target` appears whole."""
        with self._os_errors():
            tf.io.gfile.rename(self.address, target.address, overwrite=True)

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the file."""
        with contextlib.suppress(FileNotFoundError) if missing_ok else contextlib.nullcontext(), self._os_errors():
            tf.io.gfile.remove(self.address)

    def rmtree(self) -> None:
        """Removes the folder with all that lies in it, as far as it is there and can be removed."""
        with contextlib.suppress(OSError), self._os_errors():
            tf.io.gfile.rmtree(self.address)

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        """Turns TensorFlow's errors into those of local files."""
        try:
            yield
        except (tf.errors.NotFoundError, TypeError, UnicodeError):  # the latter of names that aren't UTF-8
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.address) from None
        except tf.errors.OpError as error:
            raise OSError(f"{self.address}: {error.message.partition(chr(10))[0]}") from error


class _Reader(io.RawIOBase):
    """A file as Python's buffers want it."""

    def __init__(self, path: Path):
        self._path = path
        self._file = tf.io.gfile.GFile(path.address, "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with self._path._os_errors():
            block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()
