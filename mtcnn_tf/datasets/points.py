r"""CNN_FacePoint's lists: `folder\name.jpg left right top bottom` and five points `x1 y1 … x5 y5` a line.

Sun, Wang, Tang, "Deep Convolutional Network Cascade for Facial Point Detection", 2013. Mind the order of the box's
edges: left, right, then top, bottom. That box isn't used: the original lists have tight squares from the eyebrows to
the chin (medians: 0.92 of the width and 0.74 of the height of `five_points.boxes_round`), other lists in this format
have other habits, and the points say well enough where WIDER FACE's annotators would have drawn the box.
"""

import os

from mtcnn_tf import faces
from mtcnn_tf.datasets import five_points, listing

LISTS = {"train": ["trainImageList.txt"], "test": ["testImageList.txt"]}


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list, each with one face and never complete, and what was wrong in it.

    Args:
        directory: Holds `trainImageList.txt` or `testImageList.txt` and the folders that they name.
        split: 'train' or 'test'.

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory or list.
    """
    path = listing.find_list(directory, LISTS, split)
    image_paths, landmarks, wheres, problems = [], [], [], []
    for number, text in listing.read_lines(path):
        name, numbers = listing.split_row(text, 14)
        if numbers is None:
            problems.append(listing.problem(path, number, "a line without a path and 14 numbers", text))
            continue
        image_paths.append(os.path.join(directory, listing.native_path(name)))
        landmarks.append(numbers[4:].reshape(5, 2))
        wheres.append(f"{path}:{number}")
    annotations, without_extent = five_points.annotate(image_paths, landmarks, wheres)
    return annotations, problems + without_extent
