import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.evaluation import breakdown, rotation
from mtcnn_tf.images import image_files


@pytest.fixture
def views(tmp_path):
    """One image with faces of 16, 24, 40 and 200 pixels, of which the second is turned away and the third blurred."""
    image_files.write(tmp_path / "a.png", np.zeros((300, 400, 3), np.uint8))
    boxes = [[0, 0, 16, 20], [50, 0, 74, 30], [100, 0, 150, 40], [150, 90, 350, 299]]
    annotation = faces.Annotation(str(tmp_path / "a.png"), boxes, ignored=[[0, 200, 50, 250]])
    groups = {"pose": [np.array([0, 1, 0, 0], bool)], "blur": [np.array([1, 0, 1, 0], bool)]}
    upright = breakdown.upright([annotation], groups)
    return upright + breakdown.rotated(upright)


def found(boxes):
    return faces.Detections(np.reshape(boxes, (-1, 4)), np.linspace(1, 0.5, len(boxes)), faces.no_landmarks(len(boxes)))


def test_every_face_is_counted_in_its_groups(views):
    upright = [[0, 0, 16, 20], [100, 0, 150, 40], [100, 1, 150, 40], [0, 200, 50, 250], [200, 0, 230, 30]]
    rotated = [found(view.annotation.boxes[:2]) for view in views[1:]]
    figures = breakdown.report(views, [found(upright), *rotated]).figures
    assert figures.pop("num_fp_upright") == 2  # the second on a face, and one on nothing
    assert {
        name: recall for name, recall in figures.items() if name.startswith("recall") and "rotated" not in name
    } == {
        "recall_faces_20_px": 1 / 3,
        "recall_shorter_side_in_px_12_20": 1,
        "recall_shorter_side_in_px_20_32": 0,
        "recall_shorter_side_in_px_32_64": 1,
        "recall_shorter_side_in_px_64_128": pytest.approx(np.nan, nan_ok=True),
        "recall_shorter_side_in_px_128": 0,
        "recall_pose": 0,
        "recall_blur": 1,
    }
    assert figures["num_faces_faces_20_px"] == 3 and figures["num_faces_blur"] == 1
    for degrees in breakdown.ROTATIONS:
        assert figures[f"num_faces_rotated_by_{degrees}"] == 3
        assert figures[f"recall_rotated_by_{degrees}"] == 1 / 3


def test_views_are_the_images_as_they_will_be_turned(views):
    assert [view.degrees for view in views] == [0, *breakdown.ROTATIONS]
    for view in views:
        expected = rotation.rotate_boxes(views[0].annotation.boxes, 400, 300, view.degrees)
        np.testing.assert_allclose(view.annotation.boxes, expected, atol=1e-3)
        height, width = rotation.rotate(image_files.read(view.image_path), view.degrees).shape[:2]
        assert (view.annotation.boxes[:, 2:].max(axis=0) <= (width, height)).all()
