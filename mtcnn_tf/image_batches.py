"""Batches cut from whole images that lie in memory, anew in every step: picture records → what `training.fit` takes.

On TensorFlow, and without an accelerator, threads of the host cut them with OpenCV beside the training; on JAX they are
cut within the step, out of the accelerator's memory. Either way a step draws the same from the same seed.
"""

import dataclasses
import functools
from collections.abc import Callable
from types import ModuleType

import keras
import numpy as np
from keras import ops

from mtcnn_tf import (
    anchor_labels,
    anchors,
    graph_cutting,
    image_store,
    images,
    picture_records,
    prefetching,
    stages,
    windows,
)

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


def of_windows(
    records_dir: str, batch_size: int, recipe: windows.Recipe, its_anchors: anchors.Anchors, rules: anchor_labels.Rules
) -> ImageBatches:
    """Batches of windows for the RPN from its picture records.

    Args:
        records_dir: Where `data_prep.build` wrote.
        batch_size: Windows in a batch.
        recipe: How they are drawn.
        its_anchors: The anchors of the network.
        rules: Which of them are positive, which negative.

    Raises:
        FileNotFoundError, ValueError: See `read`; or there are no faces that are large enough.
    """
    pictures, store = read(records_dir, stages.RPN, "train")
    sampler = windows.Sampler(store.sizes, store.means, windows.known_of(pictures), recipe)
    on_jax = keras.backend.backend() == "jax"
    label = functools.partial(_label, its_anchors, recipe.size, rules)

    def draw(seed: int, step: int) -> dict[str, np.ndarray]:
        return sampler.draw(np.random.default_rng([seed, step]), batch_size)

    def batch(seed: int, step: int) -> dict[str, np.ndarray]:
        drawn = draw(seed, step)
        return {"image": windows.cut(store, drawn, recipe.size), **_label_on_host(label, drawn)}

    return ImageBatches(
        train=lambda seed: prefetching.Steps(functools.partial(draw if on_jax else batch, seed)),
        validation=_validation_windows(records_dir),
        prepare=graph_cutting.OnAccelerator(store, recipe.size, functools.partial(label, ops)) if on_jax else None,
    )


def _label(its_anchors, size: int, rules: anchor_labels.Rules, xp: ModuleType, drawn: dict) -> dict:
    """The targets of drawn windows: `labels` [B, A] and `true_boxes` [B, A, 4]."""
    known = (drawn[name] for name in ("boxes", "face_mask", "complete_mask"))
    found = anchor_labels.assign(xp, its_anchors, size, *known, rules)
    return dict(zip(("labels", "true_boxes"), found, strict=True))


def _label_on_host(label: Callable, drawn: dict) -> dict:
    """The same with NumPy, window by window, each with as many boxes as it has: most have few."""
    parts = []
    for row, boxes in enumerate(drawn["boxes"]):
        count = max(1, np.count_nonzero(boxes[:, 2] > boxes[:, 0]))
        own = {name: drawn[name][row : row + 1, :count] for name in ("boxes", "face_mask")}
        parts.append(label(np, {**own, "complete_mask": drawn["complete_mask"][row : row + 1]}))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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

    batches = []
    for row in rows:
        drawn = sampler.of_windows(np.array([row]), placed[row : row + 1])
        batches.append({"image": windows.cut(store, drawn, recipe.size), **drawn})
    return lambda: batches
