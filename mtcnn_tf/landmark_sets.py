"""Which points a face has: how many, how they change places in a mirror, and which of them are the eyes.

Five points are the default. Another set is described by a JSON file:

    {"num_points": 7, "mirror_pairs": [[0, 3], [1, 2], [5, 6]], "eyes": [[0, 1], [2, 3]]}

Points are counted from 0. A mirror exchanges the points of each pair; a point in none lies in the middle of the face
and stays what it is. `eyes`, which may be left out, names the points of the left and of the right eye, *left* as in the
image: the distance between their means is the unit of errors. Records and networks carry the description with them.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Iterable
from typing import Any

from mtcnn_tf import files

_KEYS = {"num_points", "mirror_pairs", "eyes"}


@dataclasses.dataclass(frozen=True)
class LandmarkSet:
    """The points of a face.

    Attributes:
        num_points: How many there are.
        mirror_pairs: Points that a mirror exchanges.
        eyes: The points of the left and of the right eye; None where errors are measured by the box alone.

    Raises:
        ValueError: The pairs don't pair, or the eyes are not each other's mirror image.
    """

    num_points: int
    mirror_pairs: tuple[tuple[int, int], ...]
    eyes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        if self.num_points < 1:
            raise ValueError(f"expected num_points of at least 1, got {self.num_points}; count the points of a face")
        if any(len(pair) != 2 for pair in self.mirror_pairs):
            raise ValueError(f"expected mirror_pairs of two points each, got {_shown(self.mirror_pairs)}; pair them")
        self._check_points("mirror_pairs", sum(self.mirror_pairs, ()))
        if self.eyes is None:
            return
        if len(self.eyes) != 2 or not all(self.eyes):
            raise ValueError(f"expected eyes as points of the left and of the right one, got {_shown(self.eyes)}")
        self._check_points("eyes", sum(self.eyes, ()))
        if {self.mirror_order[point] for point in self.eyes[0]} != set(self.eyes[1]):
            raise ValueError(
                f"expected eyes that mirror_pairs turn into each other, got {_shown(self.eyes)}; name the same points "
                "of both"
            )

    def _check_points(self, name: str, points: tuple[int, ...]) -> None:
        beyond = [point for point in points if not 0 <= point < self.num_points]
        repeated = [point for point in points if points.count(point) > 1]
        if beyond:
            raise ValueError(
                f"expected {name} of points from 0 to {self.num_points - 1}, got {beyond[0]}; count from 0 and check "
                "num_points"
            )
        if repeated:
            raise ValueError(f"expected {name} with each point once, got {repeated[0]} twice; leave one of them out")

    @functools.cached_property
    def mirror_order(self) -> tuple[int, ...]:
        """`landmarks[list(mirror_order)]` names the points of the mirrored face rightly again."""
        order = list(range(self.num_points))
        for one, other in self.mirror_pairs:
            order[one], order[other] = other, one
        return tuple(order)

    def to_dict(self) -> dict:
        """The set as plain values, ready for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def from_dict(described: Any) -> LandmarkSet:
    """The set that `to_dict` or a file describes.

    Raises:
        ValueError: It describes none.
    """
    if not isinstance(described, dict) or not {"num_points", "mirror_pairs"} <= described.keys() <= _KEYS:
        got = ", ".join(map(str, described)) if isinstance(described, dict) else type(described).__name__
        raise ValueError(
            f"expected num_points, mirror_pairs and perhaps eyes, got {got or 'nothing'}; add or rename them"
        )
    num_points, eyes = described["num_points"], described.get("eyes")
    if type(num_points) is not int:
        raise ValueError(f"expected num_points as a whole number, got {num_points!r}")
    pairs = _groups("mirror_pairs", described["mirror_pairs"])
    return LandmarkSet(num_points, pairs, None if eyes is None else _groups("eyes", eyes))  # type: ignore[arg-type]


def _groups(name: str, lists: Any) -> tuple[tuple[int, ...], ...]:
    """Lists of points as tuples."""
    is_sound = isinstance(lists, list) and all(
        isinstance(group, list) and all(type(point) is int for point in group) for group in lists
    )
    if not is_sound:
        raise ValueError(f"expected {name} as lists of whole numbers, got {json.dumps(lists)[:60]}; see landmark_sets")
    return tuple(tuple(group) for group in lists)


def _shown(groups: Iterable) -> str:
    return str([list(group) for group in groups])[:60]


FIVE = LandmarkSet(5, ((0, 1), (3, 4)), ((0,), (1,)))
"""The five points of `faces.LANDMARK_NAMES`."""


def _ibug() -> LandmarkSet:
    chin, brows = [(i, 16 - i) for i in range(8)], [(17 + i, 26 - i) for i in range(5)]
    eyes = [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    lips = [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]
    return LandmarkSet(68, (*chin, *brows, (31, 35), (32, 34), *eyes, *lips), ((36,), (45,)))


IBUG = _ibug()
"""The 68 points of 300-W (Sagonas et al. 2013): jaw, brows, nose, eyes, outer and inner lips, each from left to right
and on from there against the clock's hand or with it. The eyes are their outer corners, as 300-W measures errors."""

_NAMED = {"5": FIVE, "68": IBUG}
NAMES = tuple(_NAMED)


def named(text: str | os.PathLike) -> LandmarkSet:
    """The set that one of `NAMES` or the path of a file stands for; the path may be an address, see `files`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file describes no set.
    """
    text = os.fspath(text)
    if text in _NAMED:
        return _NAMED[text]
    if not files.is_file(text):
        raise FileNotFoundError(
            f"landmarks are {', '.join(NAMES)} or a file that describes them, got {text!r}, which is not there"
        )
    try:
        return from_dict(json.loads(files.read_text(text, "utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{text}: {error}") from error
