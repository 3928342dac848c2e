"""Batches cut from whole images that lie in memory, anew in every step: picture records → what `training.fit` takes.

On TensorFlow, and without an accelerator, threads of the host cut them with OpenCV beside the training; on JAX they are
cut within the step, out of the accelerator's memory. Either way a step draws the same from the same seed.
"""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np

from mtcnn_tf import graph_cutting, image_store, images, picture_records, prefetching, stages, windows

VALIDATION_SIZE = 640
"""Side of the windows that the RPN is measured on, in pixels: a whole image at two thirds of its scale or less."""
VALIDATION_SCALE = 2 / 3


@dataclasses.dataclass(frozen=True)
class ImageBatches:
    """What `training.fit` takes.

    Attributes:
        train: Called as `train(seed=…)`, gives endless batches.
        validation: Called as `validation()`, gives finitely many; None where no images are held out.
        prepare: What turns a batch into what the network's loss takes; None where a batch is that already.
    """

    train: Callable
    validation: Callable | None
    prepare: Callable | None


def read(records_dir: str, stage: stages.Stage, split: str) -> tuple[list, image_store.ImageStore]:
    """The picture records of a split, without their encoded bytes, and their images in memory.

    Raises:
        FileNotFoundError, ValueError: See `picture_records.read` and `image_store.fill`.
    """
    pictures = list(picture_records.read(records_dir, stage, split))
    sizes = np.array([(picture.height, picture.width) for picture in pictures], int).reshape(-1, 2)

    def decode(picture: picture_records.Picture) -> np.ndarray:
        return images.decode(picture.encoded, picture.path)

    store = image_store.fill(sizes, decode, pictures, f"decoding {split} images")
    return [dataclasses.replace(picture, encoded=b"") for picture in pictures], store


def of_windows(records_dir: str, batch_size: int, recipe: windows.Recipe) -> ImageBatches:
    """Batches of windows for the RPN from its picture records.

    Args:
        records_dir: Where `data_prep.build` wrote.
        batch_size: Windows in a batch.
        recipe: How they are drawn.

    Raises:
        FileNotFoundError, ValueError: See `read`; or there are no faces that are large enough.
    """
    pictures, store = read(records_dir, stages.RPN, "train")
    sampler = windows.Sampler(store.sizes, store.means, windows.known_of(pictures), recipe)
    on_jax = keras.backend.backend() == "jax"
    buckets = (
        windows.BUCKETS[-1:] if on_jax else windows.BUCKETS
    )  # there each number of boxes takes a minute to compile

    def batch(seed: int, step: int) -> dict[str, np.ndarray]:
        drawn = sampler.draw(np.random.default_rng([seed, step]), batch_size, buckets)
        return drawn if on_jax else _cut(store, drawn, recipe.size)

    return ImageBatches(
        train=lambda seed: prefetching.Steps(functools.partial(batch, seed)),
        validation=_validation_windows(records_dir),
        prepare=graph_cutting.OnAccelerator(store, recipe.size) if on_jax else None,
    )


def _cut(store: image_store.ImageStore, drawn: dict, size: int) -> dict[str, np.ndarray]:
    """The drawn batch with `image` uint8 [B, size, size, 3] in place of what tells how it is cut."""
    rest = {name: x for name, x in drawn.items() if name not in graph_cutting.HOW_IT_IS_CUT}
    return {"image": windows.cut(store, drawn, size), **rest}


def _validation_windows(records_dir: str) -> Callable | None:
    """Each image that was held out as one window, at `VALIDATION_SCALE` or as small as it must be to fit in."""
    pictures, store = read(records_dir, stages.RPN, "validation")
    rows = [row for row, picture in enumerate(pictures) if picture.is_complete and len(picture.boxes)]
    if not rows:
        return None
    known = windows.known_of(pictures)
    recipe = windows.Recipe(size=VALIDATION_SIZE, augment=False)
    sampler = windows.Sampler(store.sizes, store.means, known, recipe)
    scales = np.minimum(VALIDATION_SCALE, VALIDATION_SIZE / store.sizes.max(axis=1))
    placed = np.zeros((len(pictures), 4), np.float32)
    placed[:, 2:] = (VALIDATION_SIZE / scales)[:, None]

    batches = [_cut(store, sampler.of_windows(np.array([row]), placed[row : row + 1]), recipe.size) for row in rows]
    return lambda: batches
