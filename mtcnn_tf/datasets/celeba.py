"""CelebA: `Anno/list_landmarks_celeba.txt` and `Eval/list_eval_partition.txt`, or the same lists as CSV.

Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", 2015. The lists with *align* in their name speak of
other, cropped images; they are read where those in the wild are missing, as in the set that is passed on as CSV.
`list_bbox_celeba` is not read: its boxes are loose (that of the first image is a sixth wider and a third higher), and
the points say better where WIDER FACE's annotators would have drawn the box, see `five_points.boxes_round`.
"""

import os

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import annotation_lists, five_points, places

PARTITIONS = {"train": "0", "val": "1", "test": "2"}
_ENDINGS = (".txt", ".csv")
_LANDMARKS = [
    f"{folder}list_landmarks_{kind}celeba{ending}"
    for kind in ("", "align_") for ending in _ENDINGS for folder in ("Anno/", "")
]  # fmt: skip
_PARTITION = [f"{folder}list_eval_partition{ending}" for ending in _ENDINGS for folder in ("Eval/", "")]


def read(directory: str, split: str = "train") -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list, each with one face and never complete, and what was wrong in it.

    Args:
        directory: Holds `Anno` and `Eval`, or the lists themselves, and `img_celeba` or `img_align_celeba`, perhaps
            in `Img`.
        split: 'train', 'val' or 'test'.

    Raises:
        ValueError: Another split.
        FileNotFoundError: No such directory or list.
    """
    path = annotation_lists.find_list(directory, dict.fromkeys(PARTITIONS, _LANDMARKS), split)
    partition_path = annotation_lists.find_list(directory, dict.fromkeys(PARTITIONS, _PARTITION), split)
    partition_of = dict(text.rsplit(None, 1) for _, text in _read_lines(partition_path) if " " in text)
    names, landmarks, wheres, problems = [], [], [], []
    lines = _read_lines(path)
    rows = [
        line for line in lines if annotation_lists.is_image(line[1].split()[0])
    ]  # without count and names of columns
    count = lines[0][1] if lines else "no line"
    if path.endswith(".txt") and count != str(len(rows)):
        problems.append(
            annotation_lists.problem(path, 1, "the count does not match", f"{count[:20]}, {len(rows)} lines follow")
        )
    for number, text in rows:
        name, numbers = annotation_lists.split_row(text, 10)
        if numbers is None:
            problems.append(annotation_lists.problem(path, number, "a line without a path and 10 numbers", text))
        elif name not in partition_of:
            problems.append(annotation_lists.problem(path, number, "an image that belongs to no partition", text))
        elif annotation_lists.by_value(partition_of[name]) == PARTITIONS[split]:
            if annotation_lists.image_path("", name) is None:
                problems.append(annotation_lists.problem(path, number, annotation_lists.OUTSIDE, text))
                continue
            names.append([name])
            landmarks.append(numbers.reshape(5, 2))
            wheres.append(f"{path}:{number}")
    image_dir = _image_dir(directory, "img_align_celeba" if "align" in os.path.basename(path) else "img_celeba")
    located = places.locate(names, [image_dir], image_dir)
    image_paths = [path for path in located if path is not None]  # all of them: names that lead out were left out
    annotations, without_extent = five_points.annotate(image_paths, landmarks, wheres)
    return annotations, problems + without_extent


def _read_lines(path: str) -> list[annotation_lists.Line]:
    """As `annotation_lists.read_lines`; commas part words as blanks do."""
    lines = [(number, text.replace(",", " ").strip()) for number, text in annotation_lists.read_lines(path)]
    return [(number, text) for number, text in lines if text]


def _image_dir(directory: str, name: str) -> str:
    """Where the images lie: in `Img`, or beside it."""
    found = os.path.join(directory, name)
    return found if files.is_dir(found) else os.path.join(directory, "Img", name)
