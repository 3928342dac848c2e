import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.evaluation import false_positives


def run(*scores):
    boxes = np.zeros((len(scores), 4), np.float32)
    return faces.Detections(boxes, np.array(scores, np.float32), faces.no_landmarks(len(scores)))


RUNS = [run(0.6, 0.5), run(), run(0.95, 0.7, 0.4), run(0.3)]
ANNOTATIONS = [faces.Annotation(name) for name in "abcd"]


def test_counts_by_hand():
    report = false_positives.report(ANNOTATIONS, RUNS)
    assert list(report.figures.values()) == [4, 2, 2, 1, 1, 1]
    curve = report.curves["false positives"]
    assert (curve.y[0], curve.y[-1]) == (6, 0) and np.all(np.diff(curve.y) <= 0)


def test_worst_images_first():
    assert false_positives.worst(RUNS, 10) == [2, 0, 3]
    assert false_positives.worst(RUNS, 1) == [2]


def test_images_with_faces_are_refused():
    with pytest.raises(ValueError, match="one with faces: 'b'"):
        false_positives.report([faces.Annotation("b", [[0, 0, 9, 9]])], [run()])
