"""Times the detector that ships in TensorFlow, LiteRT and ONNX Runtime, in turn on the same images of one size.

python -m benchmarks.runtimes --dataset=wider_face:DIR --calibrate=DIR

The files are exported first, with the network of int8 observed on images that are not timed.
"""

import functools
import os
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks import contestants, ratios, turns
from mtcnn_tf import datasets
from mtcnn_tf.images import image_files

_DATASET = flags.DEFINE_string("dataset", None, "NAME:DIR of a data set.", required=True)
_CALIBRATE = flags.DEFINE_string("calibrate", None, "Folder of images with faces, for int8.", required=True)
_SIZE = flags.DEFINE_string("size", "480x640", "HEIGHTxWIDTH of the images.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 9, "Images.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds; medians are printed.", lower_bound=1)

KINDS = {
    "LiteRT float32": ("litert", "float32"),
    "LiteRT float16": ("litert", "float16"),
    "LiteRT int8": ("litert", "int8"),
    "ONNX Runtime": ("onnx", "float32"),
}
"""Name → format and precision."""


def write(name: str, out_dir: str) -> str:
    """Exports one of `KINDS`; its path."""
    form, precision = KINDS[name]
    folder = os.path.join(out_dir, name)
    given = [f"--format={form}", f"--precision={precision}", f"--image_size={_SIZE.value}", f"--out_dir={folder}"]
    if precision == "int8":
        given.append(f"--calibrate={_CALIBRATE.value}")
    subprocess.run([sys.executable, "export.py", "--networks=default", *given], check=True)
    (file_name,) = os.listdir(folder)
    return os.path.join(folder, file_name)


def main(_):
    """Times them."""
    height, width = map(int, _SIZE.value.split("x"))
    annotations, _ = datasets.read(_DATASET.value, "val")
    paths = [annotation.image_path for annotation in annotations]
    images = [
        turns.fit(image_files.read(path), width, height) for path in paths[:: -(-len(paths) // _NUM_IMAGES.value)]
    ]
    with tempfile.TemporaryDirectory() as out_dir:
        files = {name: write(name, out_dir) for name in KINDS}
        sizes = {name: os.path.getsize(path) / 1e6 for name, path in files.items()}
        started = {"TensorFlow": contestants.Contestant(contestants.ours, "TensorFlow")}
        for name, path in files.items():
            started[name] = contestants.Contestant(functools.partial(contestants.model_file, path), name)
    times = turns.measure({name: one.milliseconds for name, one in started.items()}, images, _ROUNDS.value)
    medians = {name: np.median(milliseconds, axis=1) for name, milliseconds in times.items()}
    for name, one in started.items():
        size = f"{sizes[name]:.1f} MB" if name in sizes else ""
        print(f"{name:15} {np.median(medians[name]):6.1f} ms, at most {one.peak_megabytes():5.0f} MB of memory  {size}")
        ratios.show(f"{name} / TensorFlow", list(medians[name] / medians["TensorFlow"]), "none")
        one.stop()


if __name__ == "__main__":
    app.run(main)
