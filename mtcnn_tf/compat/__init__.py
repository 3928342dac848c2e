"""The classes of two other libraries, by their names, their calls and their results, with a detector of ours inside.

    from mtcnn_tf.compat.mtcnn import MTCNN  # in place of `from mtcnn import MTCNN`
    from mtcnn_tf.compat.facenet_pytorch import MTCNN  # in place of `from facenet_pytorch import MTCNN`

docs/coming_from.md tells how theirs maps to ours.
"""
