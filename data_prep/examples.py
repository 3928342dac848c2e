"""From one image and its annotation to training examples: candidates → labels → crops.

The same code serves all three stages. Only who proposes the boxes differs: chance for P-Net, the cascade so far for
R-Net and O-Net.
"""

import dataclasses

import numpy as np

from mtcnn_tf import faces, kinds, stages
from mtcnn_tf.datasets import sizes
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.images import array_crops
from mtcnn_tf.records import crop_records

from . import candidates, labels, mining, recipes

OUTSIDE = "box outside the image"


def fit_to_image(
    annotation: faces.Annotation, width: int, height: int, scale_boxes: bool = False
) -> tuple[faces.Annotation | None, list[faces.Problem]]:
    """The annotation with its boxes cut off at the image's edge, and what had to be cut; or None, see `sizes.fit`.

    A face of which less than half lies within the image is not learnt from: what is left of it is ignored. Where
    nothing is left of one, its box is wrong and it may lie anywhere: the image is not complete.
    """
    here, problems = sizes.fit(annotation, width, height, scale_boxes)
    if here is None:
        return None, problems
    clipped = box_geometry.clip(here.boxes, width, height)
    visible = box_geometry.area(clipped) / box_geometry.area(here.boxes)
    problems += [
        faces.Problem(here.image_path, OUTSIDE, f"{box.tolist()} in {width}×{height}")
        for box, fraction in zip(here.boxes, visible, strict=True)
        if fraction < 0.99
    ]
    kept_mask = visible >= 0.5
    lost = clipped[~kept_mask & (visible > 0)]
    ignored = box_geometry.clip(here.ignored, width, height)
    is_somewhere = bool(np.all(visible > 0) and np.all(box_geometry.area(ignored) > 0))
    fitted = dataclasses.replace(
        here,
        boxes=clipped[kept_mask],
        landmarks=here.landmarks[kept_mask],
        ignored=np.concatenate([ignored, lost]),
        is_complete=here.is_complete and is_somewhere,
    )
    return fitted, problems


def of_image(
    image: np.ndarray,
    annotation: faces.Annotation,
    stage: stages.Stage,
    recipe: recipes.Recipe,
    rng: np.random.Generator,
    propose: mining.Propose | None = None,
) -> crop_records.Examples:
    """The training examples that one image gives.

    Args:
        image: RGB uint8 [H, W, 3].
        annotation: Its faces, within the image (see `fit_to_image`).
        stage: Whose examples.
        recipe: How many of what.
        rng: The image's own source of chance.
        propose: The cascade so far; may be None for P-Net, whose boxes are drawn by chance.
    """
    boxes, found, offsets = _labelled_boxes(image, annotation, stage, recipe, rng, propose)
    levels = array_crops.mip_levels(image)
    angles = np.where(found == kinds.NEGATIVE, candidates.angles_of_negatives(rng, len(found), recipe.max_rotation), 0)
    cut = _cut(levels, boxes, angles, box_geometry.centres(boxes), stage.size, recipe.margin)
    examples = [
        crop_records.Examples(cut, found, offsets, _no_targets(len(boxes), recipe)),
        _face_examples(levels, annotation, stage, recipe, rng),
        _landmark_examples(levels, annotation, stage.size, recipe, rng),
    ]
    return crop_records.concatenate(examples)


def _cut(
    levels: list[np.ndarray], squares: np.ndarray, angles: np.ndarray, pivots: np.ndarray, size: int, margin: float
) -> np.ndarray:
    """Crops that show `margin` times the squares, each of the image rotated by its angle round its pivot."""
    shown = box_geometry.enlarge(squares, margin)
    return array_crops.warp(levels, array_crops.rotated(shown, angles, pivots, size), size)


def _no_targets(num_crops: int, recipe: recipes.Recipe) -> np.ndarray:
    """The landmark targets of crops without landmarks."""
    return np.zeros((num_crops, 2 * recipe.landmark_set.num_points), np.float32)


