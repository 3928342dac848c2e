"""What the list files of the data sets have in common: finding them, their lines, their numbers, their images."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.images import image_files

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"),
    *(".webp", ".avif"),
    *((".heic", ".heif") if image_files.HeifImageFile else ()),
)
_UNREAD_SUFFIXES = (
    ".heic",
    ".heif",
    ".jxl",
    ".psd",
    ".svg",
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".orf",
    ".raf",
    ".rw2",
)
"""Of images, too, which nothing here reads, or not without an extra."""

MOST_PIXELS = 1e6
"""A coordinate beyond this is a damaged number and no place in an image."""

OUTSIDE = "a path that leads out of the data set"
NO_IMAGE = "a face in no known image"
NO_CLASS = "a face of no known class"

Line = tuple[int, str]
"""Number of a line in its file, counted from 1, and its text without blanks at the ends."""


def is_image(path: str) -> bool:
    """Whether a path ends like an image's."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_unread_image(path: str) -> bool:
    """Whether a path ends like that of an image that can't be read here."""
    return path.lower().endswith(_UNREAD_SUFFIXES) and not is_image(path)


def check_directory(directory: str) -> None:
    """Raises FileNotFoundError where `directory` isn't one."""
    if not files.is_dir(directory):
        raise FileNotFoundError(f"a data set needs its directory, but {directory} is not there; check the path")


def find_list(directory: str, lists: Mapping[str, Sequence[str]], split: str) -> str:
    """Path of the list of `split`.

    Args:
        directory: Where the data set lies.
        lists: Split → places, relative to `directory`, where its list may lie; the first that is there is taken.
        split: Which one is wanted.

    Raises:
        ValueError: The format has no such split.
        FileNotFoundError: The directory or the list isn't there. The message names the lists that are.
    """
    check_directory(directory)
    if split not in lists:
        raise ValueError(f"{directory} holds a format with the splits {', '.join(lists)}, got {split!r}; choose one")
    present = {s: [p for p in lists[s] if files.is_file(os.path.join(directory, p))] for s in lists}
    if not present[split]:
        others = [name for name, places in present.items() if places]
        raise FileNotFoundError(
            f"the split {split!r} of {directory} needs its list {' or '.join(lists[split])}, which is not there; "
            + (f"there are lists for: {', '.join(others)}" if others else "check the directory and its format")
        )
    return os.path.join(directory, present[split][0])


def check_class_name(class_name: str | None, class_names: set[str], directory: str) -> None:
    """Raises ValueError where a class was asked for that the set doesn't have."""
    if class_name is not None and not any(is_class(name, class_name) for name in class_names):
        raise ValueError(
            f"{directory} has no object of the class {class_name!r}; its classes are: "
            + (", ".join(sorted(class_names)[:20]) or "none")
        )


def is_class(name: str, class_name: str | None) -> bool:
    """Whether an object called `name` is of the class that was asked for; capitals make no other class."""
    return class_name is None or name.strip().casefold() == class_name.strip().casefold()


def by_value(identity: object) -> str:
    """An id as text that is the same for 1, 1.0, "1" and "0001": a data frame turns each into the others."""
    number = int(identity) if isinstance(identity, float) and identity.is_integer() else identity
    match = re.fullmatch(r"0*(\d+)(\.0*)?", str(number).strip())
    return match[1] if match else str(number)


def is_set(flag: object) -> bool:
    """Whether a flag means yes: 1, 1.0, "1", true or "True"."""
    return by_value(flag) == "1" or str(flag).strip().lower() == "true"


def read_lines(path: str) -> list[Line]:
    """The lines of a text file that aren't blank; byte order mark, CRLF and names not in UTF-8 are no obstacle."""
    lines = files.read_text(path, "utf-8-sig", "surrogateescape").split("\n")
    stripped = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    return [(number, text) for number, text in stripped if text]


def pixels(values: Iterable) -> np.ndarray | None:
    """Numbers that can be coordinates or flags, float64 [N]; None where one of `values` can't."""
    try:
        numbers = np.array([float(value) for value in values])
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if np.all(np.abs(numbers) <= MOST_PIXELS) else None  # False for NaN, too


