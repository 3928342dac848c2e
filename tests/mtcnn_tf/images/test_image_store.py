"""Images in memory are what was put there, wherever they lie."""

import os
import threading

import numpy as np
import pytest

from mtcnn_tf.images import array_crops, image_store


def some_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


IMAGES = [some_image(*size) for size in ((37, 53), (1, 1), (64, 33), (3, 200), (50, 50))]


@pytest.fixture
def store():
    sizes = np.array([image.shape[:2] for image in IMAGES])
    return image_store.fill(sizes, lambda index: IMAGES[index], range(len(IMAGES)), "test")


def test_levels_are_the_halved_copies(store):
    assert len(store) == len(IMAGES)
    for index, image in enumerate(IMAGES):
        for level, expected in zip(store.levels(index), array_crops.mip_levels(image), strict=True):
            np.testing.assert_array_equal(level[..., :3], expected)
        np.testing.assert_allclose(store.means[index], image.mean(axis=(0, 1)), rtol=1e-5)


def test_an_accelerator_finds_each_pixel_as_one_number(store):
    packed = store.packed()
    assert np.shares_memory(packed, store.pixels) and packed.dtype == np.uint32
    for index, image in enumerate(IMAGES):
        for k, expected in enumerate(array_crops.mip_levels(image)):
            place = store.starts[index, k] + np.arange(expected.shape[0] * expected.shape[1])
            numbers = packed[store.first_tiles[index] + place // image_store.TILE, place % image_store.TILE]
            colours = np.stack([numbers >> shift & 255 for shift in (0, 8, 16)], axis=-1)
            np.testing.assert_array_equal(colours.reshape(expected.shape), expected)


def test_more_pixels_than_32_bits_count_are_addressed_right():
    """Memory that nobody writes to is not taken: 9 GB in name, a few pages in truth."""
    image = some_image(40, 60, 7)
    sizes = np.array([[20_000, 30_000]] * 3 + [image.shape[:2]])
    try:
        store = image_store.ImageStore(sizes)
    except (ValueError, MemoryError) as error:
        pytest.skip(str(error))
    assert store.pixels.size // 4 > 2**31
    store.put(3, image)
    for level, expected in zip(store.levels(3), array_crops.mip_levels(image), strict=True):
        np.testing.assert_array_equal(level[..., :3], expected)
    tile, place = int(store.first_tiles[3]), 0
    assert store.packed()[tile, place] & 0xFFFFFF == int.from_bytes(image[0, 0].tobytes(), "little")
    assert not store.packed()[tile - 1].any()
    assert [level.shape[:2] for level in store.levels(2)][:2] == [(20_000, 30_000), (10_000, 15_000)]


def test_images_that_do_not_fit_into_memory_are_one_sentence():
    with pytest.raises(ValueError, match=r"expected images that fit into memory, got 2,000 .* GB.*--longest_side") as e:
        image_store.ImageStore(np.full((2000, 2), 20_000))
    assert "\n" not in str(e.value)


def test_no_images_take_no_memory():
    store = image_store.fill(np.zeros((0, 2), int), None, [], "test")
    assert len(store) == 0 and store.pixels.size == 0


def test_an_image_of_another_size_is_one_sentence_and_leaves_no_threads():
    before = threading.active_count()
    with pytest.raises(ValueError, match=r"expected an image of \[37, 54\] pixels, got \(37, 53\)"):
        image_store.fill(np.array([[37, 54]]), lambda index: IMAGES[0], [0], "test")
    assert threading.active_count() == before


def test_images_are_decoded_by_several_threads_and_stay_in_order():
    sizes = np.array([image.shape[:2] for image in IMAGES] * 20)
    seen = set()

    def read(index):
        seen.add(threading.get_ident())
        return IMAGES[index % len(IMAGES)]

    store = image_store.fill(sizes, read, range(len(sizes)), "test")
    for index in range(len(sizes)):
        np.testing.assert_array_equal(store.levels(index)[0][..., :3], IMAGES[index % len(IMAGES)])
    assert threading.get_ident() not in seen and len(seen) <= os.cpu_count()
