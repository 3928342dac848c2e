"""What a network should say of a mirrored crop, from what it should say of the crop; mirrored twice, it is the same."""

from typing import Any

from keras import ops

from mtcnn_tf import landmark_sets


def offsets(values: Any) -> Any:
    """Offsets [N, 4] of the mirrored crops: left and right change places and direction."""
    return ops.take(values, [2, 1, 0, 3], axis=1) * ops.array([-1.0, 1.0, -1.0, 1.0])


def landmarks(values: Any, landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE) -> Any:
    """Landmarks [N, 2 P] of the mirrored crops: each point on the other side, under the name that it has there."""
    num_points = landmark_set.num_points
    points = ops.take(ops.reshape(values, [-1, num_points, 2]), landmark_set.mirror_order, axis=1)
    return ops.reshape(points * ops.array([-1.0, 1.0]) + ops.array([1.0, 0.0]), [-1, 2 * num_points])
