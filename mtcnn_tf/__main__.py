"""Tells what is installed: version, the weights that ship and their scores, devices.

    python -m mtcnn_tf

The exit status is 1 where the weights are missing or damaged. Scores are those in `weights/weights.json`.
"""

import json
import os
import pathlib
import platform
import sys
from collections.abc import Sequence
from typing import Any

import mtcnn_tf
from mtcnn_tf import programs

WEIGHTS = pathlib.Path(__file__).with_name("weights") / "weights.json"


def _run() -> None:
    """Prints it."""
    import keras  # slow to load: not for --help
    import tensorflow as tf

    print(f"mtcnn_tf {mtcnn_tf.__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}", end=", ")
    print(f"Python {platform.python_version()}")
    print(f"devices: {', '.join(map(_device, tf.config.list_physical_devices()))}")
    try:
        detector = mtcnn_tf.load()
        pairs = zip(detector.stages, detector.thresholds, strict=True)
        thresholds = ", ".join(f"{name} {threshold:.3g}" for name, threshold in pairs)
        held = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"mtcnn_tf: {error}")
    print(f"weights: {WEIGHTS.parent}, whole by their SHA-256, thresholds {thresholds}")
    for protocol in held["scores"].values():
        print(f"  {protocol['part']}")
        for figure in protocol["figures"].values():
            title = ", ".join(filter(None, (figure["title"], figure["unit"])))
            print(f"    {title:<60} {figure['value']:g}")


def _device(device: Any) -> str:
    import tensorflow as tf

    if device.device_type == "CPU":
        return f"CPU with {os.cpu_count()} cores"
    return f"{device.device_type} {tf.config.experimental.get_device_details(device).get('device_name', '')}".strip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, None, arguments)


if __name__ == "__main__":
    main()
