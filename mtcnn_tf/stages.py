"""The three stages of the cascade and the numbers that differ between them.

Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks"
(arXiv 1604.02878): input sizes from section II.B and figure 2, loss weights from section II.C.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """How much each task counts in a stage's loss."""

    face: float
    box: float
    landmarks: float


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of the cascade.

    Attributes:
        name: "pnet", "rnet" or "onet": the name of its folders, files and flags.
        size: Side of the square crop it sees, in pixels.
        loss_weights: Default weights of the three losses.
        keep_recall: The share of faces that must survive this stage when it mines examples for the next one. A stage
            that is too strict starves its successor of hard examples. None for the last stage.
    """

    name: str
    size: int
    loss_weights: LossWeights
    keep_recall: float | None

    @property
    def network_file(self) -> str:
        """The file name of the stage's trained network in a working folder."""
        return f"{self.name}.keras"


PNET = Stage("pnet", 12, LossWeights(face=1.0, box=0.5, landmarks=0.5), keep_recall=0.97)
RNET = Stage("rnet", 24, LossWeights(face=1.0, box=0.5, landmarks=0.5), keep_recall=0.955)
ONET = Stage("onet", 48, LossWeights(face=1.0, box=0.5, landmarks=1.0), keep_recall=None)

ALL = (PNET, RNET, ONET)
BY_NAME = {stage.name: stage for stage in ALL}


def proposers(stage: Stage) -> tuple[Stage, ...]:
    """The stages whose proposals `stage` learns to tell apart: all before it; P-Net, the first, learns from its own."""
    return ALL[: max(1, ALL.index(stage))]
