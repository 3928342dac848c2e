"""Checkpoints against every sort of damage to their files."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf.training import checkpoints, learners


def make(checkpoints_dir):
    """The learner of a small model with its optimizer, progress, and their checkpoints."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(50)])
    learner = learners.TensorFlowLearner(
        network, network, keras.optimizers.Adam(), tf.distribute.get_strategy(), average=0.5, prepare=None
    )
    progress = checkpoints.Progress()
    return learner, progress, checkpoints.Checkpoints(checkpoints_dir, learner, progress)


def fill(learner, number):
    """Every weight, average and number of the optimizer becomes `number`."""
    learner.restore([np.full_like(values, number) for values in learner.arrays()])


@pytest.fixture
def saved_dir(tmp_path):
    """Three checkpoints, in which every number is that of the step."""
    learner, progress, store = make(tmp_path)
    for step in (1, 2, 3):
        fill(learner, step)
        progress.epoch, progress.rows = step, [{"epoch": 1, "loss": 0.1 + step}]
        store.save(step)
    return tmp_path


def holds(learner, number):
    return all(np.all(values == number) for values in learner.arrays())


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file):
    file.write_bytes(b"")


def flip_a_bit(file):
    """In the first array, which is the kernel: behind the headers of the archive's member and of the array."""
    content = bytearray(file.read_bytes())
    content[300] ^= 1
    file.write_bytes(content)


def shorten(file):
    """An array less than there should be, in an archive that is intact."""
    with np.load(file) as held:
        arrays = dict(held)
    del arrays["00000"]
    np.savez(file, **arrays)


def test_the_newest_is_restored(saved_dir):
    learner, progress, store = make(saved_dir)
    assert not holds(learner, 3)
    assert store.restore(pytest.fail)
    assert (progress.epoch, progress.rows) == (3, [{"epoch": 1, "loss": 3.1}])
    assert holds(learner, 3)


def test_weights_averages_and_the_optimizer_s_numbers_are_all_in_it(saved_dir):
    learner = make(saved_dir)[0]
    num_weights, num_of_optimizer, num_averages = 2, len(learner.optimizer.variables), 2
    assert num_of_optimizer >= 5  # steps, and two moments of each weight
    with np.load(saved_dir / "step-000000003.npz") as held:
        assert len(held.files) == num_weights + num_of_optimizer + num_averages + 1


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, shorten])
def test_damage_falls_back_to_the_one_before(saved_dir, damage):
    damage(saved_dir / "step-000000003.npz")
    lines = []
    learner, progress, store = make(saved_dir)
    assert store.restore(lines.append)
    assert progress.epoch == 2 and holds(learner, 2)
    (line,) = lines
    assert "step-000000003.npz is damaged, trying the one before" in line and "\n" not in line


def test_when_none_can_be_read_that_is_an_error(saved_dir):
    for file in saved_dir.glob("*.npz"):
        truncate(file)
    with pytest.raises(ValueError, match="none of the 3 checkpoints in .* can be read; restart to train anew"):
        make(saved_dir)[2].restore(lambda line: None)


def test_without_checkpoints_nothing_is_restored(tmp_path):
    assert not make(tmp_path / "none")[2].restore()


def test_the_newest_few_stay(saved_dir):
    make(saved_dir)[2].save(20)
    names = ["step-000000020.npz", "step-000000003.npz", "step-000000002.npz"]
    assert [path.name for path in checkpoints.paths(saved_dir)] == names
    assert sorted(path.name for path in saved_dir.iterdir()) == sorted(names)


def test_what_a_killed_process_left_half_written_is_removed(saved_dir):
    (saved_dir / ".partial-12-step-000000004.npz").write_bytes(b"half")
    learner, _, store = make(saved_dir)
    assert store.restore(pytest.fail) and holds(learner, 3)
    store.save(6)
    assert {path.name for path in saved_dir.iterdir()} == {f"step-00000000{i}.npz" for i in (2, 3, 6)}


def test_a_full_disk_is_one_sentence_and_leaves_the_checkpoints_before(saved_dir, file_size_limit):
    before = sorted(path.name for path in saved_dir.iterdir())
    _, _, store = make(saved_dir)
    with file_size_limit(500), pytest.raises(OSError) as error:
        store.save(4)
    message = str(error.value)
    assert message.startswith(f"could not write the checkpoint {saved_dir / 'step-000000004.npz'}: ")
    assert "\n" not in message and sorted(path.name for path in saved_dir.iterdir()) == before
    learner, _, store = make(saved_dir)
    assert store.restore(pytest.fail) and holds(learner, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_saved(tmp_path, value):
    arrays = [np.ones(3, np.float32), np.array(7), np.array([1, value], np.float32)]
    store = checkpoints.Checkpoints(tmp_path, types.SimpleNamespace(arrays=lambda: arrays), checkpoints.Progress())
    with pytest.raises(FloatingPointError, match="became NaN or infinite"):
        store.save(1)
    assert not checkpoints.paths(tmp_path)
