"""On JAX the training package needs no TensorFlow. JAX is not among the requirements: without it all is skipped."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not among the requirements")
@pytest.mark.parametrize("check", ["windows", "crops"])
def test_a_training_runs_and_goes_on_without_tensorflow(tmp_path, check):
    from tests.mtcnn_tf.training import easy_images  # writes records with TensorFlow

    images = [easy_images.some_image(seed) for seed in range(8)]
    easy_images.write(tmp_path / "records", images[:5], images[5:])
    result = run(check, tmp_path)
    assert result.stdout.splitlines()[-1:] == [f"{check} done"], result.stderr


def run(check, folder, python=sys.executable):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    return subprocess.run([python, __file__, check, str(folder)], env=environment, capture_output=True, text=True)


def batches_of_windows(folder, config):
    from mtcnn_tf import stages
    from mtcnn_tf.geometry import anchor_labels, anchors
    from mtcnn_tf.records import image_batches, windows

    recipe = windows.Recipe(size=config.window, face_sizes=(14.0, 60.0))
    records_dir, its_anchors = str(folder / "records"), anchors.Anchors()
    found = image_batches.of_windows(records_dir, config.batch_size, recipe, its_anchors, anchor_labels.Rules())
    return stages.RPN, found.train, found.validation, found.prepare


def batches_of_crops(folder, config):
    """Crops by another way than `tf.data`, whose colour tells their kind."""
    import numpy as np

    from mtcnn_tf import stages
    from mtcnn_tf.records import prefetching

    def batch(seed, step):
        rng = np.random.default_rng([seed, step])
        kind = rng.integers(0, 4, config.batch_size).astype(np.int32)
        pixels = rng.uniform(0, 60, (len(kind), 12, 12, 3)) + np.where(kind == 0, 20, 150)[:, None, None, None]
        targets = {"offsets": np.full((len(kind), 4), 0.1, np.float32), "landmarks": np.full((len(kind), 10), 0.5)}
        return {"image": pixels.astype(np.float32), "kind": kind, **targets}

    held_out = [batch(999, step) for step in range(3)]
    return stages.PNET, lambda seed: prefetching.Steps(lambda step: batch(seed, step)), lambda: held_out, None


def check_training(check, folder):
    """A quiet training and one that is interrupted in its second epoch end with the same figures and network."""
    import numpy as np

    from mtcnn_tf import training
    from mtcnn_tf.models import networks

    config = training.Config(epochs=2, steps_per_epoch=6, batch_size=4, window=64, learning_rate=3e-3, ema=0.5)
    stage, train, validation, prepare = {"windows": batches_of_windows, "crops": batches_of_crops}[check](
        folder, config
    )

    def fit(networks_dir, batches=train):
        return training.fit(config, stage, batches, validation, folder / networks_dir, prepare=prepare)

    quiet = fit("quiet")
    try:
        fit("stopped", lambda seed: Stopping(train(seed), 3 if seed == 1 else None))
    except training.Interrupted as stop:
        print(stop)
    rows = fit("stopped")
    skipped = ("examples_per_second", "input_waiting")
    for row, expected in zip(rows, quiet, strict=True):
        assert row.keys() == expected.keys()
        for name in row.keys() - set(skipped):
            np.testing.assert_allclose(row[name], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert {"box_loss", "recall"} <= set(rows[-1])
    for here, there in zip(
        *(networks.load(folder / name / stage.network_file).get_weights() for name in ("stopped", "quiet")), strict=True
    ):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-6)
    assert list((folder / "quiet" / stage.name / "tensorboard").rglob("events*"))
    assert (folder / "quiet" / stage.name / "history.png").stat().st_size
    print(f"{check} done")


class Stopping:
    """Batches, before one of which Ctrl-C is pressed."""

    def __init__(self, batches, at_step):
        self.batches, self.at_step = batches, at_step

    def skip(self, count):
        return Stopping(self.batches.skip(count), self.at_step)

    def __iter__(self):
        import signal

        for step, batch in enumerate(self.batches):
            if step == self.at_step:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch


class NoTensorFlow:
    """Finds that TensorFlow is not installed. An entry in `sys.modules`, even None, Keras takes for TensorFlow."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError("there is no tensorflow", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, NoTensorFlow)
    check_training(sys.argv[1], pathlib.Path(sys.argv[2]))