def stated_size(width: object, height: object) -> tuple[int, int] | None:
    """The size that an annotation states of its image; None where it states none, or 0, as some tools do."""
    numbers = pixels([width, height])
    return None if numbers is None or np.any(numbers < 1) else (int(numbers[0]), int(numbers[1]))


def has_area(box: np.ndarray) -> bool:
    """Whether a box [4] still has an area when it is float32."""
    x1, y1, x2, y2 = np.asarray(box, np.float32)
    return bool(x2 > x1 and y2 > y1)


def sound_box(corners: np.ndarray, where: str) -> tuple[np.ndarray | None, list[faces.Problem]]:
    """The box [4] that `corners` mean, None where they mean none, and what is wrong with them.

    Corners in another order are put right: whoever drags a box from right to left may write them so. A side of −1 or 0
    is what damaged numbers and placeholders have. The face without a box that can be used may lie anywhere in its
    image, which is then not complete.

    Args:
        corners: x and y of two corners that lie across from each other.
        where: For the problem.
    """
    box = np.concatenate([np.minimum(corners[:2], corners[2:]), np.maximum(corners[:2], corners[2:])])
    is_inside_out = bool(np.any(corners[2:] < corners[:2]))
    if not has_area(box) or (is_inside_out and np.any(box[2:] - box[:2] <= 1)):
        return None, [faces.Problem(where, "a box without area", str(corners.tolist()))]
    return box, [faces.Problem(where, "a box turned inside out, put right", str(corners.tolist()))] * is_inside_out


def group(
    lines: list[Line], is_head: Callable[[str], bool], path: str
) -> tuple[list[tuple[Line, list[Line]]], list[faces.Problem]]:
    """Each head line with the lines up to the next head, and a problem for every line before the first.

    Lists that give an image's path on one line and its faces on the lines below are read so. A record that is damaged
    then harms no other: reading goes on at the next head.

    Args:
        lines: What `read_lines` returns.
        is_head: Whether a line begins an image.
        path: The file, for the problems.
    """
    groups: list[tuple[Line, list[Line]]] = []
    problems = []
    for number, text in lines:
        if is_head(text):
            groups.append(((number, text), []))
        elif groups:
            groups[-1][1].append((number, text))
        else:
            problems.append(problem(path, number, "a line before the first image", text))
    return groups, problems


def split_count(head: Line, rows: list[Line], path: str) -> tuple[int | None, list[Line], list[faces.Problem]]:
    """The count before an image's faces (None where it is missing), the faces' lines, and what is wrong with it."""
    if rows and re.fullmatch("[0-9]{1,9}", rows[0][1]):
        return int(rows[0][1]), rows[1:], []
    return None, rows, [problem(path, head[0], "no count of faces after the path", head[1])]


def check_count(count: int | None, num_rows: int, head: Line, path: str) -> list[faces.Problem]:
    """A problem where `count` is known and isn't the number of lines that follow it."""
    if count in (None, num_rows):
        return []
    return [problem(path, head[0], "the count of faces does not match", f"{count} announced, {num_rows} lines follow")]


def problem(path: str, number: int, what: str, text: str = "") -> faces.Problem:
    """A problem in line `number` of the file `path`."""
    return faces.Problem(f"{path}:{number}", what, ascii(text[:100]) if text else "")


def split_row(text: str, num_numbers: int) -> tuple[str, np.ndarray | None]:
    """Path and numbers of a line that has both; None for numbers that are missing or damaged. Paths may hold spaces."""
    words = text.rsplit(None, num_numbers)
    if len(words) <= num_numbers:
        return text, None
    return words[0], pixels(words[1:])


def image_path(directory: str, name: str) -> str | None:
    """Where the image lies that a list calls `name`; None for a path that leads out of `directory`.

    Lists come from others. A symbolic link is not looked at, for only who owns the folder makes one.
    """
    name = native_path(name)
    is_outside = os.path.isabs(name) or re.match("[A-Za-z]:", name) is not None  # on any system
    is_outside |= os.path.normpath(name).split(os.sep)[0] == os.pardir
    return None if is_outside else os.path.join(directory, name)


def native_path(name: str) -> str:
    """A path with this system's separators, whether it was written with slashes or backslashes."""
    return name.replace("\\", "/").replace("/", os.sep)
