"""Changes of brightness, contrast, saturation, hue and noise, drawn by chance and made on arrays.

All but noise are linear in the pixels, so that together they are one 3×4 matrix for each crop or window: three rows
that take red, green, blue and 1. `augment` makes the same changes in a graph, to batches of crops that records hold.
"""

import functools

import cv2
import numpy as np

MAX_BRIGHTNESS = 32.0
"""Brightness moves by at most this many of 255 levels."""
CONTRAST = (0.7, 1.3)
SATURATION = (0.5, 1.5)
MAX_HUE = 0.3
"""Hue is rotated by at most this many radians."""
GREY_FRACTION = 0.1
"""Fraction of crops or windows that lose all colour."""
NOISY_FRACTION = 0.2
MAX_NOISE = 8.0
"""Largest standard deviation of the noise, of 255 levels."""
NUM_PATTERNS = 8
"""Patterns of noise that all crops or windows share: drawing numbers costs more than all other changes together."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]], np.float32)
"""From RGB to the NTSC colour space: one row of brightness, two of colour."""


def draw(rng: np.random.Generator, means: np.ndarray, augment: bool = True) -> dict[str, np.ndarray]:
    """Changes for each of B crops or windows.

    Args:
        rng: Source of chance.
        means: Mean colours of their images, float32 [B, 3] in 0–255: contrast changes round their brightness.
        augment: Whether anything is changed at all.

    Returns:
        `colours` float32 [B, 3, 4], see the module; `noise` float32 [B], its standard deviation in levels; `pattern`
        int32 [B], which one.
    """
    count = len(means)
    matrices = np.tile(np.eye(3, 4, dtype=np.float32), (count, 1, 1))
    if not augment:
        return {"colours": matrices, "noise": np.zeros(count, np.float32), "pattern": np.zeros(count, np.int32)}
    saturation = np.where(rng.random(count) < GREY_FRACTION, 0.0, rng.uniform(*SATURATION, count))
    contrast = rng.uniform(*CONTRAST, count)
    brightness = rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS, count)
    linear = _saturate(saturation) @ _rotate_hue(rng.uniform(-MAX_HUE, MAX_HUE, count)) * contrast[:, None, None]
    matrices[:, :, :3] = linear
    matrices[:, :, 3] = ((1 - contrast) * (means @ LUMA) + brightness)[:, None]
    noise = np.where(rng.random(count) < NOISY_FRACTION, rng.uniform(0, MAX_NOISE, count), 0).astype(np.float32)
    return {"colours": matrices, "noise": noise, "pattern": rng.integers(NUM_PATTERNS, size=count).astype(np.int32)}


def _saturate(saturation: np.ndarray) -> np.ndarray:
    """Matrices [B, 3, 3] that move colours away from grey (above 1) or towards it."""
    amount = saturation[:, None, None]
    return amount * np.eye(3) + (1 - amount) * (np.ones([3, 1]) * LUMA)


def _rotate_hue(angle: np.ndarray) -> np.ndarray:
    """Matrices [B, 3, 3] that rotate colours by `angle` [B], in radians, round the grey axis."""
    rotation = np.zeros((len(angle), 3, 3))
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = np.cos(angle)
    rotation[:, 2, 1] = np.sin(angle)
    rotation[:, 1, 2] = -rotation[:, 2, 1]
    return np.linalg.inv(YIQ) @ rotation @ YIQ


@functools.cache
def patterns(size: int) -> np.ndarray:
    """`NUM_PATTERNS` patterns of normal noise, float32 [NUM_PATTERNS, size, size, 3] of standard deviation 1."""
    return np.random.default_rng(0).standard_normal((NUM_PATTERNS, size, size, 3)).astype(np.float32)


def apply(pixels: np.ndarray, matrix: np.ndarray, noise: float, pattern: int) -> np.ndarray:
    """The changed pixels, uint8 [S, S, 3], of one crop or window; see `draw`."""
    pixels = cv2.transform(pixels, matrix)
    if noise:
        pixels = cv2.addWeighted(pixels, 1.0, patterns(pixels.shape[0])[pattern], float(noise), 0.0, dtype=cv2.CV_8U)
    return pixels
