"""The weights that come with the package, by name."""

import os
import pathlib

NAMES = ("default", "classic")
"""RPN and O-Net; the paper's P-, R- and O-Net."""

_WEIGHTS_DIR = os.fspath(pathlib.Path(__file__).parents[1] / "weights")


def folder(model: str | os.PathLike) -> str | os.PathLike:
    """The folder of the weights called `model`, which holds their networks and `weights.json`; any other path as it is.

    A folder of one's own that has such a name is told apart by `./`.
    """
    return os.path.join(_WEIGHTS_DIR, model) if model in NAMES else model
