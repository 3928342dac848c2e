"""MTFL's lists: a path, `x1 … x5 y1 … y5` and four attributes (gender, smile, glasses, head pose) a line.

Zhang, Luo, Loy, Tang, "Facial Landmark Detection by Deep Multi-task Learning", 2014. Mind the order: all x, then all y.
There are no boxes: they come from the points, see `five_points.boxes_round`.
"""

from mtcnn_tf import faces
from mtcnn_tf.datasets import annotation_lists, five_points

LISTS = {"train": ["training.txt"], "test": ["testing.txt"]}


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list, each with one face and never complete, and what was wrong in it.

    Args:
        directory: Holds `training.txt` or `testing.txt` and the folders that they name.
        split: 'train' or 'test'.

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory or list.
    """
    path = annotation_lists.find_list(directory, LISTS, split)
    return five_points.read_rows(path, directory, lambda numbers: numbers[:10].reshape(2, 5).T)
