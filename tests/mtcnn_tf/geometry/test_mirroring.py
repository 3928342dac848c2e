import numpy as np

from mtcnn_tf.geometry import boxes, mirroring


def test_mirrored_twice_is_the_same():
    rng = np.random.default_rng(0)
    offsets, landmarks = rng.normal(size=(5, 4)).astype(np.float32), rng.random((5, 10)).astype(np.float32)
    np.testing.assert_allclose(mirroring.offsets(mirroring.offsets(offsets)), offsets)
    np.testing.assert_allclose(mirroring.landmarks(mirroring.landmarks(landmarks)), landmarks, atol=1e-6)


def test_offsets_lead_to_the_mirrored_face():
    crop, face = np.array([[20, 10, 60, 50]], np.float32), np.array([[24, 8, 50, 55]], np.float32)
    mirrored_face = np.array([[30, 8, 56, 55]], np.float32)  # x becomes 80 - x, which leaves the crop where it is
    offsets = mirroring.offsets(boxes.encode(crop, face)).numpy()
    np.testing.assert_allclose(boxes.decode(crop, offsets), mirrored_face, atol=1e-4)


def test_left_and_right_change_places():
    left_eye, right_eye, nose, left_mouth, right_mouth = (0.3, 0.4), (0.6, 0.41), (0.5, 0.6), (0.35, 0.8), (0.6, 0.82)
    points = np.array([[left_eye, right_eye, nose, left_mouth, right_mouth]], np.float32).reshape(1, 10)
    expected = [(0.4, 0.41), (0.7, 0.4), (0.5, 0.6), (0.4, 0.82), (0.65, 0.8)]
    np.testing.assert_allclose(mirroring.landmarks(points).numpy().reshape(5, 2), expected, atol=1e-6)
