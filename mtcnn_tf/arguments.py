"""Arguments of public calls, checked in Python before they reach a graph; each refusal is one sentence.

A `tf.function` that is refused for its arguments keeps its lock, and every other thread that calls it waits for ever.
"""

import math
import os
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np


def number(name: str, value: Any, wanted: str, above: float = -math.inf, up_to: float = math.inf) -> float:
    """`value` as a float that is still finite, and within its bounds, where a graph takes it as float32.

    Args:
        name: What the argument is called.
        value: A number of Python or NumPy, or an array or tensor without axes.
        wanted: What the argument must be, in a few words, and an example.
        above: It must be larger than this.
        up_to: It must be at most this.

    Raises:
        ValueError: It is something else.
    """
    scalar = _scalar(value, "iuf")
    with np.errstate(over="ignore"):
        single = float("nan") if scalar is None else float(np.float32(scalar))
    if not (math.isfinite(single) and above < single <= up_to):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return single


def whole_number(name: str, value: Any, wanted: str, at_least: int) -> int:
    """`value` as an int of at least `at_least`; see `number`."""
    scalar = _scalar(value, "iu")
    if scalar is None or scalar < at_least:
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return int(scalar)


def thresholds(value: Any, count: int) -> np.ndarray:
    """`count` scores in 0–1, float32 [count], one for each network.

    Raises:
        ValueError: `value` is something else.
    """
    array = _array(value)
    if (
        array is None
        or array.shape != (count,)
        or array.dtype.kind not in "iuf"
        or not np.all((array >= 0) & (array <= 1))
    ):
        raise ValueError(f"thresholds must be {count} numbers in 0–1, one for each network, got {shown(value)}")
    return array.astype(np.float32)


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, which is one of `choices`.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}")
    return value


def path(name: str, value: Any, wanted: str) -> str:
    """`value` as a string.

    Raises:
        ValueError: It is no path.
    """
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return os.fspath(value)


def shown(value: Any) -> str:
    """`value` in an error's single line, cut short."""
    shape = getattr(value, "shape", ())
    if shape != ():
        return f"an array of shape {tuple(shape)}"
    return " ".join(reprlib.repr(value).split())


def shown_path(value: str) -> str:
    """A path in an error's single line; of what is too long for one, its beginning."""
    return repr(value) if len(value) <= 500 else f"{value[:100]!r}… ({len(value):,} letters)"


def _array(value: Any) -> np.ndarray | None:
    """`value` as an array, None where NumPy makes none of it."""
    try:
        return np.asarray(value)
    except Exception:  # of any object, whatever its own conversion raises
        return None


def _scalar(value: Any, kinds: str) -> Any:
    """`value` as a scalar of one of NumPy's `kinds`, None where it is something else."""
    array = _array(value)
    return array[()] if array is not None and array.shape == () and array.dtype.kind in kinds else None
