"""Many images in memory as mip levels, from which crops and windows are cut anew in every step of a training.

A pixel is four bytes, red, green, blue and one unused, so that the very same memory is what OpenCV resamples on the
host and one number a pixel on an accelerator. An image begins at a whole tile of `TILE` pixels: the number of a tile
and the place within it are both small, where the place of a pixel among all would not fit into 32 bits.
"""

import concurrent.futures
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
import tqdm

from mtcnn_tf.images import array_crops

Index = TypeVar("Index")

TILE = 1024
_BYTES = 4


class ImageStore:
    """Mip levels of N images.

    Attributes:
        sizes: Height and width of each image, int32 [N, 2].
        means: Mean colour of each image, float32 [N, 3] in 0–255.
        pixels: uint8 [tiles, TILE, 4], see the module.
        first_tiles: Where each image begins, int32 [N].
        starts: Where each mip level begins, in pixels from there: int32 [N, array_crops.NUM_MIP_LEVELS].
    """

    def __init__(self, sizes: np.ndarray):
        """Takes memory for images of these `sizes`, int [N, 2].

        Raises:
            ValueError: They need more than the machine has.
        """
        self.sizes = np.asarray(sizes, np.int32).reshape(-1, 2)
        level_sizes = [-(-self.sizes.astype(np.int64) // 2**k) for k in range(array_crops.NUM_MIP_LEVELS)]
        counts = np.stack([size.prod(axis=1) for size in level_sizes], axis=1)  # [N, levels]
        ends = counts.cumsum(axis=1)
        self.starts = (ends - counts).astype(np.int32)
        tiles = -(-ends[:, -1] // TILE)
        self.first_tiles = (tiles.cumsum() - tiles).astype(np.int32)
        num_bytes = int(tiles.sum()) * TILE * _BYTES
        _check_memory(num_bytes, len(self.sizes))
        self.pixels = np.zeros((int(tiles.sum()), TILE, _BYTES), np.uint8)
        self.means = np.zeros((len(self.sizes), 3), np.float32)

    def __len__(self) -> int:
        return len(self.sizes)

    def put(self, index: int, image: np.ndarray) -> None:
        """Stores an image, RGB uint8 [H, W, 3] of the size that was announced."""
        self.means[index] = cv2.mean(image)[:3]
        for level, source in zip(self.levels(index), array_crops.mip_levels(image), strict=True):
            level[..., :3] = source

    def levels(self, index: int) -> list[np.ndarray]:
        """The mip levels of an image, uint8 [ceil(H / 2^k), ceil(W / 2^k), 4]: views of its pixels."""
        flat = self.pixels.reshape(-1, _BYTES)
        first = int(self.first_tiles[index]) * TILE
        levels = []
        for k, start in enumerate(self.starts[index]):
            height, width = (-(-int(side) // 2**k) for side in self.sizes[index])
            begin = first + int(start)
            levels.append(flat[begin : begin + height * width].reshape(height, width, _BYTES))
        return levels

    def packed(self) -> np.ndarray:
        """The pixels as one number each, uint32 [tiles, TILE]: red in the lowest byte."""
        return self.pixels.view("<u4")[..., 0]


def _check_memory(num_bytes: int, num_images: int) -> None:
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else num_bytes
    if num_bytes > 0.9 * available:
        raise ValueError(
            f"expected images that fit into memory, got {num_images:,} that take {num_bytes / 1e9:.0f} GB of "
            f"{available / 1e9:.0f}; build the records with a smaller --longest_side or from fewer images"
        )


def fill(sizes: np.ndarray, read: Callable[[Index], np.ndarray], indices: Sequence[Index], what: str) -> ImageStore:
    """A store with all images, decoded on all cores.

    Args:
        sizes: Height and width of each image, int [N, 2].
        read: Called with each of the `indices`, gives the image, RGB uint8 [H, W, 3].
        indices: What `read` calls the images, [N].
        what: What the progress bar says.

    Raises:
        ValueError: An image has another size, or they don't fit into memory.
    """
    store = ImageStore(sizes)

    def put(row: int) -> None:
        image = read(indices[row])
        if image.shape[:2] != tuple(store.sizes[row]):
            raise ValueError(f"expected an image of {store.sizes[row].tolist()} pixels, got {image.shape[:2]}")
        store.put(row, image)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = pool.map(put, range(len(store)))
        for _ in tqdm.tqdm(rows, desc=what, total=len(store), unit=" images", disable=None, leave=False):
            pass
    return store
