"""The weights that ship, on photographs that come with dependencies.

`golden_detections.json` holds what they found when they were shipped. With other weights or thresholds it is written
anew by `python -m tests.mtcnn_tf.test_weights`; look at the difference before it is committed.
"""

import json
import pathlib

import numpy as np
import pytest
from skimage import data as photographs

import mtcnn_tf
from data_prep.sample_set import sample_scenes
from mtcnn_tf import faces, files
from mtcnn_tf.detection import shipped
from mtcnn_tf.geometry import boxes

GOLDEN = pathlib.Path(__file__).with_name("golden_detections.json")


@pytest.fixture(scope="module", params=shipped.NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def find_faces(name):
    return mtcnn_tf.load(name)


@pytest.mark.parametrize("number", [0, 1])
def test_the_two_portraits_are_found_where_a_person_placed_them(find_faces, number):
    portrait = sample_scenes.portraits()[number]
    found = find_faces(portrait.pixels).with_score(0.9)
    assert len(found) == 1
    assert boxes.iou(found.boxes, portrait.box[None])[0, 0] > 0.6
    distances = np.linalg.norm(found.landmarks[0] - portrait.landmarks, axis=1)
    between_eyes = np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0])
    assert distances.mean() < 0.1 * between_eyes


@pytest.mark.parametrize("number", [0, 1])
def test_they_find_what_they_found_when_they_were_shipped(find_faces, name, number):
    golden = faces.Detections.from_dict(json.loads(GOLDEN.read_text())[name][number])
    found = find_faces(sample_scenes.portraits()[number].pixels)
    assert len(found) == len(golden)
    # The faces are some 100 and 200 pixels wide. Libraries decode, convolve and round a little differently.
    np.testing.assert_allclose(found.boxes, golden.boxes, atol=0.5)
    np.testing.assert_allclose(found.landmarks, golden.landmarks, atol=0.5)
    np.testing.assert_allclose(found.scores, golden.scores, atol=0.01)


@pytest.mark.parametrize("scene", ["coffee", "chelsea", "rocket", "brick", "grass", "gravel", "moon"])
def test_no_face_is_found_where_there_is_none(find_faces, scene):
    image = getattr(photographs, scene)()
    assert len(find_faces(image).with_score(0.9)) == 0


if __name__ == "__main__":
    detections = {}
    for each in shipped.NAMES:
        find = mtcnn_tf.load(each)
        detections[each] = [find(portrait.pixels).to_dict() for portrait in sample_scenes.portraits()]
    with files.atomic_write(GOLDEN) as partial:
        partial.write_text(json.dumps(detections, indent=1) + "\n")
    print(f"wrote what {', '.join(detections)} find to {GOLDEN}")
