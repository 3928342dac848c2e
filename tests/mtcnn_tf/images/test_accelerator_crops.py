"""Crops and windows cut in a graph are those that the host cuts, on TensorFlow and, where it is installed, on JAX."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from mtcnn_tf.images import accelerator_crops, array_crops, colours, covering, image_store
from mtcnn_tf.records import windows

ROOT = pathlib.Path(__file__).parents[3]
SIZE = 48


def smooth_image(height, width, seed):
    """Waves of a few tens of pixels: between OpenCV's thirty-seconds of a pixel they change by less than a level."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / rng.uniform(15, 40) + rng.uniform(0, 6)) + np.cos(y / rng.uniform(15, 40)) for _ in range(3)]
    return (127.5 + 60 * np.stack(waves, axis=-1)).clip(0, 255).astype(np.uint8)


def make_store():
    all_images = [smooth_image(*size, seed) for seed, size in enumerate([(333, 500), (77, 41), (900, 640), (1, 1)])]
    store = image_store.ImageStore([image.shape[:2] for image in all_images])
    for index, image in enumerate(all_images):
        store.put(index, image)
    return store


def some_windows(store, seed=0, count=24):
    """Windows as they are drawn, at all scales, mirrored, and reaching out of their images."""
    sizes = store.sizes[:, ::-1].astype(np.float32)
    known = [windows.Boxes(np.float32([[0, 0, *extent]]), np.zeros((0, 4), np.float32), True) for extent in sizes]
    recipe = windows.Recipe(size=SIZE, min_face_size=0.0, anywhere_fraction=0.5, face_sizes=(4.0, 150.0))
    return windows.Sampler(store.sizes, store.means, known, recipe).draw(np.random.default_rng(seed), count)


def assert_close(found, expected):
    """But for a few pixels: at an image's edge rounding decides which of them are black."""
    difference = np.abs(np.asarray(found, np.float32) - expected).max(axis=-1)
    assert np.mean(difference > 2) < 0.01 and np.mean(np.minimum(difference, 2)) < 0.7


def check_windows():
    """What `windows.cut` cuts, colours and noise included, and covered as on the host."""
    store = make_store()
    drawn = some_windows(store)
    assert len(set(np.abs(drawn["to_image"][:, 0, 1]) > 0)) == 2  # some are rotated
    drawn |= covering.draw(np.random.default_rng(0), len(drawn["image_index"]), SIZE)
    expected = covering.apply(np, windows.cut(store, drawn, SIZE), drawn)
    batch = accelerator_crops.OnAccelerator(store, SIZE, lambda drawn: {"boxes": drawn["boxes"]})(
        {name: ops.convert_to_tensor(values) for name, values in drawn.items()}
    )
    assert set(batch) == {"image", "boxes"} and len({*drawn["image_index"].tolist()}) == 4
    assert_close(ops.convert_to_numpy(batch["image"]), expected)


def check_rotated_crops():
    """What `array_crops.warp` cuts, of rotated and mirrored squares of which some lie far outside."""
    store, rng = make_store(), np.random.default_rng(1)
    index = rng.integers(3, size=40).astype(np.int32)
    sides = np.exp(rng.uniform(np.log(10), np.log(900), 40))
    corners = rng.uniform(-0.2, 0.9, (40, 2)) * store.sizes[index, ::-1]
    boxes = np.concatenate([corners, corners + sides[:, None]], axis=1)
    angles = rng.uniform(-3, 3, 40)
    maps = array_crops.rotated(boxes, angles, (boxes[:, :2] + boxes[:, 2:]) / 2, SIZE).astype(np.float32)
    maps[::3] = maps[::3] @ np.array([[-1, 0, SIZE], [0, 1, 0], [0, 0, 1]], np.float32)
    found = accelerator_crops.cut(accelerator_crops.held(store, SIZE), index, maps, SIZE)
    expected = np.concatenate(
        [array_crops.warp(store.levels(i), maps[row : row + 1], SIZE) for row, i in enumerate(index)]
    )
    assert (expected.any(axis=(1, 2, 3))).mean() > 0.8
    assert_close(ops.convert_to_numpy(found), expected[..., :3])


CHECKS = (check_windows, check_rotated_crops)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_a_graph_cuts_is_what_the_host_cuts(check):
    check()


def test_pixels_are_taken_from_the_same_mip_level():
    """Levels that hold a number each, so that a crop tells by its pixels which one it was cut from."""
    store = image_store.ImageStore([(256, 256)])
    for k, level in enumerate(store.levels(0)):
        level[...] = 10 * k + 5
    sides = SIZE * np.float32([0.3, 1, 1.9, 2, 3.9, 4, 8, 15, 40, 100])
    boxes = np.stack([128 - sides / 2, 128 - sides / 2, 128 + sides / 2, 128 + sides / 2], axis=1)
    maps = windows.maps(boxes, np.zeros(len(sides)), np.zeros(len(sides), bool), SIZE)
    index = np.zeros(len(sides), np.int32)
    found = ops.convert_to_numpy(accelerator_crops.cut(accelerator_crops.held(store, SIZE), index, maps, SIZE))
    plain = colours.draw(np.random.default_rng(0), np.zeros((len(sides), 3)), augment=False)
    on_host = windows.cut(store, {"image_index": index, "to_image": maps, **plain}, SIZE)
    middle = (slice(None), SIZE // 2, SIZE // 2, 0)
    assert found[middle].tolist() == [5, 5, 5, 15, 15, 25, 35, 35, 55, 55]
    np.testing.assert_array_equal(on_host[middle], found[middle])


def test_colours_and_noise_are_those_of_the_host():
    store, rng = make_store(), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, SIZE, SIZE, 3), dtype=np.uint8)
    drawn = colours.draw(rng, rng.uniform(0, 255, (16, 3)).astype(np.float32))
    drawn["noise"][:4] = 6.0
    found = accelerator_crops.change_colours(accelerator_crops.held(store, SIZE), pixels.astype(np.float32), drawn)
    changes = zip(drawn["colours"], drawn["noise"], drawn["pattern"], strict=True)
    expected = [colours.apply(image, *change) for image, change in zip(pixels, changes, strict=True)]
    np.testing.assert_allclose(ops.convert_to_numpy(found), np.stack(expected), atol=1.5)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not among the requirements")
def test_on_jax_too_and_without_tensorflow():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert result.stdout == "jax: 2 checks\n", result.stderr


if __name__ == "__main__":
    sys.modules["tensorflow"] = None
    for check in CHECKS:
        check()
    print(f"{keras.backend.backend()}: {len(CHECKS)} checks")
