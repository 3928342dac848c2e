"""The stages of the cascade and the numbers that differ between them.

A cascade begins with one of two first stages, which propose boxes: P-Net, which slides over a pyramid of scales, or
the RPN, which looks at the image once. R-Net and O-Net look at crops of what is proposed.

Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks"
(arXiv 1604.02878): input sizes of P-, R- and O-Net from section II.B and figure 2, loss weights from section II.C.
The RPN's way of proposing is that of Ren et al. 2015, "Faster R-CNN" (arXiv 1506.01497), section 3.1.
"""

import dataclasses
import os

from mtcnn_tf import files


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
        box_loss: The default among `losses.BOX_LOSSES`.
        keep_recall: The fraction of faces that must survive this stage when it mines examples for the next one. A stage
            that is too strict starves its successor of hard examples. None for the last stage.
        threshold: The score that a box must exceed after this stage, where none was chosen for its network.
    """

    name: str
    size: int
    loss_weights: LossWeights
    box_loss: str
    keep_recall: float | None
    threshold: float

    @property
    def title(self) -> str:
        """What it is called in texts, such as "P-Net"."""
        return "RPN" if self.name == "rpn" else f"{self.name[0].upper()}-Net"

    @property
    def network_file(self) -> str:
        """The file name of the stage's trained network in a working folder."""
        return f"{self.name}.keras"


RPN = Stage("rpn", 12, LossWeights(face=1.0, box=1.0, landmarks=0.0), "giou", keep_recall=0.97, threshold=0.3)
PNET = Stage("pnet", 12, LossWeights(face=1.0, box=0.5, landmarks=0.5), "squares", keep_recall=0.97, threshold=0.6)
RNET = Stage("rnet", 24, LossWeights(face=1.0, box=0.5, landmarks=0.5), "squares", keep_recall=0.955, threshold=0.7)
ONET = Stage("onet", 48, LossWeights(face=1.0, box=0.5, landmarks=1.0), "squares", keep_recall=None, threshold=0.7)

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


def in_folder(networks_dir: str | os.PathLike, until: str = "onet") -> tuple[Stage, ...]:
    """The stages of the cascade that is trained in `networks_dir`, up to and with `until`, in order.

    Some may not have been trained yet. It begins with the first stage that is there, P-Net where none is. Between the
    RPN and O-Net, R-Net is one of them just if it is there.

    Raises:
        ValueError: There are two first stages, or `until` is the one that is not there.
    """
    stage = BY_NAME[until]
    before = proposers_in_folder(networks_dir, stage)
    return before if stage in FIRST else (*before, stage)


def proposers_in_folder(networks_dir: str | os.PathLike, stage: Stage) -> tuple[Stage, ...]:
    """The stages of the cascade in `networks_dir` from whose proposals `stage` learns; see `in_folder`.

    Raises:
        ValueError: See `in_folder`.
    """
    there = [first for first in FIRST if _is_there(networks_dir, first)]
    if len(there) > 1:
        names = " and ".join(first.network_file for first in there)
        raise ValueError(
            f"expected one first stage in {os.fspath(networks_dir)!r}, got {names}; keep them in two folders"
        )
    first = there[0] if there else (stage if stage in FIRST else PNET)
    if stage in FIRST and stage is not first:
        raise ValueError(
            f"expected {stage.network_file} in {os.fspath(networks_dir)!r}, got a cascade that begins with "
            f"{first.name}; take another folder"
        )
    may_lack_rnet = first is RPN and not _is_there(networks_dir, RNET)
    return tuple(before for before in proposers(stage, first) if not (before is RNET and may_lack_rnet))


def _is_there(networks_dir: str | os.PathLike, stage: Stage) -> bool:
    return files.is_file(os.path.join(networks_dir, stage.network_file))
