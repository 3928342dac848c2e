import functools

import pytest

from mtcnn_tf.detection import detector


@pytest.fixture(scope="package", autouse=True)
def loaded_once():
    """Each weights are loaded and traced once, and not for every object that holds a detector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "load", functools.cache(detector.load))
        yield
