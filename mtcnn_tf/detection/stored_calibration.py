"""What was chosen for the networks of a folder or address by calibration, kept beside them in `weights.json`.

The file holds `thresholds`, `score_weights`, `sha256` (file of each network → the sum it had) and, under `calibration`,
how they were chosen; of the weights that ship also their `scores` by public protocols. What was chosen doesn't carry
over between trainings: where a network is another one, it is not given out.
"""

import json
import os
from typing import NamedTuple

from mtcnn_tf import arguments, files, stages
from mtcnn_tf.detection import final_scores

FILE_NAME = "weights.json"


class OtherNetworksError(ValueError):
    """Networks of a folder are not those that its thresholds were chosen for.

    Attributes:
        names: Their files.
    """

    def __init__(self, path: str | os.PathLike, names: list[str]):
        super().__init__(
            f"expected the networks that the thresholds in {os.fspath(path)!r} were chosen for, by their SHA-256, got "
            f"another {', '.join(names)}; choose again with mtcnn-calibrate, or remove the file"
        )
        self.names = names


class Calibration(NamedTuple):
    """What `cascade.Cascade` takes beside its networks."""

    thresholds: tuple[float, ...]
    """Scores in 0–1 to exceed after each of the networks."""
    score_weights: final_scores.ScoreWeights = final_scores.NOT_CALIBRATED


def write(networks_dir: str | os.PathLike, chosen: Calibration, about: dict) -> None:
    """Keeps what was chosen for the networks in `networks_dir` as they are now.

    Args:
        networks_dir: Holds the networks of a cascade, see `stages.in_folder`.
        chosen: What was chosen.
        about: How it was chosen; anything that goes into JSON.
    """
    held = {
        "thresholds": list(chosen.thresholds),
        "score_weights": chosen.score_weights._asdict(),
        "sha256": _sums(networks_dir),
        "calibration": about,
    }
    with files.atomic_write(files.as_path(networks_dir) / FILE_NAME) as partial:
        partial.write_bytes(f"{json.dumps(held, indent=1, ensure_ascii=False)}\n".encode())


def read(networks_dir: str | os.PathLike) -> Calibration | None:
    """What was chosen for the networks in `networks_dir`, None where nothing was.

    Raises:
        OtherNetworksError: A network is not the one it was chosen for.
        FileNotFoundError: A network is missing.
        ValueError: The file isn't what `write` wrote, or see `stages.in_folder`.
    """
    path = files.as_path(networks_dir) / FILE_NAME
    if not files.is_file(path):
        return None
    try:
        held = json.loads(files.read_text(path))
        arguments.thresholds(held["thresholds"], len(held["sha256"]))
        weights = final_scores.ScoreWeights(**held.get("score_weights", {}))  # version 0.1 knew none
        score_weights = final_scores.checked(weights)
        sums = dict(held["sha256"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"expected thresholds and the SHA-256 of their networks in {os.fspath(path)!r}, got something else "
            f"({repr(error)[:200]}); choose again with mtcnn-calibrate, or remove the file"
        ) from error
    others = [name for name, found in _sums(networks_dir).items() if sums.get(name) != found]
    if others:
        raise OtherNetworksError(path, others)
    return Calibration(tuple(held["thresholds"]), score_weights)


def _sums(networks_dir: str | os.PathLike) -> dict[str, str]:
    paths = [files.as_path(networks_dir) / stage.network_file for stage in stages.in_folder(networks_dir)]
    return {path.name: files.sha256(path) for path in paths}