def _labelled_boxes(
    image: np.ndarray,
    annotation: faces.Annotation,
    stage: stages.Stage,
    recipe: recipes.Recipe,
    rng: np.random.Generator,
    propose: mining.Propose | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of chance and of the cascade so far [N, 4], their kinds [N] and offsets [N, 4], without those dropped."""
    height, width = image.shape[:2]
    # Boxes, the kinds wanted of them, and how many negatives at most.
    groups: list[tuple[np.ndarray, tuple[int, ...], int]] = [(faces.no_boxes(), (kinds.NEGATIVE,), 0)]
    if stage is stages.PNET:
        # Twice as many squares as wanted are drawn: some touch a face.
        anywhere = candidates.anywhere(rng, width, height, 2 * recipe.negatives)
        near = candidates.near(rng, annotation.boxes, width, height, recipe.negatives_near_face)
        groups += [(anywhere, (kinds.NEGATIVE,), recipe.negatives), (near, (kinds.NEGATIVE,), len(near))]
    if propose is not None:
        proposals = rng.permutation(box_geometry.square(propose(image)[0]))
        groups.append((proposals, (kinds.NEGATIVE, *kinds.WITH_OFFSETS), recipe.max_mined_negatives))

    boxes = np.concatenate([group for group, _, _ in groups])
    found, offsets = labels.label(boxes, annotation, recipe.rules)
    ends = np.cumsum([len(group) for group, _, _ in groups])
    chosen = [
        end - len(group) + _chosen(found[end - len(group) : end], wanted, max_negatives)
        for end, (group, wanted, max_negatives) in zip(ends, groups, strict=True)
    ]
    rows = np.concatenate(chosen)
    return boxes[rows], found[rows], offsets[rows]


def _chosen(found: np.ndarray, wanted_kinds: tuple[int, ...], max_negatives: int) -> np.ndarray:
    """Rows of the wanted kinds, the first `max_negatives` negatives only."""
    is_negative = found == kinds.NEGATIVE
    wanted_mask = np.logical_or.reduce([found == kind for kind in wanted_kinds])
    return np.flatnonzero(wanted_mask & ~(is_negative & (np.cumsum(is_negative) > max_negatives)))


@dataclasses.dataclass(frozen=True)
class _Jittered:
    """Squares round faces, in an image that has been turned round each face's centre by an angle of its own.

    Attributes:
        rows: Whose square it is, int [N].
        squares: float32 [N, 4], in pixels of the rotated image.
        face_boxes: float32 [N, 4], of the faces in the rotated image.
        angles: [N] in radians, clockwise as seen on the screen.
        pivots: [N, 2].
    """

    rows: np.ndarray
    squares: np.ndarray
    face_boxes: np.ndarray
    angles: np.ndarray
    pivots: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> "_Jittered":
        return _Jittered(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def cut(self, levels: list[np.ndarray], size: int, margin: float) -> np.ndarray:
        """Their crops."""
        return _cut(levels, self.squares, self.angles, self.pivots, size, margin)


def _jitter(rng: np.random.Generator, boxes: np.ndarray, count: int, recipe: recipes.Recipe) -> _Jittered:
    """`count` squares round each of the boxes."""
    rows = np.repeat(np.arange(len(boxes)), count)
    angles = candidates.angles(rng, len(rows), recipe.max_rotation)
    face_boxes = box_geometry.rotate(boxes[rows], angles)
    compared = labels.compared(face_boxes, recipe.rules)
    squares = candidates.jittered(rng, compared, (recipe.min_scale, recipe.max_scale), recipe.max_shift)
    return _Jittered(rows, squares, face_boxes, angles, box_geometry.centres(face_boxes))


def _face_examples(
    levels: list[np.ndarray],
    annotation: faces.Annotation,
    stage: stages.Stage,
    recipe: recipes.Recipe,
    rng: np.random.Generator,
) -> crop_records.Examples:
    """Jittered faces: positives and parts."""
    usable = annotation.boxes[labels.usable_mask(annotation, recipe.rules.min_face_size)]
    jittered = _jitter(rng, usable, recipe.trials_per_face, recipe)
    compared = labels.compared(jittered.face_boxes, recipe.rules)
    found = labels.of_overlap(box_geometry.paired_iou(jittered.squares, compared), recipe.rules)
    keep_mask = found != labels.DROPPED
    if stage is stages.PNET:  # which never looks beyond the image
        keep_mask &= candidates.inside_mask(jittered.squares, levels[0].shape[1], levels[0].shape[0])
    jittered, found = jittered[keep_mask], found[keep_mask]
    offsets = box_geometry.encode(jittered.squares, jittered.face_boxes)
    crops = jittered.cut(levels, stage.size, recipe.margin)
    return crop_records.Examples(crops, found, offsets, _no_targets(len(found), recipe))


def _landmark_examples(
    levels: list[np.ndarray], annotation: faces.Annotation, size: int, recipe: recipes.Recipe, rng: np.random.Generator
) -> crop_records.Examples:
    """Jittered faces with known points, half of them mirrored.

    Dropped where the crop is not close to the face (IoU of a positive) or a point falls outside of it.
    """
    known_mask = faces.known_mask(annotation.landmarks)
    rows = np.flatnonzero(known_mask & labels.usable_mask(annotation, recipe.rules.min_face_size))
    jittered = _jitter(rng, annotation.boxes[rows], recipe.landmark_trials_per_face, recipe)
    points = box_geometry.rotate_points(annotation.landmarks[rows][jittered.rows], jittered.angles, jittered.pivots)
    points = box_geometry.encode_points(jittered.squares, points)
    compared = labels.compared(jittered.face_boxes, recipe.rules)
    is_close_mask = box_geometry.paired_iou(jittered.squares, compared) > recipe.rules.positive_iou
    keep_mask = is_close_mask & ((points >= 0) & (points <= 1)).all(axis=(1, 2))
    images, points = jittered[keep_mask].cut(levels, size, recipe.margin), points[keep_mask]

    mirror_mask = rng.random(len(points)) < 0.5
    images[mirror_mask] = images[mirror_mask, :, ::-1]
    points[mirror_mask] = points[mirror_mask][:, recipe.landmark_set.mirror_order] * (-1, 1) + (1, 0)
    num_crops = len(points)
    landmarks = points.reshape(num_crops, 2 * recipe.landmark_set.num_points).astype(np.float32)
    return crop_records.Examples(
        images, np.full(num_crops, kinds.LANDMARK), np.zeros((num_crops, 4), np.float32), landmarks
    )
