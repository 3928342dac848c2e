"""Writes the embedded sample set, with which the whole line runs where no photographs are at hand.

    python -m data_prep.sample_set --out_dir=demo/sample_set

What is in it: `sample_files`. What its images are made of: `sample_scenes`.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

import mtcnn_tf.programs  # noqa: F401  before TensorFlow is loaded, in silence
from data_prep.sample_set import sample_files
from mtcnn_tf import programs

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_OUT_DIR = flags.DEFINE_string("out_dir", None, "Where the sample set is written.", required=True, flag_values=FLAGS)
_NUM_SCENES = flags.DEFINE_integer(
    "num_scenes", 240, "Scenes to learn from; a fifth as many are held out.", 0, flag_values=FLAGS
)
_NUM_PORTRAITS = flags.DEFINE_integer(
    "num_portraits", 300, "Five-point images; a fifth as many are held out.", 0, flag_values=FLAGS
)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed writes the same bytes.", 0, flag_values=FLAGS)


def _run() -> None:
    """Writes the sample set and says what is in it."""
    counts = _NUM_SCENES.value, _NUM_PORTRAITS.value
    try:
        num_faces, num_held_out_faces = sample_files.write(pathlib.Path(_OUT_DIR.value), *counts, _SEED.value)
    except OSError as error:
        sys.exit(f"sample_set: {error}")
    print(f"{_OUT_DIR.value}: {counts[0]} scenes with {num_faces} faces and {counts[1]} portraits to learn from;")
    print(f"a fifth as many scenes with {num_held_out_faces} faces, and portraits, are held out.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments)


if __name__ == "__main__":
    main()
