"""Which images of a data set are looked at."""

import collections
import os

from mtcnn_tf import faces, files


def choose(
    listed: list, problems: list[faces.Problem], directory: str, list_path: str | None = None
) -> tuple[list, list[str]]:
    """The images that are here and, where there is a list, in it; and what a reader of figures must know about that.

    Args:
        listed: What a reader of the data set gave: anything with an `image_path`.
        problems: What it stepped over.
        directory: Where the data set lies.
        list_path: See `named`; None for all images.

    Raises:
        ValueError: The list names an image that isn't here, or there is no image at all.
        FileNotFoundError: There is no such list.
    """
    present = [annotation for annotation in listed if files.is_file(annotation.image_path)]
    notes = []
    if len(present) < len(listed):
        notes.append(f"Of the {len(listed):,} images in the lists, {len(present):,} are here and counted.")
    if problems:
        notes.append(f"{len(problems):,} flaws of the lists were stepped over, the first: {problems[0]}")
    if list_path is not None:
        present = named(present, list_path)
        notes.append(f"Only the {len(present):,} images in {list_path} are counted.")
    if not present:
        raise ValueError(f"expected images in {directory}, found none; check the directory, the split and the list")
    return present, notes


def named(annotations: list, list_path: str) -> list:
    """Those that the lines of a file name, in its order.

    A line is the path of an image or the last parts of one, such as `EVENT/NAME.jpg`, as `files.one_line` has it. A
    path that leads to an image of another data set is passed over, so that one list may serve for several sets.

    Raises:
        ValueError: A line names no image, or more than one.
        FileNotFoundError: There is no such file.
    """
    lines = files.read_text(list_path, errors="surrogateescape").split("\n")
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    by_ending = collections.defaultdict(list)
    for annotation in annotations:
        parts = os.path.abspath(annotation.image_path).split(os.sep)
        for i in range(len(parts)):
            by_ending[files.one_line("/".join(parts[i:]))].append(annotation)
    found = [by_ending[os.path.normpath(name)] for name in names]
    unclear = [
        name
        for name, those in zip(names, found, strict=True)
        if len(those) > 1 or (not those and not files.is_file(name))
    ]
    if unclear:
        raise ValueError(
            f"expected each line of {list_path} to name one image, {len(unclear)} don't, such as {unclear[0]!r}"
        )
    return [those[0] for those in found if those]
