"""Batches cut from whole images that lie in memory, anew in every step: image records → what `training.fit` takes.

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

from mtcnn_tf import stages
from mtcnn_tf.geometry import anchor_labels, anchors
from mtcnn_tf.images import accelerator_crops, array_crops, colours, covering, image_files, image_store
from mtcnn_tf.records import image_records, manifests, prefetching, windows

VALIDATION_SIZE = 640
"""Side of the windows that the RPN is measured on, in pixels: a whole image at two thirds of its scale or less."""
VALIDATION_SCALE = 2 / 3
_VALIDATION_BATCHES = 8


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
    """The image records of a split, without their encoded bytes, and their images in memory.

    Raises:
        FileNotFoundError, ValueError: See `image_records.read` and `image_store.fill`.
    """
    images = list(image_records.read(records_dir, stage, split))
    sizes = np.array([(image.height, image.width) for image in images], int).reshape(-1, 2)

    def decode(image: image_records.ImageRecord) -> np.ndarray:
        return image_files.decode(image.encoded, image.path, image.width * image.height)

    store = image_store.fill(sizes, decode, images, f"decoding {split} images")
    return [dataclasses.replace(image, encoded=b"") for image in images], store


def of_windows(
    records_dir: str, batch_size: int, recipe: windows.Recipe, its_anchors: anchors.Anchors, rules: anchor_labels.Rules
) -> ImageBatches:
    """Batches of windows for the RPN from its image records.

    Args:
        records_dir: Where `data_prep.build` wrote.
        batch_size: Windows in a batch.
        recipe: How they are drawn.
        its_anchors: The anchors of the network.
        rules: Which of them are positive, which negative.

    Raises:
        FileNotFoundError, ValueError: See `read`; or there are no faces that are large enough, or no background.
    """
    images, store = read(records_dir, stages.RPN, "train")
    if not any(image.is_complete for image in images):
        raise ValueError(manifests.NO_BACKGROUND)
    sampler = windows.Sampler(store.sizes, store.means, windows.known_of(images), recipe)
    on_jax = keras.backend.backend() == "jax"
    label = functools.partial(_label, its_anchors, recipe.size, rules)

    def draw(seed: int, step: int) -> dict[str, np.ndarray]:
        return sampler.draw(np.random.default_rng([seed, step]), batch_size)

    def batch(seed: int, step: int) -> dict[str, np.ndarray]:
        drawn = draw(seed, step)
        return {"image": windows.cut(store, drawn, recipe.size), **label(np, drawn)}

    return ImageBatches(
        train=lambda seed: prefetching.Steps(functools.partial(draw if on_jax else batch, seed)),
        validation=_validation_windows(records_dir),
        prepare=accelerator_crops.OnAccelerator(store, recipe.size, functools.partial(label, ops)) if on_jax else None,
    )


def _label(its_anchors: anchors.Anchors, size: int, rules: anchor_labels.Rules, xp: ModuleType, drawn: dict) -> dict:
    """The targets of drawn windows: `labels` [B, A] and `true_boxes` [B, A, 4]."""
    found = anchor_labels.assign(
        xp, its_anchors, size, drawn["boxes"], drawn["face_mask"], drawn["complete_mask"], rules
    )
    return dict(zip(("labels", "true_boxes"), found, strict=True))


def of_crops(
    draw: Callable[[np.random.Generator], dict],
    store: image_store.ImageStore,
    size: int,
    validation: tuple[Callable[[np.random.Generator], dict], image_store.ImageStore] | None,
) -> ImageBatches:
    """Batches of crops for P-, R- and O-Net.

    Args:
        draw: Draws a batch: all of `accelerator_crops.HOW_IT_IS_CUT`, and targets.
        store: The images.
        size: Side of the crops.
        validation: What draws from the images that were held out, and these; None where there are none.
    """
    on_jax = keras.backend.backend() == "jax"

    def drawn(seed: int, step: int) -> dict[str, np.ndarray]:
        return draw(np.random.default_rng([seed, step]))

    def batch(seed: int, step: int) -> dict[str, np.ndarray]:
        return _cut_crops(store, drawn(seed, step), size)

    return ImageBatches(
        train=lambda seed: prefetching.Steps(functools.partial(drawn if on_jax else batch, seed)),
        validation=validation and _validation_crops(*validation, size),
        prepare=accelerator_crops.OnAccelerator(store, size, _targets) if on_jax else None,
    )


def _targets(drawn: dict) -> dict:
    return {name: x for name, x in drawn.items() if name not in accelerator_crops.HOW_IT_IS_CUT}


def _cut_crops(store: image_store.ImageStore, drawn: dict, size: int) -> dict[str, np.ndarray]:
    """The drawn batch with `image` uint8 [B, size, size, 3] in place of what tells how it is cut."""
    pixels = np.empty((len(drawn["image_index"]), size, size, 3), np.uint8)
    for row, index in enumerate(drawn["image_index"]):
        crop = array_crops.warp(store.levels(index), drawn["to_image"][row : row + 1], size)[0, :, :, :3]
        changes = (drawn[name][row] for name in ("colours", "noise", "pattern"))
        pixels[row] = colours.apply(np.ascontiguousarray(crop), *changes)
    return {"image": covering.apply(np, pixels, drawn), **_targets(drawn)}


def _validation_crops(draw: Callable, store: image_store.ImageStore, size: int) -> Callable:
    """The same crops in every epoch."""
    batches = [_cut_crops(store, draw(np.random.default_rng(step)), size) for step in range(_VALIDATION_BATCHES)]
    return lambda: batches


def _validation_windows(records_dir: str) -> Callable | None:
    """Each image that was held out as one window, at `VALIDATION_SCALE` or as small as it must be to fit in."""
    images, store = read(records_dir, stages.RPN, "validation")
    rows = [row for row, image in enumerate(images) if image.is_complete and len(image.boxes)]
    if not rows:
        return None
    known = windows.known_of(images)
    recipe = windows.Recipe(size=VALIDATION_SIZE, augment=False)
    sampler = windows.Sampler(store.sizes, store.means, known, recipe)
    scales = np.minimum(VALIDATION_SCALE, VALIDATION_SIZE / store.sizes.max(axis=1))
    placed = np.zeros((len(images), 4), np.float32)
    placed[:, 2:] = (VALIDATION_SIZE / scales)[:, None]

    batches = []
    for row in rows:
        drawn = sampler.of_windows(np.array([row]), placed[row : row + 1])
        batches.append({"image": windows.cut(store, drawn, recipe.size), **drawn})
    return lambda: batches
