"""Pictures that are known to hold no faces: material for negatives."""

import os

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import listing
from mtcnn_tf.images import image_files


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """A complete annotation without faces for every picture in `directory` and the folders in it, sorted by path.

    Which files are pictures is told by their endings; hidden files and folders are passed over, and so, with a problem
    for each, are pictures of a sort that can't be read here.

    Args:
        directory: Where to look; or a text file with the path of a picture in each line, from the file's own folder on;
            such a list is one's own, and its pictures may lie anywhere, at addresses too.
        split: Without meaning here: a folder has no lists, and every picture is given.

    Raises:
        FileNotFoundError: No such directory or file.
    """
    del split
    if files.is_file(directory):
        names = [text for _, text in listing.read_lines(directory) if listing.is_picture(text)]
        beside = os.path.dirname(directory)
        paths = [n if files.is_remote(n) else os.path.join(beside, listing.native_path(n)) for n in names]
        return [faces.Annotation(path) for path in sorted(paths)], []
    listing.check_directory(directory)
    paths, problems = [], []
    for parent, folder_names, names in files.walk(directory):
        folder_names[:] = [name for name in folder_names if not name.startswith(".")]
        shown = [name for name in names if not name.startswith(".")]
        paths += [os.path.join(parent, name) for name in shown if listing.is_picture(name)]
        unread = [os.path.join(parent, name) for name in shown if listing.is_unread_picture(name)]
        problems += [faces.Problem(path, f"a picture that can't be read; {image_files.NEEDS_HEIF}") for path in unread]
    return [faces.Annotation(path) for path in sorted(paths)], sorted(problems, key=lambda problem: problem.where)
