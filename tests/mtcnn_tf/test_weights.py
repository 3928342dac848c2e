"""The weights that ship, on photographs that come with dependencies."""

import numpy as np
import pytest
from skimage import data as photographs

import mtcnn_tf
from data_prep import sample_scenes
from mtcnn_tf import boxes


@pytest.fixture(scope="module")
def find_faces():
    return mtcnn_tf.load()


@pytest.mark.parametrize("number", [0, 1])
def test_the_two_portraits_are_found_where_a_person_placed_them(find_faces, number):
    portrait = sample_scenes.portraits()[number]
    found = find_faces(portrait.pixels).with_score(0.9)
    assert len(found) == 1
    assert boxes.iou(found.boxes, portrait.box[None])[0, 0] > 0.6
    distances = np.linalg.norm(found.landmarks[0] - portrait.landmarks, axis=1)
    between_eyes = np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0])
    assert distances.mean() < 0.1 * between_eyes


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "brick", "grass", "gravel", "moon"])
def test_no_face_is_found_where_there_is_none(find_faces, name):
    image = getattr(photographs, name)()
    assert len(find_faces(image).with_score(0.9)) == 0
