"""Programs that come with the package."""

import os

# TensorFlow is loaded after this, and tells at length what it found and guessed.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
