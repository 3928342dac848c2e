"""Every format is read from an address as from a folder; TensorFlow's ram:// stands for a bucket."""

import dataclasses

import numpy as np
import pytest

from mtcnn_tf import datasets, files

POINTS = "45 51 75 51 60 62 48 78 72 78"
XML = """<annotation><filename>a.jpg</filename><object><name>face</name>
<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"""
COCO = """{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "face"}],
"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}]}"""
SETS = {
    "wider_face": {
        "wider_face_split/wider_face_train_bbx_gt.txt": "\ufeffa/b.jpg\r\n1\r\n1 2 30 40\r\n../c.jpg\r\n0\r\n"
    },
    "wider_face_landmarks": {"train/label.txt": "# a/b.jpg\n1 2 30 40\n# /c.jpg\n", "train/images/a/b.jpg": ""},
    "celeba": {
        "Anno/list_landmarks_celeba.txt": f"2\nx y\na.jpg {POINTS}\nb.jpg {POINTS}\n",
        "Eval/list_eval_partition.txt": "a.jpg 0\nb.jpg 1\n",
    },
    "points": {"trainImageList.txt": f"faces\\ä.jpg 30 90 24 96 {POINTS}\nhalf.jpg 1 2\n..\\b.jpg 1 2 3 4 {POINTS}\n"},
    "mtfl": {"training.txt": f"a.jpg {POINTS} 1 1 1 1\n"},
    "ibug": {"a/b.pts": "version: 1\r\nn_points: 2\r\n{\r\n3 4\r\n9 9.5\r\n}\r\n", "a/b.jpg": "", "c.pts": ""},
    "fddb": {f"FDDB-folds/FDDB-fold-0{i}-ellipseList.txt": f"2002/{i}\n1\n60 40 1.5 100 90 1\n" for i in (1, 2)},
    "voc": {"Annotations/a.xml": XML, "Annotations/b.XML": "<broken", "JPEGImages/a.jpg": ""},
    "coco": {"annotations/instances_train.json": COCO, "images/train/a.jpg": "", "images/b.jpg": ""},
    "yolo": {
        "images/a.ppm": "P3 10 8 255" + " 0" * 240,
        "labels/a.txt": "0 0.5 0.5 0.25 0.5\n",
        "images/b.ppm": "P3 1 1 255 0 0 0",
        "data.yaml": "names: [face]",
    },
    "folder": {"a.jpg": "", "b/c.png": "", ".hidden/d.jpg": "", "b/.e.jpg": "", "notes.txt": ""},
}


def write(directory, texts):
    """The folder at `directory`, with files of these texts in it."""
    for name, text in texts.items():
        path = directory / name
        for parent in (directory, path.parent):
            parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


def plain(annotations, problems, directory):
    """All that was read as plain values, with paths as from `directory` on."""
    values = []
    for annotation in annotations:
        values.append([np.asarray(value).tolist() for value in dataclasses.astuple(annotation)])
    return repr((values, problems)).replace(str(directory), "DIR")


@pytest.mark.parametrize("name", datasets.NAMES)
def test_an_address_gives_what_a_folder_gives(name, tmp_path):
    directory = write(tmp_path / "set", SETS[name])
    address = write(files.as_path(f"ram://formats/{name}/set"), SETS[name])
    local = datasets.read(f"{name}:{directory}")
    assert len(local[0]) >= 1
    remote = datasets.read(f"{name}:{address}")
    assert plain(*remote, address) == plain(*local, directory)


def test_a_list_of_ones_own_may_name_addresses(tmp_path):
    texts = {"list.txt": "a.jpg\ngs://bucket/b.jpg\n/c/d.jpg\n"}
    for directory in (tmp_path, files.as_path("ram://lists/set")):
        annotations, _ = datasets.read(f"folder:{write(directory, texts) / 'list.txt'}")
        paths = {f"{directory}/a.jpg", "gs://bucket/b.jpg", "/c/d.jpg"}
        assert {annotation.image_path for annotation in annotations} == paths


@pytest.mark.parametrize("name", datasets.NAMES)
def test_what_is_not_there_is_told_in_the_same_sentence(name, tmp_path):
    sentences = []
    for directory in (tmp_path / "none", "ram://none-there"):
        with pytest.raises(FileNotFoundError) as raised:
            datasets.read(f"{name}:{directory}")
        sentences.append(str(raised.value).replace(str(directory), "DIR"))
    assert sentences[0] == sentences[1]
