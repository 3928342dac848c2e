"""Images that are known to hold no faces: material for negatives."""

import os

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import annotation_lists
from mtcnn_tf.images import image_files


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """A complete annotation without faces for every image in `directory` and the folders in it, sorted by path.

    Which files are images is told by their endings; hidden files and folders are passed over, and so, with a problem
    for each, are images of a sort that can't be read here.

    Args:
        directory: Where to look; or a text file with the path of an image in each line, from the file's own folder on;
            such a list is one's own, and its images may lie anywhere, at addresses too.
        split: Without meaning here: a folder has no lists, and every image is given.

    Raises:
        FileNotFoundError: No such directory or file.
    """
    del split
    if files.is_file(directory):
        names = [text for _, text in annotation_lists.read_lines(directory) if annotation_lists.is_image(text)]
        beside = os.path.dirname(directory)
        paths = [n if files.is_address(n) else os.path.join(beside, annotation_lists.native_path(n)) for n in names]
        return [faces.Annotation(path) for path in sorted(paths)], []
    annotation_lists.check_directory(directory)
    paths, problems = [], []
    for parent, folder_names, names in files.walk(directory):
        folder_names[:] = [name for name in folder_names if not name.startswith(".")]
        shown = [name for name in names if not name.startswith(".")]
        paths += [os.path.join(parent, name) for name in shown if annotation_lists.is_image(name)]
        unread = [os.path.join(parent, name) for name in shown if annotation_lists.is_unread_image(name)]
        problems += [faces.Problem(path, f"an image that can't be read; {image_files.NEEDS_HEIF}") for path in unread]
    return [faces.Annotation(path) for path in sorted(paths)], sorted(problems, key=lambda problem: problem.where)
