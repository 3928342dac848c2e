r"""CNN_FacePoint's lists: `folder\name.jpg left right top bottom` and five points `x1 y1 … x5 y5` a line.

Sun, Wang, Tang, "Deep Convolutional Network Cascade for Facial Point Detection", 2013. Mind the order of the box's
edges: left, right, then top, bottom. That box isn't used: the original lists have tight squares from the eyebrows to
the chin (medians: 0.93 of the width and 0.71 of the height of `five_points.boxes_round`), other lists in this format
have other habits, and the points say well enough where WIDER FACE's annotators would have drawn the box.
"""

from mtcnn_tf import faces
from mtcnn_tf.datasets import annotation_lists, five_points

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
    path = annotation_lists.find_list(directory, LISTS, split)
    return five_points.read_rows(path, directory, lambda numbers: numbers[4:].reshape(5, 2))
