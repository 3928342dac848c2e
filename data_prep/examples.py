"""From one picture and its annotation to training examples: candidates → labels → crops.

The same code serves all three stages. Only who proposes the boxes differs: chance for P-Net, the cascade so far for
R-Net and O-Net.
"""

import dataclasses

import numpy as np

from data_prep import candidates, labels, mining
from mtcnn_tf import boxes as box_geometry
from mtcnn_tf import faces, kinds, records, stages, warping


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers of the published sampling recipe.

    Attributes:
        negatives: Random negatives wanted from a picture (P-Net).
        negatives_near_face: Random squares near each face, of which the negatives are kept (P-Net).
        trials_per_face: Jittered squares round each face, sorted into positives and parts by their IoU.
        landmark_trials_per_face: Jittered, rotated and mirrored squares round each face with known points.
        min_scale: The shortest jittered side, as a share of the face's shorter side.
        max_scale: The longest jittered side, as a share of the face's longer side.
        max_shift: The farthest move of a jittered square's centre, as a share of the face's sides.
        max_rotation: Landmark crops are rotated by at most this many degrees either way.
        max_mined_negatives: Background proposals of the cascade kept from a picture, drawn by chance.
        rules: What separates the kinds.
    """

    negatives: int = 50
    negatives_near_face: int = 5
    trials_per_face: int = 20
    landmark_trials_per_face: int = 20
    min_scale: float = 0.8
    max_scale: float = 1.25
    max_shift: float = 0.2
    max_rotation: float = 5.0
    max_mined_negatives: int = 60
    rules: labels.Rules = labels.Rules()


def fit_to_picture(
    annotation: faces.Annotation, width: int, height: int
) -> tuple[faces.Annotation, list[faces.Problem]]:
    """The annotation with its boxes cut off at the picture's edge, and what had to be cut.

    A face of which less than half lies within the picture is not learnt from: what is left of it is ignored.
    """
    clipped = box_geometry.clip(annotation.boxes, width, height)
    visible = box_geometry.area(clipped) / box_geometry.area(annotation.boxes)
    problems = [
        faces.Problem(annotation.image_path, "box outside the picture", f"{box.tolist()} in {width}×{height}")
        for box, share in zip(annotation.boxes, visible, strict=True)
        if share < 0.99
    ]
    kept_mask = visible >= 0.5
    lost = clipped[~kept_mask & (visible > 0)]
    fitted = dataclasses.replace(
        annotation,
        boxes=clipped[kept_mask],
        landmarks=annotation.landmarks[kept_mask],
        ignored=np.concatenate([box_geometry.clip(annotation.ignored, width, height), lost]),
    )
    return fitted, problems


def of_picture(
    image: np.ndarray,
    annotation: faces.Annotation,
    stage: stages.Stage,
    recipe: Recipe,
    rng: np.random.Generator,
    propose: mining.Propose | None = None,
) -> records.Examples:
    """The training examples that one picture gives.

    Args:
        image: RGB uint8 [H, W, 3].
        annotation: Its faces, within the picture (see `fit_to_picture`).
        stage: Whose examples.
        recipe: How many of what.
        rng: The picture's own source of chance.
        propose: The cascade so far; may be None for P-Net, whose boxes are drawn by chance.
    """
    boxes, found, offsets = _labelled_boxes(image, annotation, stage, recipe, rng, propose)
    levels = warping.halvings(image)
    cut = warping.warp(levels, warping.upright(boxes, stage.size), stage.size)
    examples = records.Examples(cut, found, offsets, np.zeros((len(boxes), 10), np.float32))
    return records.concatenate([examples, _landmark_examples(levels, annotation, stage.size, recipe, rng)])


def _labelled_boxes(image, annotation, stage, recipe, rng, propose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes [N, 4], their kinds [N] and offsets [N, 4], without those that are dropped."""
    height, width = image.shape[:2]
    usable = annotation.boxes[labels.usable_mask(annotation, recipe.rules.min_face_size)]
    jittered = _jittered(rng, usable, recipe.trials_per_face, recipe)
    groups = []  # boxes, the kinds wanted of them, and how many negatives at most
    if stage is stages.PNET:
        # P-Net never looks beyond the picture. Twice as many squares as wanted are drawn: some touch a face.
        jittered = candidates.inside(jittered, width, height)
        anywhere = candidates.anywhere(rng, width, height, 2 * recipe.negatives)
        near = candidates.near(rng, annotation.boxes, width, height, recipe.negatives_near_face)
        groups += [(anywhere, (kinds.NEGATIVE,), recipe.negatives), (near, (kinds.NEGATIVE,), len(near))]
    if propose is not None:
        proposals = rng.permutation(box_geometry.square(propose(image)))
        groups.append((proposals, (kinds.NEGATIVE, *kinds.WITH_OFFSETS), recipe.max_mined_negatives))
    groups.append((jittered, kinds.WITH_OFFSETS, 0))

    boxes = np.concatenate([group for group, _, _ in groups])
    found, offsets = labels.label(boxes, annotation, recipe.rules)
    ends = np.cumsum([len(group) for group, _, _ in groups])
    rows = [
        end - len(group) + _chosen(found[end - len(group) : end], wanted, max_negatives)
        for end, (group, wanted, max_negatives) in zip(ends, groups, strict=True)
    ]
    rows = np.concatenate(rows)
    return boxes[rows], found[rows], offsets[rows]


