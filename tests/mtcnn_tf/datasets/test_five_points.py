import numpy as np
import pytest

from mtcnn_tf import faces, landmark_sets
from mtcnn_tf.datasets import celeba, five_points, mtfl, points
from mtcnn_tf.geometry import boxes

FACE = np.float32([[100, 100], [140, 102], [121, 125], [104, 142], [137, 143]])
NUMBERS = " ".join(f"{v:.2f}" for v in FACE.ravel())
SWAPPED = " ".join(f"{v:.2f}" for v in FACE[[1, 0, 2, 4, 3]].ravel())


def turned(face, degrees):
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return (face - face.mean(0)) @ matrix + face.mean(0)


@pytest.mark.parametrize("degrees", range(0, 360, 30))
def test_names_turn_with_the_face_and_the_persons_sides_are_exchanged(degrees):
    face = turned(FACE, degrees)
    persons_sides = face[list(landmark_sets.FIVE.mirror_order)]
    ordered = five_points.in_image_order([face, persons_sides])
    np.testing.assert_allclose(ordered, [face, face], rtol=1e-6)


@pytest.mark.parametrize("unknown", [[2], [0], [3], [2, 3], [3, 4], [0, 1], [0, 1, 2], [2, 3, 4], [0, 4, 2]])
def test_order_with_unknown_points(unknown):
    face = FACE.copy()
    face[unknown] = np.nan
    swapped = face[list(landmark_sets.FIVE.mirror_order)]
    has_pair = not np.isnan(face[:2]).any() or not np.isnan(face[3:]).any()
    expected = face if has_pair else swapped
    np.testing.assert_array_equal(five_points.in_image_order([face, swapped]), [face, expected])


@pytest.mark.parametrize("unknown", [[0, 1], [3, 4]])
def test_the_nose_tells_where_down_is_without_eyes_or_mouth(unknown):
    face = turned(FACE, 170)
    face[unknown] = np.nan
    ordered = five_points.in_image_order([face, face[list(landmark_sets.FIVE.mirror_order)]])
    np.testing.assert_allclose(ordered, [face, face], rtol=1e-6)


def test_order_of_nothing_known_and_of_no_faces():
    assert np.isnan(five_points.in_image_order(faces.no_landmarks(2))).all()
    assert five_points.in_image_order([]).shape == (0, 5, 2)


def test_boxes_move_and_grow_with_the_points_and_mirror_with_them():
    box = five_points.boxes_round([FACE])
    np.testing.assert_allclose(five_points.boxes_round([FACE * 3 + 7]), box * 3 + 7, rtol=1e-4)
    mirrored = FACE[list(landmark_sets.FIVE.mirror_order)] * [-1, 1]
    np.testing.assert_allclose(five_points.boxes_round([mirrored]), box[:, [2, 1, 0, 3]] * [-1, 1, -1, 1], rtol=1e-4)


def test_box_is_shaped_like_wider_faces():
    (box,) = five_points.boxes_round([FACE])
    x1, y1, x2, y2 = box
    assert (x2 - x1) / (y2 - y1) == pytest.approx(3.503 / 4.617, rel=1e-4)
    relative = boxes.encode_points(box[None], FACE[None])[0]
    assert ((relative > 0.1) & (relative < 0.9)).all()
    assert relative[[0, 1, 3, 4], 1].mean() == pytest.approx(0.5 + 0.277 / 4.617, rel=1e-3)
    aside = FACE.copy()
    aside[2, 0] -= 15  # the face looks to the left: more of the cheek is seen on the right
    assert five_points.boxes_round([aside])[0, [0, 2]].mean() > box[[0, 2]].mean() + 10


def check_sets(annotations):
    for annotation in annotations:
        np.testing.assert_allclose(annotation.landmarks, [FACE], atol=0.01)
        np.testing.assert_allclose(annotation.boxes, five_points.boxes_round([FACE]), atol=0.1)
        assert not annotation.is_complete


def test_points_lists_with_both_separators(tmp_path):
    content = f"net\\a b.jpg 90 150 80 160 {NUMBERS}\r\nnet/c.jpg 90 150 80 160 {SWAPPED} \r\n\r\n"
    (tmp_path / "trainImageList.txt").write_bytes(content.encode())
    annotations, problems = points.read(str(tmp_path))
    assert not problems
    assert [a.image_path for a in annotations] == [str(tmp_path / "net" / name) for name in ("a b.jpg", "c.jpg")]
    check_sets(annotations)
    with pytest.raises(FileNotFoundError, match="lists for: train"):
        points.read(str(tmp_path), "test")
    with pytest.raises(ValueError, match="train, test"):
        points.read(str(tmp_path), "val")


