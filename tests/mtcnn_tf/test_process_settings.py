"""A detector among others in one process, who have set Keras and TensorFlow to their own wishes, or fork it."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import mtcnn_tf
from mtcnn_tf import stages, training
from tests.mtcnn_tf.training import conftest

ROOT = os.path.dirname(os.path.dirname(mtcnn_tf.__file__))
SETTINGS = {
    "channels_first": lambda: keras.config.set_image_data_format("channels_first"),
    "floatx float16": lambda: keras.config.set_floatx("float16"),
    "floatx float64": lambda: keras.config.set_floatx("float64"),
    "policy mixed_float16": lambda: keras.config.set_dtype_policy("mixed_float16"),
    "policy float16": lambda: keras.config.set_dtype_policy("float16"),
}


def settings():
    return keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy().name


@pytest.fixture(params=SETTINGS, ids=str)
def others_settings(request):
    before = settings()
    SETTINGS[request.param]()
    yield settings()
    keras.config.set_image_data_format(before[0])
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(before[2])


@pytest.fixture(scope="module")
def image():
    return os.path.join(ROOT, "docs", "images", "found.jpg")


@pytest.fixture(scope="module")
def wanted(image):
    return mtcnn_tf.load()(image, min_face_size=60)


def test_it_finds_the_same_whatever_keras_is_set_to(wanted, others_settings, image):
    found = mtcnn_tf.load()(image, min_face_size=60)
    assert len(found) == len(wanted) > 0 and settings() == others_settings
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-3)
    np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=1e-3)


def losses_of_a_training(networks_dir):
    def batches(seed=1):
        return tf.data.Dataset.from_tensor_slices(conftest.toy_examples(96, seed)).batch(48)

    config = training.Config(epochs=1, steps_per_epoch=2, batch_size=48)
    row = training.fit(config, stages.PNET, batches, batches, networks_dir)[-1]
    return row["loss"], row["val_loss"]


@pytest.fixture(scope="module")
def wanted_losses(tmp_path_factory):
    return losses_of_a_training(tmp_path_factory.mktemp("wanted"))


@pytest.mark.slow
def test_it_trains_the_same_whatever_keras_is_set_to(wanted_losses, others_settings, tmp_path):
    assert losses_of_a_training(tmp_path) == pytest.approx(wanted_losses, rel=1e-3)
    assert settings() == others_settings


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.slow
def test_without_eager_mode_it_says_so():
    told = run("""
        import tensorflow as tf
        tf.compat.v1.disable_eager_execution()
        import mtcnn_tf
        mtcnn_tf.load()
    """)
    assert told.stderr.splitlines()[-1].startswith("RuntimeError: a detector needs TensorFlow's eager mode, which is")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_of_a_detector_says_so_and_a_detector_of_a_fork_works():
    told = run(
        """
        import multiprocessing
        import numpy as np
        import mtcnn_tf
        mtcnn_tf.load  # TensorFlow is loaded, as a server does that forks first

        def ask(own, found):
            try:
                found.put(len((own or mtcnn_tf.load())(np.zeros((30, 30, 3), np.uint8))))
            except RuntimeError as error:
                found.put(str(error))

        fork = multiprocessing.get_context("fork")
        def told(own=None):
            answers = fork.Queue()
            process = fork.Process(target=ask, args=(own, answers), daemon=True)
            process.start()
            return answers.get(timeout=90)

        print(told())
        here = mtcnn_tf.load()
        print(told(here))
        print(told())
        print(len(here(np.zeros((30, 30, 3), np.uint8))))
    """,
        TF_USE_LEGACY_KERAS="1",
    )
    lines = told.stdout.splitlines()
    assert [lines[0], lines[3]] == ["0", "0"], told.stderr
    assert lines[1] == lines[2] and "not in forks of it" in lines[1] and "load it after the fork" in lines[1]