def _chosen(found: np.ndarray, wanted_kinds: tuple[int, ...], max_negatives: int) -> np.ndarray:
    """Rows of the wanted kinds, the first `max_negatives` negatives only."""
    is_negative = found == kinds.NEGATIVE
    wanted_mask = np.logical_or.reduce([found == kind for kind in wanted_kinds])
    return np.flatnonzero(wanted_mask & ~(is_negative & (np.cumsum(is_negative) > max_negatives)))


def _jittered(rng, boxes, count, recipe) -> np.ndarray:
    return candidates.jittered(rng, boxes, count, (recipe.min_scale, recipe.max_scale), recipe.max_shift)


def _landmark_examples(levels, annotation, size, recipe, rng) -> records.Examples:
    """Crops of faces with known points: jittered, rotated a little round the face's centre, half of them mirrored.

    Dropped where the crop is not close to the face (IoU of a positive) or a point falls outside of it.
    """
    known_mask = np.isfinite(annotation.landmarks).all(axis=(1, 2))
    rows = np.flatnonzero(known_mask & labels.usable_mask(annotation, recipe.rules.min_face_size))
    if not len(rows):
        return records.no_examples(size)
    boxes = _jittered(rng, annotation.boxes[rows], recipe.landmark_trials_per_face, recipe)
    rows = np.repeat(rows, recipe.landmark_trials_per_face)
    angles = np.deg2rad(rng.uniform(-recipe.max_rotation, recipe.max_rotation, len(rows)))
    mirror_mask = rng.random(len(rows)) < 0.5

    face_boxes = annotation.boxes[rows]
    pivots = (face_boxes[:, :2] + face_boxes[:, 2:]) / 2
    points = box_geometry.encode_points(boxes, _rotate(annotation.landmarks[rows], angles, pivots))
    is_close_mask = box_geometry.paired_iou(boxes, face_boxes) > recipe.rules.positive_iou
    keep_mask = is_close_mask & ((points >= 0) & (points <= 1)).all(axis=(1, 2))
    boxes, angles, pivots, points, mirror_mask = (x[keep_mask] for x in (boxes, angles, pivots, points, mirror_mask))

    images = warping.warp(levels, warping.rotated(boxes, angles, pivots, size), size)
    images[mirror_mask] = images[mirror_mask, :, ::-1]
    points[mirror_mask] = points[mirror_mask][:, faces.MIRROR_ORDER] * (-1, 1) + (1, 0)
    num_crops = len(boxes)
    landmarks = points.reshape(num_crops, 10).astype(np.float32)
    return records.Examples(images, np.full(num_crops, kinds.LANDMARK), np.zeros((num_crops, 4), np.float32), landmarks)


def _rotate(points: np.ndarray, angles: np.ndarray, pivots: np.ndarray) -> np.ndarray:
    """Points [N, P, 2] turned clockwise (as seen on the screen) by `angles` [N] round `pivots` [N, 2]."""
    cosine, sine = np.cos(angles), np.sin(angles)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # [N, 2, 2]
    return np.einsum("nij,npj->npi", turn, points - pivots[:, None]) + pivots[:, None]
