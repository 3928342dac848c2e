"""Tells what is installed: version, the weights that ship and their scores, devices.

    python -m mtcnn_tf

The exit status is 1 where the weights are missing or damaged. Scores are those in their `weights.json`.
"""

import json
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

import mtcnn_tf
from mtcnn_tf import files, programs
from mtcnn_tf.detection import detector, shipped, stored_calibration


def _run() -> None:
    """Prints it."""
    import keras  # slow to load: not for --help
    import tensorflow as tf

    print(f"mtcnn_tf {mtcnn_tf.__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}", end=", ")
    print(f"Python {platform.python_version()}")
    print(f"devices: {', '.join(map(_device, tf.config.list_physical_devices()))}")
    for name in shipped.NAMES:
        try:
            _tell(name)
        except (OSError, ValueError) as error:
            sys.exit(f"mtcnn_tf: {error}")


def _tell(name: str) -> None:
    """Prints what weights that ship reach."""
    found = detector.load(name)
    pairs = zip(found.stages, found.thresholds, strict=True)
    thresholds = ", ".join(f"{stage} {threshold:.3g}" for stage, threshold in pairs)
    held = json.loads(files.read_text(files.as_path(shipped.folder(name)) / stored_calibration.FILE_NAME))
    print(f"weights: {name}, whole by their SHA-256, thresholds {thresholds}")
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
