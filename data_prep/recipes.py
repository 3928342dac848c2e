"""How many examples of what are made of an image, and how."""

import dataclasses

from data_prep import labels


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers of the published sampling recipe.

    Attributes:
        negatives: Random negatives wanted from an image (P-Net).
        negatives_near_face: Random squares near each face, of which the negatives are kept (P-Net).
        trials_per_face: Jittered squares round each face, sorted into positives and parts by their IoU.
        landmark_trials_per_face: Jittered, turned and mirrored squares round each face with known points.
        min_scale: The shortest jittered side, as a fraction of the face's shorter side.
        max_scale: The longest jittered side, as a fraction of the face's longer side.
        max_shift: The farthest move of a jittered square's centre, as a fraction of the face's sides.
        max_rotation: The image round a jittered square is rotated by at most this many degrees either way.
        max_mined_negatives: Background proposals of the cascade kept from an image, drawn by chance.
        margin: A crop shows so many times its square; targets stay relative to the square. A network learns and is
            used with one margin, see `networks.build`.
        rules: What separates the kinds.
        scale_boxes: Whether boxes drawn on an image of another size but the same proportions are scaled.
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
    margin: float = 1.0
    rules: labels.Rules = labels.Rules()
    scale_boxes: bool = False

    def __post_init__(self) -> None:
        if self.min_scale > self.max_scale:
            raise ValueError(
                f"expected a min_scale of at most max_scale, got {self.min_scale:g} and {self.max_scale:g}"
            )
