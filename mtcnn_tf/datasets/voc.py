"""Pascal VOC: one XML file an image in `Annotations`, the images in `JPEGImages`, lists in `ImageSets/Main`.

Tools have their own layouts: images in `images` (Label Studio), in folders below (CVAT), or with the XML files beside
them (LabelImg), in `train`, `valid` and `test` (Roboflow).

Everingham et al., "The Pascal Visual Object Classes Challenge", 2010. Its boxes are pixels counted from 1 with the
last one inside, so that `xmin ymin xmax ymax` becomes `xmin − 1, ymin − 1, xmax, ymax` with exclusive edges.
"""

import dataclasses
import os
from xml.etree import ElementTree

import defusedxml
import defusedxml.ElementTree
import numpy as np

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import annotation_lists, places

SPLITS = ("train", "val", "test")


def read(
    directory: str, split: str = "train", class_name: str | None = None
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations in the order of the list (sorted where there is none), and what was wrong in them.

    Objects flagged difficult become `ignored`. An image with an object that can't be read keeps its sound faces but is
    not complete; a file that can't be read at all is a problem and gives no annotation.

    Args:
        directory: Holds `Annotations`, `JPEGImages` and perhaps `ImageSets/Main/{split}.txt`, or has one of the other
            layouts.
        split: 'train', 'val' or 'test'. Without any such list or folder, every XML file is read.
        class_name: The class that is a face; other objects aren't. None: every object is a face.

    Raises:
        ValueError: Another split, or no object has the class.
        FileNotFoundError: No such directory or list.
    """
    annotations, names = [], []
    class_names: set[str] = set()
    annotation_dir = os.path.join(directory, "Annotations")
    annotation_dir = annotation_dir if files.is_dir(annotation_dir) else directory
    paths, problems = _xml_paths(directory, annotation_dir, split)
    for path in paths:
        try:
            with files.open(path) as file:
                root = defusedxml.ElementTree.parse(file).getroot()
        except (ElementTree.ParseError, defusedxml.DefusedXmlException, OSError, LookupError, ValueError) as error:
            problems.append(faces.Problem(path, "an annotation that cannot be read", ascii(str(error)[:100])))
            continue
        assert root is not None  # only a tree that was not parsed has none
        class_names.update(obj.findtext("name", "").strip() for obj in root.iter("object"))
        boxes, ignored, wrong_objects, is_intact = _read_objects(root, class_name, path)
        problems += wrong_objects
        names.append(_image_names(root, os.path.relpath(path, annotation_dir)))
        size = annotation_lists.stated_size(root.findtext("size/width"), root.findtext("size/height"))
        annotations.append(faces.Annotation(path, boxes, ignored=ignored, is_complete=is_intact, size=size))
    annotation_lists.check_class_name(class_name, class_names, directory)
    image_dirs = [os.path.join(directory, name) for name in ("JPEGImages", "images", "")]
    found = []
    for annotation, image_path in zip(annotations, places.locate(names, image_dirs, directory, split), strict=True):
        if image_path is None:
            problems.append(faces.Problem(annotation.image_path, annotation_lists.OUTSIDE))
        else:
            found.append(dataclasses.replace(annotation, image_path=image_path))
    return found, problems


def _xml_paths(directory: str, annotation_dir: str, split: str) -> tuple[list[str], list[faces.Problem]]:
    annotation_lists.check_directory(directory)
    lists = {name: [f"ImageSets/Main/{name}.txt"] for name in SPLITS}
    if split not in SPLITS or any(files.is_file(os.path.join(directory, p)) for (p,) in lists.values()):
        list_path = annotation_lists.find_list(directory, lists, split)
        lines = annotation_lists.read_lines(list_path)
        paths = [annotation_lists.image_path(annotation_dir, text + ".xml") for _, text in lines]
        outside = [line for line, path in zip(lines, paths, strict=True) if path is None]
        problems = [
            annotation_lists.problem(list_path, number, annotation_lists.OUTSIDE, text) for number, text in outside
        ]
        return [path for path in paths if path is not None], problems
    names = [name for name in _below(annotation_dir) if name.lower().endswith(".xml")]
    splits = {name: places.split_of(name) for name in names}
    fitting = [name for name in names if splits[name] in (None, split)]
    if not fitting:
        others = ", ".join(sorted({str(other) for other in splits.values()}))
        raise FileNotFoundError(
            f"{split!r} of {directory} needs XML files in Annotations or beside the images, there is none; "
            + (f"there are some for: {others}" if others else "check the directory and its format")
        )
    return [os.path.join(annotation_dir, name) for name in fitting], []


def _below(directory: str) -> list[str]:
    """Paths, relative to `directory`, of the files in it and in its folders; at an address of those in it alone."""
    if files.is_address(directory):
        return [os.path.basename(path) for path in files.glob(directory, "*")]
    found = []
    for parent, folders, names in files.walk(directory):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        found += [os.path.relpath(os.path.join(parent, name), directory) for name in names if not name.startswith(".")]
    return sorted(found)


def _image_names(root: ElementTree.Element, xml_name: str) -> list[str]:
    """What the image may be called: as the file says, in its own folder or in the XML file's, or like that file."""
    folder, xml_stem = os.path.dirname(xml_name), os.path.splitext(xml_name)[0]
    name = annotation_lists.native_path(root.findtext("filename", "").strip())
    if not name:
        return [xml_stem]
    beside = os.path.join(folder, os.path.basename(name))
    has_folder = os.path.dirname(name) and annotation_lists.image_path("", name) is not None
    return [name, beside, xml_stem] if has_folder else [beside, xml_stem]


def _read_objects(
    root: ElementTree.Element, class_name: str | None, path: str
) -> tuple[list, list, list[faces.Problem], bool]:
    """Boxes, ignored boxes and problems of one file, and whether every face in it could be read."""
    boxes, ignored, problems, is_intact = [], [], [], True
    for index, obj in enumerate(root.iter("object")):
        where, name = f"{path}: object {index}", obj.findtext("name", "").strip()
        if class_name is not None and not name:
            problems.append(faces.Problem(where, annotation_lists.NO_CLASS))
            is_intact = False
        if not annotation_lists.is_class(name, class_name):
            continue
        numbers = annotation_lists.pixels(obj.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax"))
        if numbers is None:
            problems.append(faces.Problem(where, "an object without the four numbers of its box"))
            is_intact = False
            continue
        box, wrong_box = _edges(numbers, where)
        problems += wrong_box
        if box is None:
            is_intact = False
        elif annotation_lists.is_set(obj.findtext("difficult", "")):
            ignored.append(box)
        else:
            boxes.append(box)
    return boxes, ignored, problems, is_intact


def _edges(numbers: np.ndarray, where: str) -> tuple[np.ndarray | None, list[faces.Problem]]:
    """As `annotation_lists.sound_box`, of numbers that count pixels from 1, with the last one inside."""
    is_inside_out = np.any(numbers[2:] < numbers[:2])
    box, problems = annotation_lists.sound_box(numbers if is_inside_out else numbers - (1, 1, 0, 0), where)
    return (box - (1, 1, 0, 0) if is_inside_out and box is not None else box), problems
