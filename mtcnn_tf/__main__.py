"""Tells what is installed: version, the weights that ship and their scores, devices.

    python -m mtcnn_tf

The exit status is 1 where the weights are missing or damaged. Scores are those of the model card, `weights/README.md`.
"""

import os
import pathlib
import platform
import sys
from collections.abc import Iterator

from absl import app

import mtcnn_tf
from mtcnn_tf import cli

CARD = pathlib.Path(__file__).with_name("weights") / "README.md"
_OURS = "ours"


def main(argv: list[str]) -> None:
    """Prints it."""
    if len(argv) > 1:
        raise app.UsageError(f"expected nothing more, got {argv[1]!r}; the programs are mtcnn-detect, mtcnn-evaluate …")
    import keras  # slow to load: not for --help
    import tensorflow as tf

    print(f"mtcnn_tf {mtcnn_tf.__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}", end=", ")
    print(f"Python {platform.python_version()}")
    print(f"devices: {', '.join(map(_device, tf.config.list_physical_devices()))}")
    try:
        detector = mtcnn_tf.load()
        pairs = zip(detector.stages, detector.thresholds, strict=True)
        thresholds = ", ".join(f"{name} {threshold:.3g}" for name, threshold in pairs)
        card = CARD.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.exit(f"mtcnn_tf: {error}")
    print(f"weights: {CARD.parent}, whole by their SHA-256, thresholds {thresholds}")
    part_before = None
    for part, figure, score in scores(card):
        if part != part_before:
            print(f"  {part}")
        print(f"    {figure:<60} {score}")
        part_before = part


def scores(card: str) -> Iterator[tuple[str, str, str]]:
    """Public part, figure and our score, as the rows of the model card's table of scores have them.

    Args:
        card: The model card, Markdown. A part's cell is empty where it is the one above.
    """
    _, _, section = card.partition("\n## Scores\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    rows = [["", *row] if len(row) < len(rows[0]) else row for row in rows]  # `strip` took an empty first cell
    part = ""
    for row in rows[2:]:  # below the head and its rule
        part = row[0] or part
        yield part, row[1], row[rows[0].index(_OURS)]


def _device(device) -> str:
    import tensorflow as tf

    if device.device_type == "CPU":
        return f"CPU with {os.cpu_count()} cores"
    return f"{device.device_type} {tf.config.experimental.get_device_details(device).get('device_name', '')}".strip()


if __name__ == "__main__":
    cli.run(main)
