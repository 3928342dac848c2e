"""Exports trained networks: `python export.py --workdir=DIR --out_dir=DIR`.

Writes SavedModels in the layout TensorFlow Serving expects: out_dir/{pnet,rnet,onet,cascade}/N, N one above the highest
version there. Each is loaded back and compared with the Python model before it gets its number; where they differ that
model is not written, and the exit status is 1.
"""

import sys

from absl import app, flags, logging

from mtcnn_tf import cascade, exporting

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder with pnet.keras, rnet.keras and onet.keras.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", "exported", "Folder for the SavedModels.")
_THRESHOLDS = flags.DEFINE_list(
    "thresholds",
    list(cascade.THRESHOLDS),
    "Scores to exceed after P-Net, R-Net, O-Net; stored with the cascade as its defaults.",
)


def main(argv: list[str]) -> None:
    """Exports the three networks and the cascade."""
    if argv[1:]:
        raise app.UsageError(f"expected nothing but flags, got {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)  # TensorFlow tells at length what it writes
    try:
        thresholds = tuple(float(threshold) for threshold in _THRESHOLDS.value)
    except ValueError:
        raise app.UsageError(f"--thresholds takes numbers, got {','.join(_THRESHOLDS.value)!r}") from None
    try:
        for path in exporting.export(_WORKDIR.value, _OUT_DIR.value, thresholds):
            print(f"wrote {path}")
    except (OSError, ValueError) as error:
        sys.exit(f"export.py: {error}")


if __name__ == "__main__":
    app.run(main)
