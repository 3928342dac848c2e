"""What a data set holds and what is wrong with it, seen before anything is learnt from it."""

import collections
import concurrent.futures
import dataclasses

import numpy as np
import tqdm

from mtcnn_tf import faces, files
from mtcnn_tf.datasets import sizes
from mtcnn_tf.geometry import anchors
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.images import image_files

from . import examples

UNREADABLE = "unreadable image"
LISTED_TWICE = "image listed more than once"
SAME_CONTENTS = "image with the contents of another"
DUPLICATE_BOX = "box more than once in an image"
POINT_OUTSIDE = "landmark outside the image"
SIDES_SWAPPED = "left and right landmarks exchanged"
CHECKS = (UNREADABLE, LISTED_TWICE, SAME_CONTENTS, DUPLICATE_BOX, POINT_OUTSIDE, SIDES_SWAPPED)
"""What is looked for beyond what readers and `examples.fit_to_image` report; each is a `faces.Problem.what`."""

DUPLICATE_IOU = 0.95
"""Two boxes that share so much are one face annotated twice."""
SIZE_EDGES = (12, 20, 40, 80)
"""Shorter sides, in pixels, that part the bins of `Report.size_counts`: what P-Net can see, what gives positives …"""


@dataclasses.dataclass(frozen=True)
class Report:
    """The figures of a data set.

    Attributes:
        num_images: Annotated images, as listed.
        num_without_faces: Of these, images that have no face to learn from.
        num_incomplete: Of these, images in which not every face is annotated; they give no negatives.
        num_faces: Faces to learn from.
        num_with_landmarks: Of these, faces of which all points are known.
        num_ignored: Regions that are neither face nor background.
        num_cut: Faces cut by the image's edge.
        num_outside: Faces of which more than half lies outside of the image; they are not learnt from.
        shorter_sides: The faces' shorter sides in pixels, float32 [num_faces].
        best_ious: The largest IoU that any square can have with each face's box, in 0–1, [num_faces].
        problems: Everything that is wrong, the readers' problems first.
    """

    num_images: int
    num_without_faces: int
    num_incomplete: int
    num_faces: int
    num_with_landmarks: int
    num_ignored: int
    num_cut: int
    num_outside: int
    shorter_sides: np.ndarray
    best_ious: np.ndarray
    problems: list[faces.Problem]

    @property
    def problem_counts(self) -> dict[str, int]:
        """How many problems there are of each sort; what was looked for in vain is there with 0."""
        return {**dict.fromkeys(CHECKS, 0), **collections.Counter(problem.what for problem in self.problems)}

    @property
    def size_counts(self) -> np.ndarray:
        """Faces by their shorter side, int [5]: below 12, 12–20, 20–40, 40–80, from 80 pixels on."""
        return np.bincount(np.digitize(self.shorter_sides, SIZE_EDGES), minlength=len(SIZE_EDGES) + 1)

    def size_quantiles(self, fractions: tuple[float, ...]) -> np.ndarray:
        """The shorter sides below which the `fractions` (0–1) of the faces lie, in pixels; NaN without faces."""
        if not self.num_faces:
            return np.full(len(fractions), np.nan)
        return np.quantile(self.shorter_sides, fractions)

    def out_of_reach(self, min_iou: float, min_size: float = 0) -> float:
        """The fraction (0–1) of the faces from `min_size` pixels on that no square overlaps with `min_iou`; or NaN."""
        best_ious = self.best_ious[self.shorter_sides >= min_size]
        return float(np.mean(best_ious < min_iou)) if len(best_ious) else np.nan


