"""What the sets of five-point faces have in common: the order of the points, and boxes from points.

The sets that come with one labelled face an image (`points`, `mtfl`, `celeba`) each have boxes of their own habit or
none. Cascades regress WIDER FACE's boxes, so these faces get the box that WIDER FACE's annotators would have drawn, as
far as the points tell it: see `boxes_round`.
"""

import warnings
from collections.abc import Callable

import numpy as np

from mtcnn_tf import faces, landmark_sets
from mtcnn_tf.datasets import annotation_lists, places

# In units of the points' spread. Medians over 673 frontal faces of WIDER FACE's training part that are at least 80 px
# wide and high, as the faces of these sets are, with points found by the default weights (score >= 0.9, nose within
# 15 % of the eyes' distance from between the eyes, roll under 10 degrees). The width and height of single faces vary
# about them by 10 % each. Smaller faces are annotated with wider boxes (40-80 px: 3.588, 4.426, 0.184).
_WIDTH = 3.503
_HEIGHT = 4.617
_RAISE = 0.277


def in_image_order(landmarks: np.ndarray) -> np.ndarray:
    """The same points, float32 [N, P, 2], with left and right of five exchanged for faces that would be mirror images.

    Going from the left eye to the right one, the mouth of a face lies on the right hand (y points down in an image),
    however the face is rotated. Where it lies on the left hand, the person's own sides were written down. For a face
    less than 90 degrees from upright this says that *left* is left in the image; a face that stands on its head
    keeps its names, which turn with it.

    Args:
        landmarks: [N, P, 2]; NaN where unknown. Without points above and below, the face is taken to be upright;
            without both points of a pair, its names are left as they are; and so are those of sets of other points.
    """
    landmarks = np.asarray(landmarks, np.float32)
    if landmarks.ndim == 3 and landmarks.shape[1] != len(faces.LANDMARK_NAMES):
        return landmarks
    landmarks = landmarks.reshape(-1, 5, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN: just what is wanted
        across = np.nanmean(landmarks[:, [1, 4]] - landmarks[:, [0, 3]], axis=1)  # [N, 2]
        eyes, mouth = np.nanmean(landmarks[:, :2], axis=1), np.nanmean(landmarks[:, 3:], axis=1)
    nose = landmarks[:, 2]
    down = np.where(np.isnan(mouth), nose, mouth) - np.where(np.isnan(eyes), nose, eyes)
    down = np.where(np.isnan(down) | np.all(down == 0, axis=1, keepdims=True), np.array([0, 1], np.float32), down)
    mirrored_mask = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] < 0
    return np.where(mirrored_mask[:, None, None], landmarks[:, landmark_sets.FIVE.mirror_order], landmarks)


def boxes_round(landmarks: np.ndarray) -> np.ndarray:
    """Boxes in WIDER FACE's habit round faces of which the five points are known, float32 [N, 4].

    Points' *spread* is the root mean square of their distances from their mean. The box is 3.503 spreads wide and 4.617
    high (0.76 : 1, hairline to chin). Its centre lies 0.277 spreads above the middle of eyes and mouth corners, and
    sideways as far behind that middle as the tip of the nose is before it: so the box of a face turned aside holds the
    cheek that is seen.

    On WIDER FACE's own frontal faces of at least 80 px these boxes have a mean IoU of 0.83 with the annotators'; on all
    such faces with sure points (1,664, profiles among them) 0.81, which would be 0.74 without the sideways step.

    Args:
        landmarks: [N, 5, 2]. Five equal points give a box without area.
    """
    landmarks = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
    from_mean = landmarks - landmarks.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.mean(np.sum(from_mean**2, axis=2), axis=1))[:, None]  # [N, 1]
    centres = landmarks[:, [0, 1, 3, 4]].mean(axis=1)
    centres[:, 0] += centres[:, 0] - landmarks[:, 2, 0]
    centres -= spread * [0, _RAISE]
    half_sides = spread * [_WIDTH / 2, _HEIGHT / 2]
    return np.concatenate([centres - half_sides, centres + half_sides], axis=1).astype(np.float32)


def read_rows(
    path: str, directory: str, points_of: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations from a list with an image's path and 14 numbers a line, and the lines that are otherwise.

    Args:
        path: The list.
        directory: What the images' paths are relative to.
        points_of: From a line's 14 numbers to its five points [5, 2].
    """
    names, landmarks, wheres, problems = [], [], [], []
    for number, text in annotation_lists.read_lines(path):
        name, numbers = annotation_lists.split_row(text, 14)
        if numbers is None:
            problems.append(annotation_lists.problem(path, number, "a line without a path and 14 numbers", text))
            continue
        if annotation_lists.image_path("", name) is None:
            problems.append(annotation_lists.problem(path, number, annotation_lists.OUTSIDE, text))
            continue
        names.append([name])
        landmarks.append(points_of(numbers))
        wheres.append(f"{path}:{number}")
    located = places.locate(names, [directory], directory)
    image_paths = [path for path in located if path is not None]  # all of them: names that lead out were left out
    annotations, without_extent = annotate(image_paths, landmarks, wheres)
    return annotations, problems + without_extent


def annotate(
    image_paths: list[str], landmarks: list[np.ndarray], wheres: list[str]
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    """Annotations of images with one labelled face each; a problem where the points have no extent.

    `is_complete` is False for all of them: these images show other people, too, who are not labelled.

    Args:
        image_paths: N paths.
        landmarks: N times the numbers of five points [5, 2].
        wheres: For problems: where each was read.
    """
    points = in_image_order(np.reshape(landmarks, (-1, 5, 2)))
    annotations, problems = [], []
    for path, face, box, where in zip(image_paths, points, boxes_round(points), wheres, strict=True):
        if annotation_lists.has_area(box):
            annotations.append(faces.Annotation(path, box, face, is_complete=False))
        else:
            problems.append(faces.Problem(where, "points without extent"))
    return annotations, problems
