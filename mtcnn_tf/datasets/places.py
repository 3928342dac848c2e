"""Where the images of a data set lie, whatever its annotations call them.

Tools write an image's path as it was on their machine, its name alone, with another ending or with none.
"""

import collections
import os
import re
from collections.abc import Sequence

from mtcnn_tf import files
from mtcnn_tf.datasets import annotation_lists

SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def split_of(path: str) -> str | None:
    """The split that a folder of a relative path is named for, such as 'val' of `valid/a.jpg` or `val2017/a.jpg`."""
    for part in path.split(os.sep)[:-1]:
        for split, folders in SPLIT_FOLDERS.items():
            if re.fullmatch(rf"({'|'.join(folders)})(20\d\d)?", part.lower()):
                return split
    return None


def locate(names: Sequence[Sequence[str]], places: Sequence[str], root: str, split: str = "") -> list[str | None]:
    """Paths of images: as they are listed, or else by their names in the set, or else in other capitals or formats.

    An image is taken by its name only where no other of the set comes into question, none that is listed itself, and
    none in a folder that contradicts the listed one. An image that isn't there gets the path that it should have. Of
    a set at an address every path that can be one is taken for true, for each look costs a request.

    Args:
        names: Of each image what it may be called: a path or a name, the likeliest first.
        places: The folders that paths may be relative to, the likeliest first.
        root: The folder of the set.
        split: The split that is read; images in folders of others are none of its own.

    Returns:
        For each image its path; None where it isn't there and its paths lead out of the set.
    """
    found = [_by_path(of_image, places) for of_image in names]
    if all(found):
        return found
    index = _index(root, split, set(found))
    folders = {os.path.normpath(place) for place in places}
    located = []
    for path, of_image in zip(found, names, strict=True):
        path = path or next(filter(None, (_by_name(name, index, folders, root) for name in of_image)), None)
        located.append(path or annotation_lists.image_path(places[0], of_image[0]))
    return located


def _by_path(names: Sequence[str], places: Sequence[str]) -> str | None:
    """The first path that is an image's."""
    paths = [annotation_lists.image_path(place, name) for name in names for place in places]
    inside = [path for path in paths if path is not None]
    if inside and files.is_address(inside[0]):
        return next(filter(annotation_lists.is_image, inside), None)
    return next((path for path in inside if os.path.isfile(path)), None)


def _index(root: str, split: str, taken: set[str | None]) -> dict[str, list[str]]:
    """Name without ending, in small letters → paths, relative to `root`, of the images that may be meant by it."""
    index = collections.defaultdict(list)
    for parent, folders, names in files.walk(root):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in sorted(names):
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, root)
            is_others = split and split_of(relative) not in (None, split)
            if annotation_lists.is_image(name) and not name.startswith(".") and path not in taken and not is_others:
                index[os.path.splitext(name)[0].casefold()].append(relative)
    return index


def _by_name(name: str, index: dict[str, list[str]], folders: set[str], root: str) -> str | None:
    """The one image that `name` can mean; None where there is none, or more than one."""
    is_outside = annotation_lists.image_path("", name) is None
    *listed, base = os.path.normpath(annotation_lists.native_path(name)).split(os.sep)
    listed = [] if is_outside else listed
    stems = (base, os.path.splitext(base)[0])
    fitting = next((index[stem.casefold()] for stem in stems if index.get(stem.casefold())), [])
    fitting = [path for path in fitting if _agree(os.path.join(root, os.path.dirname(path)), listed, folders, root)]
    for same in (lambda other: other == base, lambda other: other.casefold() == base.casefold(), bool):
        exact = [path for path in fitting if same(os.path.basename(path))]
        if exact:
            return os.path.join(root, exact[0]) if len(exact) == 1 else None
    return None


def _agree(folder: str, listed: list[str], places: set[str], root: str) -> bool:
    """Whether an image in `folder` may be listed in the folders `listed`: it lies in them, or in none of its own."""
    parts = [part.casefold() for part in os.path.normpath(folder).split(os.sep)]
    ends_alike = not listed or parts[-len(listed) :] == [part.casefold() for part in listed]
    return ends_alike or os.path.normpath(folder) in {*places, os.path.normpath(root)}
