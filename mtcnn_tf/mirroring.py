"""What a network should say of a mirrored crop, from what it should say of the crop; mirrored twice, it is the same."""

import tensorflow as tf

from mtcnn_tf import faces


def offsets(values: tf.Tensor) -> tf.Tensor:
    """Offsets [N, 4] of the mirrored crops: left and right change places and direction."""
    return tf.gather(values, [2, 1, 0, 3], axis=1) * [-1.0, 1.0, -1.0, 1.0]


def landmarks(values: tf.Tensor) -> tf.Tensor:
    """Landmarks [N, 10] of the mirrored crops: each point on the other side, under the name that it has there."""
    points = tf.gather(tf.reshape(values, [-1, 5, 2]), faces.MIRROR_ORDER, axis=1)
    return tf.reshape(points * [-1.0, 1.0] + [1.0, 0.0], [-1, 10])
