"""CelebA in the wild: `Anno/list_landmarks_celeba.txt` and `Eval/list_eval_partition.txt`.

Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", 2015. Of the lists in `Anno`, those with *align* in
their name speak of other, cropped pictures. `list_bbox_celeba.txt` is not read: its boxes are loose (that of the first
picture is a sixth wider and a third higher), and the points say better where WIDER FACE's annotators would have drawn
the box, see `five_points.boxes_round`.
"""

import os

from mtcnn_tf import faces
from mtcnn_tf.datasets import five_points, listing

PARTITIONS = {"train": "0", "val": "1", "test": "2"}
_LANDMARKS = "Anno/list_landmarks_celeba.txt"
_PARTITION = "Eval/list_eval_partition.txt"


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list, each with one face and never complete, and what was wrong in it.

    Args:
        directory: Holds `Anno`, `Eval` and `Img/img_celeba`.
        split: 'train', 'val' or 'test'.

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory or list.
    """
    path = listing.find_list(directory, dict.fromkeys(PARTITIONS, [_LANDMARKS]), split)
    partition_path = listing.find_list(directory, dict.fromkeys(PARTITIONS, [_PARTITION]), split)
    partition_of = dict(text.rsplit(None, 1) for _, text in listing.read_lines(partition_path) if " " in text)
    image_paths, landmarks, wheres, problems = [], [], [], []
    lines = listing.read_lines(path)
    rows = [line for line in lines if listing.is_picture(line[1].split()[0])]  # without count and names of columns
    count = lines[0][1] if lines else "no line"
    if count != str(len(rows)):
        problems.append(listing.problem(path, 1, "the count does not match", f"{count[:20]}, {len(rows)} lines follow"))
    for number, text in rows:
        name, numbers = listing.split_row(text, 10)
        if numbers is None:
            problems.append(listing.problem(path, number, "a line without a path and 10 numbers", text))
        elif name not in partition_of:
            problems.append(listing.problem(path, number, "a picture that belongs to no partition", text))
        elif listing.by_value(partition_of[name]) == PARTITIONS[split]:
            image_path = listing.picture_path(os.path.join(directory, "Img", "img_celeba"), name)
            if image_path is None:
                problems.append(listing.problem(path, number, listing.OUTSIDE, text))
                continue
            image_paths.append(image_path)
            landmarks.append(numbers.reshape(5, 2))
            wheres.append(f"{path}:{number}")
    annotations, without_extent = five_points.annotate(image_paths, landmarks, wheres)
    return annotations, problems + without_extent
