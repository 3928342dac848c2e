"""What decides what is in the records: how many examples of what are made of an image, and of which images."""

import dataclasses

from mtcnn_tf import landmark_sets, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.records import manifests

from . import labels


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers of the published sampling recipe.

    Attributes:
        negatives: Random negatives wanted from an image (P-Net).
        negatives_near_face: Random squares near each face, of which the negatives are kept (P-Net).
        trials_per_face: Jittered squares round each face, sorted into positives and parts by their IoU.
        landmark_trials_per_face: Jittered, rotated and mirrored squares round each face with known points.
        min_scale: The shortest jittered side, as a fraction of the face's shorter side.
        max_scale: The longest jittered side, as a fraction of the face's longer side.
        max_shift: The farthest move of a jittered square's centre, as a fraction of the face's sides.
        max_rotation: The image round a jittered square, and round half of the negatives, is rotated by at most this
            many degrees either way.
        max_mined_negatives: Background proposals of the cascade kept from an image, drawn by chance.
        margin: A crop shows so many times its square; targets stay relative to the square. A network learns and is
            used with one margin, see `networks.build`.
        rules: What separates the kinds.
        scale_boxes: Whether boxes drawn on an image of another size but the same proportions are scaled.
        landmark_set: The points of the faces. They are read where a data set has just these.
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
    landmark_set: landmark_sets.LandmarkSet = landmark_sets.FIVE

    def __post_init__(self) -> None:
        if self.min_scale > self.max_scale:
            raise ValueError(
                f"expected a min_scale of at most max_scale, got {self.min_scale:g} and {self.max_scale:g}"
            )


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what is in the records.

    Attributes:
        stage: The name of the stage.
        datasets: `NAME:DIR` of each data set, see `datasets.read`.
        networks: The folder of the networks trained so far, which begins with either first stage; may be None for
            P-Net.
        recipe: How many of what.
        seed: Seed of everything drawn by chance.
        num_shards: Files for each kind.
        validation_fraction: Fraction of the images held out.
        max_images: Take so many images of each data set, drawn by the seed; None for all.
        max_pixels: Image files of more pixels are stepped over.
        class_name: The class of VOC and COCO annotations to take; None for all.
        landmarks: Whether points are recorded; otherwise faces have none, whatever a data set says.
        thresholds: Score thresholds of the stages so far; None to find them by recall.
        calibration_images: On how many training images.
        crops: "in_records", or "on_the_fly" to record whole images with the proposals of the cascade so far.
        longest_side: Larger images are shrunk to this in image records; None leaves all as they are.
    """

    stage: str
    datasets: tuple[str, ...]
    networks: str | None = None
    recipe: Recipe = Recipe()
    seed: int = 0
    num_shards: int = 16
    validation_fraction: float = 0.05
    max_images: int | None = None
    max_pixels: int = image_files.MAX_PIXELS
    class_name: str | None = None
    landmarks: bool = True
    thresholds: tuple[float, ...] | None = None
    calibration_images: int = 200
    crops: str = "in_records"
    longest_side: int | None = None

    @property
    def kind_of_records(self) -> str:
        """`manifests.CROPS` or `manifests.IMAGES`; the RPN learns from whole images only."""
        holds_images = self.stage == stages.RPN.name or self.crops == "on_the_fly"
        return manifests.IMAGES if holds_images else manifests.CROPS

    def __post_init__(self) -> None:
        if self.thresholds is None:
            return
        if self.networks is None:
            raise ValueError("thresholds are those of networks that propose boxes, and there are none; give --networks")
        names = [one.name for one in stages.proposers_in_folder(self.networks, stages.BY_NAME[self.stage])]
        if len(self.thresholds) != len(names) or not all(0 <= threshold <= 1 for threshold in self.thresholds):
            raise ValueError(
                f"{self.stage} needs a threshold in 0–1 for each network before it ({', '.join(names)}), got "
                f"{', '.join(f'{threshold:g}' for threshold in self.thresholds)}"
            )
