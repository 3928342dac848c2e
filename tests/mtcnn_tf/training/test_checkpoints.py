"""Checkpoints against every sort of damage to their files."""

import keras
import numpy as np
import pytest

from mtcnn_tf.training import checkpoints


def make(checkpoints_dir):
    """A small model with its optimizer and progress, and their checkpoints."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(50)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    progress = checkpoints.Progress()
    return model, progress, checkpoints.Checkpoints(checkpoints_dir, model, progress)


@pytest.fixture
def saved_dir(tmp_path):
    """Three checkpoints, in which every weight is the number of the step."""
    model, progress, store = make(tmp_path)
    for step in (1, 2, 3):
        model.set_weights([np.full_like(x, step) for x in model.get_weights()])
        progress.epoch, progress.rows = step, [{"epoch": 1, "loss": 0.1 + step}]
        store.save(step)
    return tmp_path


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file):
    file.write_bytes(b"")


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def remove(file):
    file.unlink()


def test_the_newest_is_restored(saved_dir):
    model, progress, store = make(saved_dir)
    assert store.restore(print)
    assert (progress.epoch, progress.rows) == (3, [{"epoch": 1, "loss": 3.1}])
    assert all(np.all(x == 3) for x in model.get_weights())


@pytest.mark.parametrize("suffix", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, remove])
def test_damage_falls_back_to_the_one_before(saved_dir, damage, suffix):
    damage(saved_dir / f"step-000000003.{suffix}")
    lines = []
    model, progress, store = make(saved_dir)
    assert store.restore(lines.append)
    assert progress.epoch == 2
    assert all(np.all(x == 2) for x in model.get_weights())
    if not (damage is remove and suffix == "index"):  # without an index there is no checkpoint: one was being written
        assert "step-000000003 is damaged" in lines[0]


def test_when_none_can_be_read_that_is_an_error(saved_dir):
    for file in saved_dir.glob("*.data*"):
        truncate(file)
    with pytest.raises(ValueError, match="none of the 3 checkpoints in .* can be read; restart to train anew"):
        make(saved_dir)[2].restore(lambda line: None)


def test_without_checkpoints_nothing_is_restored(tmp_path):
    assert not make(tmp_path / "none")[2].restore()


def test_the_newest_few_stay(saved_dir):
    make(saved_dir)[2].save(20)
    assert [path.name for path in checkpoints.paths(saved_dir)] == [
        "step-000000020",
        "step-000000003",
        "step-000000002",
    ]
    assert not list(saved_dir.glob("step-000000001*"))


def test_what_a_killed_process_left_half_written_is_removed(saved_dir):
    (saved_dir / "step-000000004_temp").mkdir()
    (saved_dir / "step-000000004_temp" / "part-00000-of-00001.data-00000-of-00001.tempstate1").touch()
    (saved_dir / "step-000000005.data-00000-of-00001").touch()  # killed before its index
    model, _, store = make(saved_dir)
    assert store.restore(pytest.fail) and np.all(model.get_weights()[0] == 3)
    store.save(6)
    assert {path.name.partition(".")[0] for path in saved_dir.iterdir()} == {f"step-00000000{i}" for i in (2, 3, 6)}


def test_a_full_disk_is_one_sentence_and_leaves_the_checkpoints_before(saved_dir, file_size_limit):
    before = sorted(path.name for path in saved_dir.iterdir())
    _, _, store = make(saved_dir)
    with file_size_limit(500), pytest.raises(OSError) as error:
        store.save(4)
    message = str(error.value)
    assert (
        message.startswith(f"could not write the checkpoint {saved_dir / 'step-000000004'}: ") and "{{" not in message
    )
    assert sorted(path.name for path in saved_dir.iterdir() if path.is_file()) == before
    model, _, store = make(saved_dir)
    assert store.restore(pytest.fail) and np.all(model.get_weights()[0] == 3)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    model, _, store = make(tmp_path)
    model.set_weights([np.full_like(x, np.nan) for x in model.get_weights()])
    with pytest.raises(FloatingPointError, match="became NaN or infinite"):
        store.save(1)
    assert not checkpoints.paths(tmp_path)
