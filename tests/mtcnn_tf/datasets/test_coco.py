import json

import numpy as np
import pytest

from mtcnn_tf import landmark_sets
from mtcnn_tf.datasets import coco

FACE = np.array([[100, 100], [140, 102], [121, 125], [104, 142], [137, 143]])


@pytest.fixture
def write(tmp_path):
    def write(
        annotations=(), categories=({"id": 1, "name": "face"},), images=None, place="annotations/faces_train.json"
    ):
        images = images or [{"id": 7, "file_name": "b/x.jpg"}, {"id": 3, "file_name": "a.jpg"}]
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        content = {"images": images, "annotations": list(annotations), "categories": list(categories)}
        path.write_text(json.dumps(content))
        return str(tmp_path)

    return write


def a_face(bbox=(1, 2, 10, 20), image_id=7, **more):
    return {"image_id": image_id, "category_id": 1, "bbox": list(bbox), **more}


def test_boxes_crowds_order_and_subfolders(write, tmp_path):
    annotations, problems = coco.read(write([a_face(), a_face((5, 5, 3, 3), iscrowd=1), a_face((0, 0, 1.5, 2))]))
    assert not problems
    assert [a.image_path for a in annotations] == [str(tmp_path / "b" / "x.jpg"), str(tmp_path / "a.jpg")]
    np.testing.assert_array_equal(annotations[0].boxes, [[1, 2, 11, 22], [0, 0, 1.5, 2]])
    np.testing.assert_array_equal(annotations[0].ignored, [[5, 5, 8, 8]])
    assert annotations[1].boxes.shape == (0, 4)
    assert all(a.is_complete for a in annotations)


@pytest.mark.parametrize("place", ["images", "images/train", "train", "train2017", "."])
def test_finds_the_images(write, tmp_path, place):
    directory = write([a_face()])
    (tmp_path / place / "b").mkdir(parents=True)
    (tmp_path / place / "b" / "x.jpg").touch()
    annotations, _ = coco.read(directory)
    assert annotations[0].image_path == str(tmp_path / place / "b" / "x.jpg")


def test_the_stated_size_travels(write):
    images = [{"id": 7, "file_name": "a.jpg", "width": 640, "height": "480"}, {"id": 3, "file_name": "b.jpg"}]
    assert [annotation.size for annotation in coco.read(write(images=images))[0]] == [(640, 480), None]


NAMES = [
    (["nose", "left_eye", "right_eye", "left_ear", "mouth_left", "mouth_right"], [2, 1, 0, 5, 4]),  # the person's sides
    (["Left Eyebrow", "eyeLeft", "eyeRight", "NoseTip", "LeftMouthCorner", "RightMouthCorner"], [2, 1, 3, 5, 4]),
    (["r_eye", "l_eye", "nose", "r_lip", "l_lip"], [0, 1, 2, 3, 4]),
    (["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"], [0, 1, 2, 3, 4]),  # the image's sides
]


@pytest.mark.parametrize(("names", "positions"), NAMES)
def test_keypoints_come_in_the_images_order(write, names, positions):
    values = np.tile([7, 7, 2], (len(names), 1))
    values[positions, :2] = FACE
    category = {"id": 1, "name": "face", "keypoints": names}
    annotations, problems = coco.read(write([a_face(keypoints=values.ravel().tolist())], [category]))
    assert not problems
    np.testing.assert_array_equal(annotations[0].landmarks[0], FACE)


def test_keypoints_unlabelled_missing_or_damaged(write):
    category = {"id": 1, "name": "face", "keypoints": ["right_eye", "left_eye", "nose"]}
    seen = [100, 100, 2, 0, 0, 0, 121, 125, 1]
    faces = [a_face(keypoints=seen), a_face(keypoints=seen[:-1]), a_face(keypoints=[*seen[:-1], "x"]), a_face()]
    (annotation, _), problems = coco.read(write(faces, [category]))
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(annotation.landmarks[0], [[100, 100], nan, [121, 125], nan, nan])
    assert np.isnan(annotation.landmarks[1:]).all()
    assert [p.what for p in problems] == ["keypoints that cannot be read"] * 2
    assert len(annotation.boxes) == 4


def test_other_points_are_the_keypoints_of_a_category_that_has_as_many(write):
    category = {"id": 1, "name": "face", "keypoints": ["brow", "chin", "ear"]}
    directory = write([a_face(keypoints=[100, 100, 2, 0, 0, 0, 121, 125, 1]), a_face()], [category])
    three, four = (landmark_sets.LandmarkSet(num_points, ()) for num_points in (3, 4))
    (annotation, _), problems = coco.read(directory, landmark_set=three)
    nan = [np.nan, np.nan]
    assert not problems
    np.testing.assert_array_equal(annotation.landmarks, [[[100, 100], nan, [121, 125]], [nan] * 3])
    (annotation, _), problems = coco.read(directory, landmark_set=four)
    assert annotation.landmarks.shape == (2, 4, 2) and np.isnan(annotation.landmarks).all() and not problems


def test_class_names(write):
    categories = [{"id": 1, "name": "face"}, {"id": 2, "name": "dog"}]
    directory = write([a_face(), {**a_face((0, 0, 3, 3)), "category_id": 2}], categories)
    assert len(coco.read(directory)[0][0].boxes) == 2
    assert coco.read(directory, class_name="dog")[0][0].boxes.tolist() == [[0, 0, 3, 3]]
    with pytest.raises(ValueError, match="dog, face"):
        coco.read(directory, class_name="cat")


