"""Pascal VOC: one XML file a picture in `Annotations`, the pictures in `JPEGImages`, lists in `ImageSets/Main`.

Everingham et al., "The Pascal Visual Object Classes Challenge", 2010. Its boxes are pixels counted from 1 with the
last one inside, so that `xmin ymin xmax ymax` becomes `xmin − 1, ymin − 1, xmax, ymax` with exclusive edges.
"""

import os
from xml.etree import ElementTree

import defusedxml
import defusedxml.ElementTree
import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import listing

SPLITS = ("train", "val", "test")


def read(
    directory: str, split: str = "train", class_name: str | None = None
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list (sorted where there is none), and what was wrong in them.

    Objects flagged difficult become `ignored`. A picture with an object that can't be read keeps its sound faces but is
    not complete; a file that can't be read at all is a problem and gives no annotation.

    Args:
        directory: Holds `Annotations`, `JPEGImages` and perhaps `ImageSets/Main/{split}.txt`.
        split: 'train', 'val' or 'test'. Without any such list, every XML file is read.
        class_name: The class that is a face; other objects aren't. None: every object is a face.

    Raises:
        ValueError: Another split, or no object has the class.
        FileNotFoundError: No such directory or list.
    """
    annotations, class_names = [], set()
    paths, problems = _xml_paths(directory, split)
    for path in paths:
        try:
            with files.open(path, "rb") as file:
                root = defusedxml.ElementTree.parse(file).getroot()
        except (ElementTree.ParseError, defusedxml.DefusedXmlException, OSError, LookupError, ValueError) as error:
            problems.append(faces.Problem(path, "an annotation that cannot be read", ascii(str(error)[:100])))
            continue
        class_names.update(obj.findtext("name", "").strip() for obj in root.iter("object"))
        boxes, ignored, wrong_objects, is_whole = _read_objects(root, class_name, path)
        problems += wrong_objects
        image_path = os.path.join(directory, "JPEGImages", _picture_name(root, path))
        size = listing.stated_size(root.findtext("size/width"), root.findtext("size/height"))
        annotations.append(faces.Annotation(image_path, boxes, ignored=ignored, is_complete=is_whole, size=size))
    listing.check_class_name(class_name, class_names, directory)
    return annotations, problems


def _xml_paths(directory: str, split: str) -> tuple[list[str], list[faces.Problem]]:
    annotation_dir = os.path.join(directory, "Annotations")
    listing.check_directory(directory)
    listing.check_directory(annotation_dir)
    lists = {name: [f"ImageSets/Main/{name}.txt"] for name in SPLITS}
    if split not in SPLITS or any(files.is_file(os.path.join(directory, p)) for (p,) in lists.values()):
        list_path = listing.find_list(directory, lists, split)
        lines = listing.read_lines(list_path)
        paths = [listing.picture_path(annotation_dir, text + ".xml") for _, text in lines]
        outside = [line for line, path in zip(lines, paths, strict=True) if path is None]
        problems = [listing.problem(list_path, number, listing.OUTSIDE, text) for number, text in outside]
        return [path for path in paths if path is not None], problems
    names = sorted(name for name in files.listdir(annotation_dir) if name.lower().endswith(".xml"))
    return [os.path.join(annotation_dir, name) for name in names], []


def _picture_name(root: ElementTree.Element, path: str) -> str:
    """The picture's file name, which some tools write as a whole path or without ending."""
    name = os.path.basename(listing.native_path(root.findtext("filename", "").strip()))
    return name if listing.is_picture(name) else os.path.splitext(os.path.basename(path))[0] + ".jpg"


def _read_objects(
    root: ElementTree.Element, class_name: str | None, path: str
) -> tuple[list, list, list[faces.Problem], bool]:
    """Boxes, ignored boxes and problems of one file, and whether every face in it could be read."""
    boxes, ignored, problems, is_whole = [], [], [], True
    for index, obj in enumerate(root.iter("object")):
        where, name = f"{path}: object {index}", obj.findtext("name", "").strip()
        if class_name is not None and not name:
            problems.append(faces.Problem(where, listing.NO_CLASS))
            is_whole = False
        if not listing.is_class(name, class_name):
            continue
        numbers = listing.pixels(obj.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax"))
        if numbers is None:
            problems.append(faces.Problem(where, "an object without the four numbers of its box"))
            is_whole = False
            continue
        box, wrong_box = _edges(numbers, where)
        problems += wrong_box
        if box is None:
            is_whole = False
        elif listing.is_set(obj.findtext("difficult", "")):
            ignored.append(box)
        else:
            boxes.append(box)
    return boxes, ignored, problems, is_whole


def _edges(numbers: np.ndarray, where: str) -> tuple[np.ndarray | None, list[faces.Problem]]:
    """As `listing.sound_box`, of numbers that count pixels from 1, with the last one inside."""
    is_inside_out = np.any(numbers[2:] < numbers[:2])
    box, problems = listing.sound_box(numbers if is_inside_out else numbers - (1, 1, 0, 0), where)
    return (box - (1, 1, 0, 0) if is_inside_out and box is not None else box), problems
