"""Finds faces in pictures: `python -m mtcnn_tf.cli.detect PICTURE… --model=DIR --out_dir=DIR`, or `mtcnn-detect`.

Writes each picture with its faces drawn in, as NAME.faces.jpg, and one detections.json: for each picture that could be
read its `picture` (the path as given), `drawing`, `boxes`, `scores` and `landmarks`. A picture that can't be read is
reported and the rest goes on; the exit status is then 1.
"""

import json
import os
import sys

import tqdm
from absl import app, flags

from mtcnn_tf import cascade, detector, images, visualize

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Folder that export.py wrote, or workdir with the three trained networks. [the weights in the package]",
)
_OUT_DIR = flags.DEFINE_string("out_dir", "detections", "Folder for the drawings and detections.json; made if need be.")
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size", cascade.MIN_FACE_SIZE, "Side of the smallest face looked for, in pixels.", lower_bound=1
)
_THRESHOLDS = flags.DEFINE_list(
    "thresholds", None, "Scores to exceed after P-Net, R-Net, O-Net. [stored with the model]"
)
_MAX_FACES = flags.DEFINE_integer("max_faces", None, "At most that many faces in a picture. [all]", lower_bound=1)


def main(argv: list[str]) -> None:
    """Detects faces in the pictures named on the command line."""
    paths = argv[1:]
    if not paths:
        raise app.UsageError("expected at least one picture: mtcnn-detect PICTURE… --out_dir=DIR")
    thresholds = _parse_thresholds(_THRESHOLDS.value)
    try:
        find_faces = detector.load(_MODEL.value)
        os.makedirs(_OUT_DIR.value, exist_ok=True)
    except (OSError, ValueError) as error:
        sys.exit(f"mtcnn-detect: {error}")

    entries, num_failed = [], 0
    for path, name in zip(tqdm.tqdm(paths, unit="picture", disable=None), drawing_names(paths), strict=True):
        try:
            image = images.read(path)
            found = find_faces(image, _MIN_FACE_SIZE.value, thresholds, max_faces=_MAX_FACES.value)
            images.write(os.path.join(_OUT_DIR.value, name), visualize.draw(image, found))
        except (OSError, ValueError) as error:
            num_failed += 1
            tqdm.tqdm.write(f"mtcnn-detect: {error}", file=sys.stderr)
            continue
        entries.append({"picture": path, "drawing": name, **found.to_dict()})
    _write_json(os.path.join(_OUT_DIR.value, "detections.json"), entries)

    num_faces = sum(len(entry["scores"]) for entry in entries)
    print(f"{num_faces} faces in {len(entries)} pictures; drawings and detections.json are in {_OUT_DIR.value}")
    if num_failed:
        sys.exit(f"mtcnn-detect: {num_failed} of {len(paths)} pictures failed")


def drawing_names(paths: list[str]) -> list[str]:
    """A file name for the drawing of each picture, all different: a second `a` becomes a-2.faces.jpg."""
    names, taken = [], set()
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        name, number = f"{stem}.faces.jpg", 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}.faces.jpg"
        taken.add(name)
        names.append(name)
    return names


def _parse_thresholds(texts: list[str] | None) -> tuple[float, ...] | None:
    if texts is None:
        return None
    try:
        thresholds = tuple(float(text) for text in texts)
    except ValueError:
        thresholds = ()
    if len(thresholds) != 3 or not all(0 <= threshold <= 1 for threshold in thresholds):
        raise app.UsageError(f"--thresholds takes three numbers in 0–1, such as 0.6,0.7,0.7, got {','.join(texts)!r}")
    return thresholds


def _write_json(path: str, value) -> None:
    partial = f"{path}.{os.getpid()}.part"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
    os.replace(partial, path)


def run() -> None:
    """The console script `mtcnn-detect`."""
    app.run(main)


if __name__ == "__main__":
    run()
