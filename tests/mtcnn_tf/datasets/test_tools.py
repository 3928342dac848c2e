"""The layouts in which annotation tools export, each by its tool's rules: see the table in docs/own_faces.md."""

import json

import numpy as np
import pytest

from mtcnn_tf import datasets
from mtcnn_tf.images import image_files

SIZE = (200, 100)
BOXES = ((20, 10, 60, 50), (100, 30, 130, 70))
"""Edges; the last one is exclusive."""


def write(directory, **texts):
    for name, text in texts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            image_files.write(path, np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
        else:
            path.write_text(text)


def xml(filename, boxes=BOXES, more=""):
    """Pascal VOC as LabelImg writes it."""
    objects = "".join(
        "<object><name>face</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
        f"<bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for x1, y1, x2, y2 in boxes
    )
    size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
    return f"<annotation>{more}<filename>{filename}</filename>{size}<segmented>0</segmented>{objects}</annotation>"


def coco(*names, first_id=1, image_id=int, category_id=1):
    listed = [
        {"id": first_id + i, "width": SIZE[0], "height": SIZE[1], "file_name": name} for i, name in enumerate(names)
    ]
    annotations = [
        {"id": n, "image_id": image_id(first_id + i), "category_id": category_id, "iscrowd": 0, "segmentation": [],
         "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for i, _ in enumerate(names) for n, (x1, y1, x2, y2) in enumerate(BOXES)
    ]  # fmt: skip
    categories = [{"id": category_id, "name": "face", "supercategory": "none"}]
    return json.dumps({"images": listed, "annotations": annotations, "categories": categories})


def yolo(label=0, boxes=BOXES):
    rows = [
        f"{label} {(x1 + x2) / 2 / SIZE[0]} {(y1 + y2) / 2 / SIZE[1]} {(x2 - x1) / SIZE[0]} {(y2 - y1) / SIZE[1]}\n"
        for x1, y1, x2, y2 in boxes
    ]
    return "".join(rows)


ROBOFLOW = "a_jpg.rf.0a1b2c3d4e5f"
LAYOUTS = {
    "voc LabelImg, beside the images": (
        {"a.jpg": None, "a.xml": xml("a.jpg", more="<folder>faces</folder><path>C:\\me\\faces\\a.jpg</path>")},
        "a.jpg",
    ),
    "voc LabelImg, in folders, another ending": ({"x/a.png": None, "x/a.xml": xml("a.jpg")}, "x/a.png"),
    "voc LabelImg, XML apart": ({"images/a.JPG": None, "Annotations/a.xml": xml("a.jpg")}, "images/a.JPG"),
    "voc Label Studio": ({"images/1f-a.b.png": None, "Annotations/1f-a.b.xml": xml("1f-a.b")}, "images/1f-a.b.png"),
    "voc CVAT": (
        {
            "JPEGImages/day/a.png": None,
            "Annotations/day/a.xml": xml("day/a.png"),
            "ImageSets/Main/default.txt": "day/a\n",
            "labelmap.txt": "face:::\n",
        },
        "JPEGImages/day/a.png",
    ),
    "voc Roboflow": (
        {
            f"train/{ROBOFLOW}.jpg": None,
            f"train/{ROBOFLOW}.xml": xml(f"{ROBOFLOW}.jpg", more="<folder></folder><path>a.jpg</path>"),
            "valid/b.jpg": None,
            "valid/b.xml": xml("b.jpg"),
            "README.roboflow.txt": "…",
        },
        f"train/{ROBOFLOW}.jpg",
    ),
    "voc labelme2voc": ({"JPEGImages/a.jpg": None, "Annotations/a.xml": xml("a.jpg")}, "JPEGImages/a.jpg"),
    "coco Label Studio": ({"result.json": coco("images\\1f-a.png"), "images/1f-a.png": None}, "images/1f-a.png"),
    "coco Label Studio, a server's path": (
        {"result.json": coco("../../label-studio/data/media/upload/1/1f-a.png"), "images/1f-a.png": None},
        "images/1f-a.png",
    ),
    "coco CVAT": (
        {"annotations/instances_default.json": coco("day/a.png"), "images/default/day/a.png": None},
        "images/default/day/a.png",
    ),
    "coco Roboflow": (
        {
            "train/_annotations.coco.json": coco(f"{ROBOFLOW}.jpg"),
            f"train/{ROBOFLOW}.jpg": None,
            "valid/_annotations.coco.json": coco("b.jpg"),
            "valid/b.jpg": None,
        },
        f"train/{ROBOFLOW}.jpg",
    ),
    "coco VIA": ({"via_export_coco.json": coco("a.jpg", first_id=0, image_id=str), "a.jpg": None}, "a.jpg"),
    "coco of a data frame": (
        {"all.json": coco("a.jpg", image_id=float, category_id=1.0), "photos/a.jpg": None},
        "photos/a.jpg",
    ),
    "yolo LabelImg": ({"a.jpg": None, "a.txt": yolo(), "classes.txt": "face\ndog\n"}, "a.jpg"),
    "yolo Label Studio": (
        {"images/1f-a.png": None, "labels/1f-a.txt": yolo(), "classes.txt": "face\n", "notes.json": "{}"},
        "images/1f-a.png",
    ),
    "yolo CVAT": (
        {
            "obj_train_data/day/a.png": None,
            "obj_train_data/day/a.txt": yolo(),
            "obj.names": "face\n",
            "obj.data": "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
            "train.txt": "data/obj_train_data/day/a.png\n",
        },
        "obj_train_data/day/a.png",
    ),
    "yolo CVAT, Ultralytics": (
        {
            "images/train/a.png": None,
            "labels/train/a.txt": yolo(),
            "data.yaml": "path: .\ntrain: train.txt\nnames:\n  0: face\n",
            "train.txt": "data/images/train/a.png\n",
        },
        "images/train/a.png",
    ),
    "yolo Roboflow": (
        {
            f"train/images/{ROBOFLOW}.jpg": None,
            f"train/labels/{ROBOFLOW}.txt": yolo(1),
            "valid/images/b.jpg": None,
            "valid/labels/b.txt": yolo(1),
            "data.yaml": "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['dog', 'face']\n",
        },
        f"train/images/{ROBOFLOW}.jpg",
    ),
    "yolo Ultralytics": (
        {
            "images/train/a.jpg": None,
            "labels/train/a.txt": yolo(),
            "images/val/b.jpg": None,
            "labels/val/b.txt": yolo(),
            "faces.yaml": "path: /content/datasets/faces\ntrain: images/train\nval: images/val\nnames: {0: face}\n",
        },
        "images/train/a.jpg",
    ),
}


@pytest.mark.parametrize("class_name", [None, "face"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_tool_exports_is_read_as_it_exports_it(layout, class_name, tmp_path):
    texts, image = LAYOUTS[layout]
    write(tmp_path, **texts)
    annotations, problems = datasets.read(f"{layout.split()[0]}:{tmp_path}", class_name=class_name)
    assert not problems
    (annotation,) = annotations
    assert annotation.image_path == str(tmp_path / image)
    np.testing.assert_allclose(annotation.boxes, BOXES, atol=1e-4)
    assert annotation.is_complete and annotation.size == SIZE


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "Roboflow" in name])
def test_other_splits_of_a_tool(layout, tmp_path):
    write(tmp_path, **LAYOUTS[layout][0])
    (annotation,), _ = datasets.read(f"{layout.split()[0]}:{tmp_path}", "val")
    assert annotation.image_path.endswith("b.jpg") and "valid" in annotation.image_path
    with pytest.raises(FileNotFoundError, match="'test'"):
        datasets.read(f"{layout.split()[0]}:{tmp_path}", "test")
