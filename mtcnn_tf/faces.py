"""What is known about the faces of an image (`Annotation`) and what was found in it (`Detections`).

Conventions, said once for the whole project:

* A box is `x1, y1, x2, y2` in absolute pixels, float32; the right and bottom edges are exclusive, so that a box is
  `x2 - x1` wide.
* Landmarks are five points `x, y`: left eye, right eye, nose, left and right mouth corner; or the points of another
  set, see `landmark_sets`. *Left* is left in the image, not the person's left.
* An unknown landmark is NaN.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from mtcnn_tf import arguments, files

LANDMARK_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""Those of the five points, `landmark_sets.FIVE`."""


def no_boxes() -> np.ndarray:
    """An empty array of boxes, float32 [0, 4]."""
    return np.zeros((0, 4), np.float32)


def no_landmarks(num_faces: int, num_points: int = len(LANDMARK_NAMES)) -> np.ndarray:
    """Landmarks of `num_faces` faces of which none are known: float32 [num_faces, num_points, 2], all NaN."""
    return np.full((num_faces, num_points, 2), np.nan, np.float32)


def known_mask(landmarks: np.ndarray) -> np.ndarray:
    """Which faces have all of their landmarks [N, P, 2]: bool [N]."""
    return np.isfinite(landmarks).all(axis=(1, 2))


def concatenate_landmarks(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The landmarks [N, P, 2] of all `parts`, in order; parts without faces may have another number of points."""
    return np.concatenate([part for part in parts if len(part)] or [no_landmarks(0)])


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known about one image.

    Attributes:
        image_path: Where the image lies.
        boxes: Faces to learn from, float32 [N, 4]; every box has an area.
        landmarks: Their points, float32 [N, P, 2], P = 5 unless others are read; NaN where unknown.
        ignored: Regions that are neither face nor background (flagged invalid, unusable), float32 [M, 4]: no positive
            is cut there and no negative.
        is_complete: Whether every face of the image is in `boxes` or `ignored`. Negatives are cut from complete
            images only.
        size: Width and height of the image that the boxes were drawn on, where the annotation states it: it may have
            been rotated or resized since, see `datasets.sizes`.
    """

    image_path: str
    boxes: np.ndarray = dataclasses.field(default_factory=no_boxes)
    landmarks: np.ndarray = None  # type: ignore[assignment]  # NaN from __post_init__ on: it takes the number of boxes
    ignored: np.ndarray = dataclasses.field(default_factory=no_boxes)
    is_complete: bool = True
    size: tuple[int, int] | None = None

    if TYPE_CHECKING:  # what it takes is more than what it holds: __post_init__ makes arrays of lists, too

        def __init__(
            self,
            image_path: str,
            boxes: npt.ArrayLike = ...,
            landmarks: npt.ArrayLike | None = None,
            ignored: npt.ArrayLike = ...,
            is_complete: bool = True,
            size: tuple[int, int] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.landmarks is None:
            object.__setattr__(self, "landmarks", no_landmarks(len(self.boxes)))
        for name in ("boxes", "ignored"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float32).reshape(-1, 4))
        object.__setattr__(self, "landmarks", _of_each_face(self.landmarks, len(self.boxes)))


def _of_each_face(landmarks: npt.ArrayLike, num_faces: int) -> np.ndarray:
    """Landmarks as float32 [num_faces, P, 2]; those of one face may come as [P, 2]."""
    points = np.asarray(landmarks, np.float32)
    if not num_faces and not points.size:
        return points if points.ndim == 3 else no_landmarks(0)
    if points.ndim == 2 and points.shape[1] == 2:
        points = points[None]
    if points.ndim != 3 or points.shape[2] != 2 or len(points) != num_faces:
        raise ValueError(
            f"expected landmarks [{num_faces}, P, 2] of {num_faces} faces, got {list(points.shape)}; use NaN for "
            "unknown points"
        )
    return points


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face that was found.

    Attributes:
        box: float32 [4], in pixels of the image.
        score: In 0–1.
        landmarks: float32 [P, 2], in pixels of the image; five unless the network has learnt others.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """Faces found in one image, best score first.

    Iterating gives each `Face`. An index gives one too; a slice, a mask or an array of indices gives the `Detections`
    of these faces, and so do the methods that choose among them: what they return can be drawn, aligned, chosen from.

    Attributes:
        boxes: float32 [N, 4], in pixels of the image.
        scores: float32 [N], in 0–1.
        landmarks: float32 [N, P, 2], in pixels of the image; NaN where unknown. Five unless the network has learnt
            others.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Face]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int | np.integer) -> Face: ...

    @overload
    def __getitem__(self, index: slice | np.ndarray | Sequence[int] | Sequence[bool]) -> "Detections": ...

    def __getitem__(self, index: Any) -> "Face | Detections":
        if isinstance(index, int | np.integer):
            return Face(self.boxes[index], float(self.scores[index]), self.landmarks[index])
        return Detections(self.boxes[index], self.scores[index], self.landmarks[index])

    def with_score(self, min_score: float) -> "Detections":
        """The faces whose score is at least `min_score`."""
        return self[self.scores >= arguments.number("min_score", min_score, "one number, such as 0.9")]

    def largest(self) -> "Detections":
        """The face whose box has the largest area, alone; none if there is none."""
        areas = np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1)
        return self[np.argsort(-areas, kind="stable")[:1]]

    def most_central(self, width: float, height: float) -> "Detections":
        """The face whose centre lies nearest to that of an image of `width` × `height` pixels, alone; or none."""
        size = [arguments.number(n, x, "one number of pixels") for n, x in (("width", width), ("height", height))]
        centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        distances = np.linalg.norm(centres - np.divide(size, 2), axis=1)
        return self[np.argsort(distances, kind="stable")[:1]]

    def to_dict(self) -> dict:
        """The detections as lists of plain numbers, ready for JSON; None where a landmark is unknown."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: np.where(np.isnan(values), np.array(None), values).tolist() for name, values in arrays.items()}

    @classmethod
    def from_dict(cls, values: dict) -> "Detections":
        """The detections that `to_dict` gave `values` of. Further entries are stepped over.

        Raises:
            ValueError: `values` are not such lists of numbers.
        """
        try:
            scores = np.array(values["scores"], np.float32).reshape(-1)
            boxes = np.array(values["boxes"], np.float32).reshape(len(scores), 4)
            landmarks = _of_each_face(values["landmarks"], len(scores))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"expected boxes, scores and landmarks of as many faces, got something else ({error!r}); "
                "take what Detections.to_dict gave"
            ) from error
        return cls(boxes, scores, landmarks)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong in a data set that was stepped over.

    Attributes:
        where: The file, with a line number where there is one.
        what: A few words that are the same for every problem of this sort, so that they can be counted.
        detail: What exactly came.
    """

    where: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return files.one_line(f"{self.where}: {self.what}" + (f" ({self.detail})" if self.detail else ""))