def report(annotations: list[faces.Annotation], reader_problems: list[faces.Problem], num_threads: int = 4) -> Report:
    """The figures of the annotated images, each of which is read once.

    Args:
        annotations: What a reader found, see `datasets.read`.
        reader_problems: What it stepped over.
        num_threads: Images read at the same time.
    """
    seen = _inspect_files(list(dict.fromkeys(annotation.image_path for annotation in annotations)), num_threads)
    problems = reader_problems + _repeated(annotations, seen)
    num_reported_outside = num_outside = 0
    for annotation in annotations:
        problems += _check_faces(annotation)
        image = seen[annotation.image_path]
        if isinstance(image, faces.Problem):
            continue
        fitted, reported = examples.fit_to_image(annotation, image.width, image.height)
        problems += reported
        if fitted is None:
            continue
        num_outside += len(annotation.boxes) - len(fitted.boxes)
        num_reported_outside += sum(problem.what == examples.OUTSIDE for problem in reported)
        in_image, _ = sizes.fit(annotation, image.width, image.height)
        problems += [] if in_image is None else _check_points(in_image, image)
    boxes = np.concatenate([faces.no_boxes(), *(annotation.boxes for annotation in annotations)])
    landmarks = faces.concatenate_landmarks([annotation.landmarks for annotation in annotations])
    return Report(
        num_images=len(annotations),
        num_without_faces=sum(not len(annotation.boxes) for annotation in annotations),
        num_incomplete=sum(not annotation.is_complete for annotation in annotations),
        num_faces=len(boxes),
        num_with_landmarks=int(faces.known_mask(landmarks).sum()),
        num_ignored=sum(len(annotation.ignored) for annotation in annotations),
        num_cut=num_reported_outside - num_outside,
        num_outside=num_outside,
        shorter_sides=(boxes[:, 2:] - boxes[:, :2]).min(axis=1),
        best_ious=anchors.best_iou_of_squares(boxes),
        problems=problems,
    )


@dataclasses.dataclass(frozen=True)
class _Image:
    width: int
    height: int
    sha256: str


def _inspect_files(paths: list[str], num_threads: int) -> dict[str, _Image | faces.Problem]:
    """What each file holds, by its path. Decoding leaves Python's lock, so that threads do."""
    executor = concurrent.futures.ThreadPoolExecutor(num_threads)
    try:
        inspected = tqdm.tqdm(executor.map(_inspect_file, paths), total=len(paths), unit=" images", disable=None)
        return dict(zip(paths, inspected, strict=True))
    finally:
        executor.shutdown(cancel_futures=True)  # Ctrl-C doesn't wait for the rest


def _inspect_file(path: str) -> _Image | faces.Problem:
    try:
        height, width = image_files.read(path).shape[:2]
        return _Image(width, height, files.sha256(path))
    except (ValueError, OSError) as error:
        return faces.Problem(path, UNREADABLE, str(error))


def _repeated(annotations: list[faces.Annotation], seen: dict[str, _Image | faces.Problem]) -> list[faces.Problem]:
    """Files that can't be read, paths that are listed again, and files that are copies of one before."""
    problems: list[faces.Problem] = []
    first_with: dict[str, str] = {}
    listed = collections.Counter(annotation.image_path for annotation in annotations)
    for path, image in seen.items():
        problems += [faces.Problem(path, LISTED_TWICE)] * (listed[path] - 1)
        if isinstance(image, faces.Problem):
            problems.append(image)
            continue
        first = first_with.setdefault(image.sha256, path)
        if first != path:
            problems.append(faces.Problem(path, SAME_CONTENTS, f"the first is {first}"))
    return problems


def _check_faces(annotation: faces.Annotation) -> list[faces.Problem]:
    """Boxes that repeat an earlier one, and of five points those whose eyes and mouth are both the wrong way round.

    The latter stand on their head, or the person's left was written down in place of the image's.
    """
    repeats_mask = np.triu(box_geometry.iou(annotation.boxes, annotation.boxes) >= DUPLICATE_IOU, 1).any(axis=0)
    x = annotation.landmarks[:, :, 0]
    is_five = x.shape[1] == len(faces.LANDMARK_NAMES)
    swapped_mask = (x[:, 0] > x[:, 1]) & (x[:, 3] > x[:, 4]) if is_five else np.zeros(len(x), bool)  # False for NaN
    return [
        faces.Problem(annotation.image_path, what, f"{box.tolist()}")
        for what, mask in ((DUPLICATE_BOX, repeats_mask), (SIDES_SWAPPED, swapped_mask))
        for box in annotation.boxes[mask]
    ]


def _check_points(annotation: faces.Annotation, image: _Image) -> list[faces.Problem]:
    """One problem for each face that has a landmark outside of the image."""
    extent = (image.width, image.height)
    outside_mask = ((annotation.landmarks < 0) | (annotation.landmarks > extent)).any(axis=(1, 2))  # False for NaN
    return [
        faces.Problem(annotation.image_path, POINT_OUTSIDE, f"{points.tolist()} in {extent[0]}×{extent[1]}")
        for points in annotation.landmarks[outside_mask]
    ]