def test_points_lists_problems(tmp_path):
    (tmp_path / "testImageList.txt").write_text(
        f"a.jpg 1 2 3 4 {NUMBERS[:-9]}\na.jpg 1 2 3 x {NUMBERS}\n{NUMBERS}\nb.jpg 1 2 3 4 {'5 ' * 10}\n"
        f"c.jpg 1 2 3 4 {NUMBERS}\n"
    )
    annotations, problems = points.read(str(tmp_path), "test")
    assert [p.what for p in problems] == ["a line without a path and 14 numbers"] * 3 + ["points without extent"]
    assert problems[-1].where.endswith("testImageList.txt:4")
    assert len(annotations) == 1
    check_sets(annotations)


def test_mtfl_lists_all_x_before_all_y(tmp_path):
    numbers = " ".join(str(v) for v in FACE.T.ravel())
    (tmp_path / "training.txt").write_text(f" lfw_5590\\a.jpg {numbers} 1 2 2 3\n AFLW\\b.jpg {numbers} 1 2\n \n")
    annotations, problems = mtfl.read(str(tmp_path))
    assert len(problems) == 1
    assert [a.image_path for a in annotations] == [str(tmp_path / "lfw_5590" / "a.jpg")]
    check_sets(annotations)


@pytest.fixture
def celeba_dir(tmp_path):
    (tmp_path / "Anno").mkdir()
    (tmp_path / "Eval").mkdir()
    rows = f"000001.jpg  {NUMBERS}\n000002.jpg  {SWAPPED}\n000003.jpg {NUMBERS}\n000004.jpg {NUMBERS}\n000005.jpg 1 2\n"
    names = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
    (tmp_path / "Anno" / "list_landmarks_celeba.txt").write_text(f"5\n{names}\n{rows}")
    (tmp_path / "Eval" / "list_eval_partition.txt").write_text(
        "000001.jpg 0\n000002.jpg 0\n000003.jpg 2\n000005.jpg 0\n"
    )
    return tmp_path


@pytest.mark.parametrize(("split", "names"), [("train", ["000001", "000002"]), ("val", []), ("test", ["000003"])])
def test_celeba_partitions(celeba_dir, split, names):
    annotations, problems = celeba.read(str(celeba_dir), split)
    image_dir = celeba_dir / "Img" / "img_celeba"
    assert [a.image_path for a in annotations] == [str(image_dir / f"{name}.jpg") for name in names]
    check_sets(annotations)
    assert [p.what for p in problems] == [
        "an image that belongs to no partition",
        "a line without a path and 10 numbers",
    ]


@pytest.mark.parametrize("folder", ["img_celeba", "Img/img_celeba", "img_align_celeba/img_align_celeba"])
def test_celeba_lists_as_csv(tmp_path, folder):
    """As pandas writes them; the aligned images, too, which lie in a folder of their own name."""
    kind = "align_" * ("align" in folder)
    names = "image_id,lefteye_x,lefteye_y,righteye_x,righteye_y,nose_x,nose_y,leftmouth_x,leftmouth_y,rightmouth_x"
    rows = [f"00000{number}.jpg,{NUMBERS.replace(' ', ',')}\n" for number in (1, 2, 3)]
    (tmp_path / f"list_landmarks_{kind}celeba.csv").write_text(f"{names},rightmouth_y\n{''.join(rows)}")
    partition = "image_id,partition\n000001.jpg,0\n000002.jpg,1.0\n000003.jpg,0.0\n"
    (tmp_path / "list_eval_partition.csv").write_text(partition)
    (tmp_path / folder).mkdir(parents=True)
    for name in ("000001.jpg", "000003.png"):
        (tmp_path / folder / name).touch()
    annotations, problems = celeba.read(str(tmp_path))
    assert not problems
    assert [a.image_path for a in annotations] == [str(tmp_path / folder / n) for n in ("000001.jpg", "000003.png")]
    check_sets(annotations)


def test_celeba_count_and_missing_lists(celeba_dir):
    path = celeba_dir / "Anno" / "list_landmarks_celeba.txt"
    path.write_text(path.read_text().replace("5\n", "7\n", 1))
    assert celeba.read(str(celeba_dir))[1][0].what == "the count does not match"
    (celeba_dir / "Eval" / "list_eval_partition.txt").unlink()
    with pytest.raises(FileNotFoundError, match="list_eval_partition"):
        celeba.read(str(celeba_dir))
