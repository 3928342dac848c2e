import os

import numpy as np
import pytest

from mtcnn_tf import faces
from mtcnn_tf.evaluation import saved_detections
from mtcnn_tf.images import image_files


def run(num, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.random(num).astype(np.float32))[::-1]
    return faces.Detections(rng.random((num, 4), np.float32), scores, rng.random((num, 5, 2), np.float32))


def assert_same(a, b):
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_detect_sorts_and_gives_rgb(tmp_path):
    image_files.write(tmp_path / "a.png", np.full((4, 6, 3), [200, 10, 30], np.uint8))

    def find(image):
        assert image.shape == (4, 6, 3) and image[0, 0].tolist() == [200, 10, 30]
        whole = run(3)
        return faces.Detections(whole.boxes[::-1], whole.scores[::-1], whole.landmarks[::-1])

    assert_same(saved_detections.detect(find, [str(tmp_path / "a.png")])[0], run(3))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (faces.Detections(np.zeros((2, 4)), np.zeros(3), faces.no_landmarks(3)), "must return boxes"),
        (faces.Detections(np.zeros((1, 4)), np.array([np.nan]), faces.no_landmarks(1)), "finite"),
    ],
)
def test_detectors_that_return_something_else(tmp_path, found, told):
    image_files.write(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=told):
        saved_detections.detect(lambda image: found, [str(tmp_path / "a.png")])


def test_what_was_saved_is_loaded_by_name(tmp_path):
    names, detections = ["x/1.jpg", "y/1.jpg", "z.jpg"], [run(3), run(0), run(2, seed=1)]
    saved_detections.save(tmp_path / "run.npz", names, detections)
    assert os.listdir(tmp_path) == ["run.npz"]
    for wanted in ([0, 1, 2], [2, 0], []):
        loaded = saved_detections.load(tmp_path / "run.npz", [names[i] for i in wanted])
        assert len(loaded) == len(wanted)
        for found, i in zip(loaded, wanted, strict=True):
            assert_same(found, detections[i])
    with pytest.raises(ValueError, match="lacks 1, such as 'w.jpg'"):
        saved_detections.load(tmp_path / "run.npz", ["z.jpg", "w.jpg"])


def test_an_empty_run(tmp_path):
    saved_detections.save(tmp_path / "run.npz", ["a"], [run(0)])
    assert_same(saved_detections.load(tmp_path / "run.npz", ["a"])[0], run(0))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no file"):
        saved_detections.load(tmp_path / "run.npz", ["a"])
    np.savez(tmp_path / "other.npz", boxes=np.zeros(3))
    (tmp_path / "text.npz").write_text("no run")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("other.npz", "text.npz", "empty.npz"):
        with pytest.raises(ValueError, match="got another file"):
            saved_detections.load(tmp_path / name, ["a"])
