"""What is known about the faces of a picture (`Annotation`) and what was found in it (`Detections`).

Conventions, said once for the whole project:

* A box is `x1, y1, x2, y2` in absolute pixels, float32; the right and bottom edges are exclusive, so that a box is
  `x2 - x1` wide.
* Landmarks are five points `x, y`: left eye, right eye, nose, left and right mouth corner. *Left* is left in the
  picture, not the person's left.
* An unknown landmark is NaN.
"""

import dataclasses

import numpy as np

LANDMARK_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
MIRROR_ORDER = (1, 0, 2, 4, 3)
"""`landmarks[MIRROR_ORDER]` names the points of the mirrored face rightly again."""


def no_boxes() -> np.ndarray:
    """An empty array of boxes, float32 [0, 4]."""
    return np.zeros((0, 4), np.float32)


def no_landmarks(num_faces: int) -> np.ndarray:
    """Landmarks of `num_faces` faces of which none are known: float32 [num_faces, 5, 2], all NaN."""
    return np.full((num_faces, len(LANDMARK_NAMES), 2), np.nan, np.float32)


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What is known about one picture.

    Attributes:
        image_path: Where the picture lies.
        boxes: Faces to learn from, float32 [N, 4]; every box has an area.
        landmarks: Their points, float32 [N, 5, 2]; NaN where unknown.
        ignored: Regions that are neither face nor background (flagged invalid, unusable), float32 [M, 4]: no positive
            is cut there and no negative.
        is_complete: Whether every face of the picture is in `boxes` or `ignored`. Negatives are cut from complete
            pictures only.
    """

    image_path: str
    boxes: np.ndarray = dataclasses.field(default_factory=no_boxes)
    landmarks: np.ndarray | None = None
    ignored: np.ndarray = dataclasses.field(default_factory=no_boxes)
    is_complete: bool = True

    def __post_init__(self):
        if self.landmarks is None:
            object.__setattr__(self, "landmarks", no_landmarks(len(self.boxes)))
        for name, shape in (("boxes", (-1, 4)), ("landmarks", (-1, 5, 2)), ("ignored", (-1, 4))):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float32).reshape(shape))
        if len(self.landmarks) != len(self.boxes):
            raise ValueError(
                f"an annotation needs landmarks for each of its {len(self.boxes)} boxes, got {len(self.landmarks)}; "
                "use NaN for unknown points"
            )


@dataclasses.dataclass(frozen=True)
class Detections:
    """Faces found in one picture, best score first.

    Attributes:
        boxes: float32 [N, 4], in pixels of the picture.
        scores: float32 [N], in 0–1.
        landmarks: float32 [N, 5, 2], in pixels of the picture.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def to_dict(self) -> dict:
        """The detections as lists of plain numbers, ready for JSON."""
        return {name: getattr(self, name).tolist() for name in ("boxes", "scores", "landmarks")}


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
        return f"{self.where}: {self.what}" + (f" ({self.detail})" if self.detail else "")
