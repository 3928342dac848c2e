"""Writes the embedded sample set, with which the whole line runs where no photographs are at hand.

    python -m data_prep.sample_set --out_dir=demo/sample_set

writes

* `wider/`: scenes with faces and without, in WIDER FACE's folders and text format, train and val;
* `points/`: pictures of one face each, in the five-point list format, train and test;
* `group.jpg`: a held-out scene to detect faces in.

The set shows two people only: what learns from it proves that the line runs, and is no face detector.
What the pictures are made of: `sample_scenes`.
"""

import io
import os

import numpy as np
from absl import app, flags
from PIL import Image

from data_prep import sample_scenes

_OUT_DIR = flags.DEFINE_string("out_dir", None, "Where the sample set is written.")
_NUM_SCENES = flags.DEFINE_integer("num_scenes", 240, "Scenes to learn from; a fifth as many are held out.", 0)
_NUM_PORTRAITS = flags.DEFINE_integer("num_portraits", 300, "Five-point pictures; a fifth as many are held out.", 0)
_SEED = flags.DEFINE_integer("seed", 0, "The same seed writes the same bytes.", 0)

EVENT = "0--Samples"
NO_FACE_LINE = "0 0 0 0 0 0 0 0 0 0"
"""WIDER FACE's lists have this line after a count of 0."""


def write_scenes(out_dir: str, split: int, num_scenes: int, seed: int) -> int:
    """Writes scenes in WIDER FACE's folders and text format; returns the number of faces."""
    name = {sample_scenes.TRAIN: "train", sample_scenes.VAL: "val"}[split]
    photos, lines, num_faces = sample_scenes.backgrounds(split), [], 0
    for i in range(num_scenes):
        pixels, placements = sample_scenes.scene(np.random.default_rng([seed, split, i]), photos)
        path = f"{EVENT}/0_Samples_{i:04}.jpg"
        write_picture(os.path.join(out_dir, f"WIDER_{name}", "images", path), pixels)
        lines += [path, str(len(placements)), *(_wider_line(placement.box) for placement in placements)]
        lines += [] if placements else [NO_FACE_LINE]
        num_faces += len(placements)
    path = os.path.join(out_dir, "wider_face_split", f"wider_face_{name}_bbx_gt.txt")
    write(path, "".join(line + "\n" for line in lines).encode())
    return num_faces


def _wider_line(box: np.ndarray) -> str:
    """Left, top, width, height, and six attributes: blur, expression, illumination, invalid, occlusion, pose."""
    left, top, right, bottom = np.round(box).astype(int)
    return f"{left} {top} {right - left} {bottom - top} 0 0 0 0 0 0"


def write_portraits(out_dir: str, split: int, num_pictures: int, seed: int) -> None:
    """Writes pictures of one face each and their list in the five-point format."""
    name = {sample_scenes.POINTS_TRAIN: "train", sample_scenes.POINTS_TEST: "test"}[split]
    photos, lines = sample_scenes.backgrounds(split), []
    for i in range(num_pictures):
        pixels, placement = sample_scenes.single_portrait(np.random.default_rng([seed, split, i]), photos)
        write_picture(os.path.join(out_dir, name, f"{i:04}.jpg"), pixels)
        left, top, right, bottom = np.round(placement.box).astype(int)
        points = " ".join(f"{value:.2f}" for value in placement.landmarks.flat)
        lines.append(f"{name}\\{i:04}.jpg {left} {right} {top} {bottom} {points}\n")
    write(os.path.join(out_dir, f"{name}ImageList.txt"), "".join(lines).encode())


def write_picture(path: str, pixels: np.ndarray) -> None:
    """Writes pixels, uint8 [H, W, 3], as a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    write(path, stream.getvalue())


def write(path: str, content: bytes) -> None:
    """Writes the whole file or none."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as file:
        file.write(content)
    os.replace(path + ".part", path)


def main(_) -> None:
    """Writes the sample set."""
    out_dir, seed = _OUT_DIR.value, _SEED.value
    wider_dir, points_dir = os.path.join(out_dir, "wider"), os.path.join(out_dir, "points")
    num_scenes, num_held_out_scenes = _NUM_SCENES.value, _NUM_SCENES.value // 5
    num_portraits, num_held_out_portraits = _NUM_PORTRAITS.value, _NUM_PORTRAITS.value // 5
    num_faces = write_scenes(wider_dir, sample_scenes.TRAIN, num_scenes, seed)
    num_held_out_faces = write_scenes(wider_dir, sample_scenes.VAL, num_held_out_scenes, seed)
    write_portraits(points_dir, sample_scenes.POINTS_TRAIN, num_portraits, seed)
    write_portraits(points_dir, sample_scenes.POINTS_TEST, num_held_out_portraits, seed)
    pixels, _ = sample_scenes.group(np.random.default_rng([seed, sample_scenes.GROUP]))
    write_picture(os.path.join(out_dir, "group.jpg"), pixels)
    print(f"{out_dir}: {num_scenes} scenes with {num_faces} faces and {num_portraits} portraits to learn from;")
    print(
        f"held out {num_held_out_scenes} scenes with {num_held_out_faces} faces and {num_held_out_portraits} portraits."
    )


if __name__ == "__main__":
    flags.mark_flag_as_required("out_dir")
    app.run(main)