@pytest.mark.parametrize("identity", [1, 1.0, "1", "1.0", "0001"])
@pytest.mark.parametrize("stated", [1, 1.0, "1", "0001"])
def test_ids_are_compared_by_value(write, identity, stated):
    images = [{"id": stated, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    categories = [{"id": stated, "name": "face"}, {"id": 2, "name": "dog"}]
    face = {**a_face(image_id=identity, iscrowd=identity), "category_id": identity}
    annotations, problems = coco.read(write([face], categories, images), class_name="face")
    assert not problems
    assert [(len(a.ignored), a.is_complete) for a in annotations] == [(1, True), (0, True)]


def test_ids_that_are_different_text_of_one_value_stay_two(write):
    images = [{"id": "7", "file_name": "a.jpg"}, {"id": "007", "file_name": "b.jpg"}]
    annotations, problems = coco.read(write([a_face(image_id="007")], images=images))
    assert [len(a.boxes) for a in annotations] == [0, 1] and not problems
    assert coco.read(write([a_face(image_id=7.0)], images=images))[1] == []  # nearer to 7 than to 007


def test_a_face_that_finds_no_image_may_be_in_any(write):
    annotations, problems = coco.read(write([a_face(), a_face(image_id=99)]))
    assert [p.what for p in problems] == ["a face in no known image"]
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(1, False), (0, False)]


def test_a_face_that_finds_no_class_is_no_background(write):
    categories = [{"id": 1, "name": "face"}, {"id": 2}, {"id": 3, "name": "dog"}]
    wanted = [{**a_face(image_id=3), "category_id": category} for category in (2, 9)]
    directory = write([a_face(), *wanted, {**a_face(), "category_id": 3}], categories)
    annotations, problems = coco.read(directory, class_name="Face")
    assert [p.what for p in problems] == ["a face of no known class"] * 2
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(1, True), (0, False)]
    assert [len(a.boxes) for a in coco.read(directory)[0]] == [2, 2]


@pytest.mark.parametrize("bbox", [None, [1, 2, 3], ["x", 2, 3, 4], [1, 2, 10**400, 4], {"x": 1}, [1, 2, [3], 4]])
def test_damaged_boxes_are_problems(write, bbox):
    annotations, problems = coco.read(write([a_face(), {**a_face(), "bbox": bbox}]))
    assert [p.what for p in problems] == ["a face without the four numbers of its box"]
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(1, False), (0, True)]


def test_negative_sides_are_put_right_and_a_face_without_box_may_be_anywhere(write):
    annotations, problems = coco.read(write([a_face((30, 40, -20, -25)), a_face((1, 1, 0, 5), image_id=3)]))
    np.testing.assert_array_equal(annotations[0].boxes, [[10, 15, 30, 40]])
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(1, True), (0, False)]
    assert [p.what for p in problems] == ["a box turned inside out, put right", "a box without area"]


def test_other_problems(write):
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"}, {"id": 8}, {"file_name": "c.jpg"}]
    faces = [a_face((1, 1, 0, 5)), a_face(image_id=99), a_face(image_id=[1]), a_face(image_id="7")]
    annotations, problems = coco.read(write(faces, images=images))
    assert [p.what for p in problems] == ["an image without file_name or an id of its own"] * 3 + [
        "a box without area",
        "a face in no known image",
        "a face in no known image",
    ]
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(1, False)]


@pytest.mark.parametrize("content", ["", "[]", "{}", "nonsense", '{"images": [1], "annotations": []}', "[" * 100_000])
def test_not_coco(tmp_path, content):
    (tmp_path / "all.json").write_text(content)
    with pytest.raises(ValueError, match="all.json should hold COCO's JSON"):
        coco.read(str(tmp_path))


def test_which_file(write, tmp_path):
    directory = write([a_face()])
    with pytest.raises(FileNotFoundError, match="faces_train.json"):
        coco.read(directory, "val")  # the only file, but another split's
    with pytest.raises(ValueError, match="train, val, test"):
        coco.read(directory, "dev")
    write(place="annotations/more_train.json")
    with pytest.raises(ValueError, match="several fit"):
        coco.read(directory)
    (tmp_path / "annotations" / "more_train.json").unlink()
    (tmp_path / "annotations" / "faces_train.json").rename(tmp_path / "all.json")
    assert len(coco.read(directory, "val")[0]) == 2


def test_a_split_is_a_word_of_the_name(write, tmp_path):
    directory = write([a_face()], place="annotations/latest_train.json")
    assert len(coco.read(directory, "train")[0]) == 2
    with pytest.raises(FileNotFoundError, match="the split 'test' of .* there are: annotations/latest_train.json"):
        coco.read(directory, "test")
    for name in ("facesTest", "person_keypoints_test2017", "TEST-faces", "testing"):
        listed = tmp_path / "annotations" / f"{name}.json"
        write([a_face()], place=f"annotations/{name}.json")
        assert len(coco.read(directory, "test")[0]) == len(coco.read(directory, "train")[0]) == 2
        listed.unlink()
