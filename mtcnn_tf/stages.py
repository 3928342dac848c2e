"""The stages of the cascade and the numbers that differ between them.

A cascade begins with one of two first stages, which propose boxes: P-Net, which slides over a pyramid of scales, or
the RPN, which looks at the image once. R-Net and O-Net look at crops of what is proposed.

Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks"
(arXiv 1604.02878): input sizes of P-, R- and O-Net from section II.B and figure 2, loss weights from section II.C.
The RPN's way of proposing is that of Ren et al. 2015, "Faster R-CNN" (arXiv 1506.01497), section 3.1.
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
        name: "rpn", "pnet", "rnet" or "onet": the name of its folders, files and flags.
        size: Side of the square crop it sees, in pixels; of the RPN, that of its smallest anchor.
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


RPN = Stage("rpn", 12, LossWeights(face=1.0, box=1.0, landmarks=0.0), keep_recall=0.97)
PNET = Stage("pnet", 12, LossWeights(face=1.0, box=0.5, landmarks=0.5), keep_recall=0.97)
RNET = Stage("rnet", 24, LossWeights(face=1.0, box=0.5, landmarks=0.5), keep_recall=0.955)
ONET = Stage("onet", 48, LossWeights(face=1.0, box=0.5, landmarks=1.0), keep_recall=None)

ALL = (RPN, PNET, RNET, ONET)
FIRST = (RPN, PNET)
"""One of these proposes the boxes of a cascade."""
ON_CROPS = (PNET, RNET, ONET)
"""Stages that learn from square crops with a kind each, see `kinds`; the RPN learns from windows of images."""
BY_NAME = {stage.name: stage for stage in ALL}


def chain(first: Stage) -> tuple[Stage, ...]:
    """The stages of a cascade that begins with `first`, in order."""
    return (first, RNET, ONET)


def proposers(stage: Stage, first: Stage = PNET) -> tuple[Stage, ...]:
    """The stages whose proposals `stage` learns to tell apart, in a cascade that begins with `first`.

    All before it; the first stage learns from its own.
    """
    stages = chain(first)
    return (first,) if stage is first else stages[: stages.index(stage)]
