"""mtcnn_tf: the MTCNN face detector and aligner, trained, measured and served with TensorFlow 2 and Keras 3."""

__version__ = "0.1.0"
