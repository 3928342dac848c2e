"""Detectors timed in turn on images of one size."""

import collections
from collections.abc import Callable, Mapping

import cv2
import numpy as np


def fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle of the image, resized so that it fills `width` × `height`."""
    factor = max(width / image.shape[1], height / image.shape[0])
    size = [max(round(image.shape[1] * factor), width), max(round(image.shape[0] * factor), height)]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def measure(
    clocks: Mapping[str, Callable[[np.ndarray], float]], images: list[np.ndarray], rounds: int
) -> dict[str, np.ndarray]:
    """Milliseconds of each detector, [rounds, images], taken in turn, each time beginning with another.

    Args:
        clocks: Name → how many milliseconds the detector takes for an image, uint8 [H, W, 3].
        images: What they look at; each looks once before its time counts.
        rounds: How often.
    """
    for image in images:  # new shapes cost memory and time once
        for clock in clocks.values():
            clock(image)
    times = {name: np.empty((rounds, len(images))) for name in clocks}
    turn = collections.deque(clocks)
    for i in range(rounds):
        for j, image in enumerate(images):
            for name in turn:
                times[name][i, j] = clocks[name](image)
            turn.rotate()
    return times
