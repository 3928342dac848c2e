"""Lists damaged in 5,000 ways each: what is sound in them is read and the rest told, or one sentence says why not."""

import io
import json
import os

import numpy as np
import pytest
import scipy.io

from mtcnn_tf import datasets, files
from mtcnn_tf.evaluation import wider_face
from tests import mutations

COUNT = 5000

POINTS = "30 40 60 41 45 60 33 75 58 76"
PTS = "".join(f"{20 + i % 9} {30.5 + i % 7}\n" for i in range(68))
FLAGGED = "30 40 0 60 41 0 45 60 1 33 75 0 58 76 -1"
OBJECT = "<object><name>face</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"
EDGES = "<xmin>10</xmin><ymin>20</ymin><xmax>60</xmax><ymax>90</ymax>"
COCO = {
    "images": [{"id": 7, "file_name": "b/x.jpg"}, {"id": 3, "file_name": "a.jpg"}],
    "annotations": [
        {"image_id": 7, "category_id": 1, "bbox": [1, 2, 10, 20], "keypoints": [30, 40, 2, 60, 41, 1, 0, 0, 0]},
        {"image_id": 3, "category_id": 1, "bbox": [1, 2, 10, 20], "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "face", "keypoints": ["left_eye", "right_eye", "nose"]}],
}
LISTS = {
    "wider_face": {
        "wider_face_split/wider_face_train_bbx_gt.txt": "a/1.jpg\n2\n10 20 30 40 0 0 0 0 0 0\n5 6 7 8 1 0 0 1 2 1\n"
        "b/2 x.jpg\n0\n0 0 0 0 0 0 0 0 0 0\nc/3.jpg\n1\n1 2 30 40\n"
    },
    "wider_face_landmarks": {
        "train/label.txt": f"# a/1.jpg\n10 20 30 40 {FLAGGED} 0.9\n5 6 7 8\n# b/2 x.jpg\n1 2 3 4\n",
        "wider_face_split/wider_face_train_bbx_gt.txt": "a/1.jpg\n1\n10 20 30 40 0 0 0 1 0 0\n",
    },
    "wider_face_landmarks v2": {
        "train/labelv2.txt": f"# a/1.jpg 200 100\n10 20 30 40 {FLAGGED}\n5 6 7 8 1\n# b/2 x.jpg 30 20\n1 2 3 4\n"
    },
    "celeba": {
        "Anno/list_landmarks_celeba.txt": f"2\nlefteye_x lefteye_y\n000001.jpg {POINTS}\n000002.jpg  {POINTS}\n",
        "Eval/list_eval_partition.txt": "000001.jpg 0\n000002.jpg 1\n",
    },
    "points": {"trainImageList.txt": f"a\\1.jpg 20 70 30 90 {POINTS}\nb\\2 x.jpg 20 70 30 90 {POINTS}\n"},
    "mtfl": {"training.txt": f"a\\1.jpg {POINTS} 1 2 2 3\nb\\2 x.jpg {POINTS} 1 2 2 3\n"},
    "ibug": {"a/1.pts": f"version: 1\nn_points: 68\n{{\n{PTS}}}\n", "a/1.jpg": "an image that isn't opened"},
    "fddb": {
        "FDDB-folds/FDDB-fold-01-ellipseList.txt": "2002/a\n2\n67.3 44.5 -1.47 105.2 87.2  1\n"
        "41.9 27.5 1.47 184.1 112.9  1\n"
        "2002/b\n1\n9.5 8.5 0.1 20 30 1\n"
    },
    "voc": {
        "Annotations/1.xml": f"<annotation><filename>1.jpg</filename>{OBJECT.format(0, EDGES)}{OBJECT.format(1, EDGES)}"
        "</annotation>",
        "Annotations/2.xml": f"<annotation>{OBJECT.format(0, EDGES)}</annotation>",
        "ImageSets/Main/train.txt": "1\n2\n",
    },
    "coco": {"annotations/faces_train.json": json.dumps(COCO)},
    "yolo": {
        "a.txt": "0 0.5 0.5 0.25 0.5 0.4 0.4 0.6 0.4 0.5 0.5 0.4 0.6 0.6 0.6\n0 0.2 0.2 0.1 0.1\n",
        "a.ppm": f"P3 10 8 255{' 0' * 240}",
        "data.yaml": "names: [face]\nkpt_shape: [5, 2]\ntrain: a.ppm\n",
    },
    "folder": {"list.txt": "a/1.jpg\nb/2 x.png\n../c.jpg\n"},
}


def lay_out(name, directory):
    """Writes the lists of a format; what `datasets.read` takes."""
    for place, text in LISTS[name].items():
        (directory / place).parent.mkdir(parents=True, exist_ok=True)
        (directory / place).write_text(text)
    return f"{name.split()[0]}:{directory / 'list.txt' if name == 'folder' else directory}"


def overwrite(path, content):
    """In a new file, since cutting an old one short waits for the disk."""
    path.unlink()
    path.write_bytes(content)


def read_or_refuse(spec, directory):
    """Reads; whether there was anything. Whatever comes must be sound, or a sentence that names a file."""
    try:
        annotations, problems = datasets.read(spec)
    except (ValueError, FileNotFoundError) as error:
        assert str(directory) in str(error), repr(error)
        return False
    for annotation in annotations:
        for boxes in (annotation.boxes, annotation.ignored):
            assert np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert not np.isinf(annotation.landmarks).any()
    assert all(str(problem) == files.one_line(str(problem)) for problem in problems)
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", LISTS)
def test_faces_and_problems_or_one_sentence(name, tmp_path):
    spec = lay_out(name, tmp_path)
    annotations, problems = datasets.read(spec)
    assert annotations and not problems
    was_read = []
    for place, text in LISTS[name].items():
        for damaged in mutations.texts(text.encode(), COUNT // len(LISTS[name])):
            overwrite(tmp_path / place, damaged)
            was_read.append(read_or_refuse(spec, tmp_path))
        (tmp_path / place).write_text(text)
    assert 0 < sum(was_read) < len(was_read)


@pytest.mark.slow
def test_json_that_is_sound_and_holds_anything(tmp_path):
    """Bytes that are changed seldom leave JSON whole: here its values are."""
    spec = lay_out("coco", tmp_path)
    was_read = []
    for damaged in mutations.trees(COCO, COUNT):
        overwrite(tmp_path / "annotations" / "faces_train.json", damaged.encode())
        was_read.append(read_or_refuse(spec, tmp_path))
    assert 0 < sum(was_read) < len(was_read)


@pytest.mark.parametrize("name", [name for name in LISTS if name not in ("folder", "ibug", "yolo")])
@pytest.mark.parametrize("outside", ["../../../etc/x", "a/../../x", "/etc/x", "..\\..\\x", "\\etc\\x"])
def test_paths_that_lead_out_of_the_data_set_are_problems(name, outside, tmp_path):
    if name == "fddb":
        outside = outside.replace("\\", "/")  # a line without a slash begins no image there
    spec = lay_out(name, tmp_path)
    first, *_ = datasets.read(spec)[0]
    is_voc = name == "voc"  # the names of its images lose their folders, those of its XML files don't
    for place, text in LISTS[name].items():
        if is_voc and not place.endswith(".txt"):
            continue
        for old in ("a/1.jpg", "a\\1.jpg", "000001.jpg", "2002/a", "b/x.jpg", *(["1\n"] if is_voc else [])):
            new = outside.replace("x", "1") if old in ("2002/a", "1\n") else outside.replace("x", "1.jpg")
            text = text.replace(old, f"{new}\n" if is_voc else json.dumps(new)[1:-1] if name == "coco" else new)
        (tmp_path / place).write_text(text)
    if name == "celeba":
        with pytest.raises(ValueError, match="leads out of the data set"):  # the other image is of another part
            datasets.read(spec)
        return
    annotations, problems = datasets.read(spec)
    assert first.image_path not in [annotation.image_path for annotation in annotations] and annotations
    root = os.path.realpath(tmp_path)
    assert all(os.path.realpath(annotation.image_path).startswith(root + os.sep) for annotation in annotations)
    assert "a path that leads out of the data set" in [problem.what for problem in problems]


def test_links_and_odd_names_are_read(tmp_path):
    names = ["with space.jpg", "Käse 顔.png", "line\nbreak.jpg", "..hidden/../x.jpg", "...jpg"]
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    (tmp_path / "x.json").write_text(json.dumps({"images": images, "annotations": []}))
    (tmp_path / "images").symlink_to("/")
    annotations, problems = datasets.read(f"coco:{tmp_path}")
    assert [annotation.image_path for annotation in annotations] == [f"{tmp_path}/images/{name}" for name in names]
    assert not problems


def cells(*values):
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


@pytest.mark.slow
def test_official_lists_of_wider_face_that_are_damaged(tmp_path):
    """Some end the process of SciPy's reader: it is another one than this."""
    buffer = io.BytesIO()
    boxes = cells(cells(np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]), np.array([[1.0, 2, 3, 4]])))
    counted = cells(cells(np.array([[1], [2]]), np.array([[1]])))
    names = {"event_list": cells("0--Parade"), "file_list": cells(cells("a", "b"))}
    scipy.io.savemat(buffer, {**names, "face_bbx_list": boxes, "gt_list": counted})
    whole = buffer.getvalue()
    (tmp_path / "wider_face_split").mkdir()
    for setting in wider_face.SETTINGS:
        (tmp_path / "wider_face_split" / f"wider_{setting}_val.mat").write_bytes(whole)
    assert list(wider_face.read_official(str(tmp_path))["hard"]) == ["0--Parade/a", "0--Parade/b"]

    damaged = whole[:240] + b"\0" + whole[241:]  # SciPy 1.17 reads where no memory is
    (tmp_path / "wider_face_split" / "wider_hard_val.mat").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"wider_hard_val.mat', got another file"):
        wider_face.read_official(str(tmp_path))
