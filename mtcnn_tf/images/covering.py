"""Hides parts of some crops: behind what other crops of the batch show in the same place, and beyond edges.

A hand, a sign or another head hides a part of many faces; a network that has seen parts of its crops hidden tells more
from the rest (Zhong et al. 2017, "Random Erasing Data Augmentation", arXiv 1708.04896; what covers comes from other
images as in Yun et al. 2019, "CutMix", arXiv 1905.04899, but labels stay as they are).

The edge of an image cuts faces, too, and a crop is black beyond it, a crop with a margin often. Few images of a
training have such faces, so some crops are made to end so.
"""

from types import ModuleType
from typing import Any

import numpy as np

FRACTION = 0.4
"""Fraction of the crops that are covered."""
AREA = (0.04, 0.2)
"""Least and largest part of a crop that is covered."""
MAX_ASPECT = 2.5
"""Longer side over the shorter one, at most."""
EDGE_FRACTION = 0.08
"""Chance of each side of a crop to lie beyond an edge: of 0.28 of the crops at least one does."""
MAX_BEYOND = 0.3
"""Largest part of a crop's side beyond one edge."""


def draw(rng: np.random.Generator, count: int, size: int, augment: bool = True) -> dict[str, np.ndarray]:
    """What is covered in each of `count` crops of `size` × `size` pixels.

    Args:
        rng: Source of chance.
        count: Number of crops.
        size: Their side.
        augment: Whether anything is covered at all.

    Returns:
        `covered` int32 [B, 4], the covered pixels from left and top up to right and bottom, which are not covered;
        nothing where all are 0. `cover` int32 [B], the crop that covers. `shown` int32 [B, 4], the pixels within the
        edges in the same form.
    """
    shown = np.tile(np.array([0, 0, size, size], np.int32), (count, 1))
    covered, cover = np.zeros((count, 4), np.int32), rng.permutation(count).astype(np.int32)
    if augment:
        aspect = np.exp(rng.uniform(-1, 1, count) * np.log(MAX_ASPECT))
        sides = np.sqrt(rng.uniform(*AREA, count) * np.stack([aspect, 1 / aspect]))
        sides = np.minimum(np.rint(sides.T * size), size)  # [B, 2]
        corners = np.floor(rng.random((count, 2)) * (size - sides + 1))
        is_covered = rng.random(count) < FRACTION
        covered[is_covered] = np.concatenate([corners, corners + sides], axis=1)[is_covered]
        beyond = np.rint(rng.uniform(0, MAX_BEYOND, (count, 4)) * (rng.random((count, 4)) < EDGE_FRACTION) * size)
        shown += (beyond * [1, 1, -1, -1]).astype(np.int32)
    return {"covered": covered, "cover": cover, "shown": shown}


def apply(xp: ModuleType, pixels: Any, drawn: dict[str, Any]) -> Any:
    """The crops [B, S, S, 3] with their parts covered, and black beyond edges; see `draw`.

    Args:
        xp: `numpy` or `keras.ops`.
        pixels: The crops.
        drawn: What `draw` returned.
    """
    covering = xp.take(pixels, drawn["cover"], axis=0)
    pixels = xp.where(_within(xp, drawn["covered"], pixels.shape[1]), covering, pixels)
    return xp.where(_within(xp, drawn["shown"], pixels.shape[1]), pixels, xp.zeros_like(pixels))


def _within(xp: ModuleType, boxes: Any, size: int) -> Any:
    """Which pixels of crops lie within their boxes, bool [B, S, S, 1]."""
    places = xp.arange(size)
    left, top, right, bottom = (boxes[:, k, None] for k in range(4))
    in_columns, in_rows = (places >= left) & (places < right), (places >= top) & (places < bottom)
    return in_rows[:, :, None, None] & in_columns[:, None, :, None]
