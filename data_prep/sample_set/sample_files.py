"""The files of the embedded sample set, with which the whole line runs where no photographs are at hand.

* `wider/`: scenes with faces and without, in WIDER FACE's folders and text format, train and val;
* `points/`: images of one face each, in the five-point list format, train and test;
* `group.jpg`: a held-out scene to detect faces in.

The set shows two people only: what learns from it proves that the line runs, and is no face detector.
What the images are made of: `sample_scenes`.
"""

import pathlib

import numpy as np

from data_prep import shards
from data_prep.sample_set import sample_scenes
from mtcnn_tf.images import image_files

EVENT = "0--Samples"
NO_FACE_LINE = "0 0 0 0 0 0 0 0 0 0"
"""WIDER FACE's lists have this line after a count of 0."""


HELD_OUT_FRACTION = 0.2
"""So many scenes and portraits are written beside those to learn from, on other backgrounds."""


def write(out_dir: pathlib.Path, num_scenes: int, num_portraits: int, seed: int) -> tuple[int, int]:
    """Writes the whole set; returns the number of faces in the scenes to learn from, and in those held out.

    The same seed writes the same bytes.
    """
    num_faces = write_scenes(out_dir / "wider", sample_scenes.TRAIN, num_scenes, seed)
    num_held_out_faces = write_scenes(out_dir / "wider", sample_scenes.VAL, int(HELD_OUT_FRACTION * num_scenes), seed)
    write_portraits(out_dir / "points", sample_scenes.POINTS_TRAIN, num_portraits, seed)
    write_portraits(out_dir / "points", sample_scenes.POINTS_TEST, int(HELD_OUT_FRACTION * num_portraits), seed)
    image_files.write(out_dir / "group.jpg", sample_scenes.group(np.random.default_rng([seed, sample_scenes.GROUP]))[0])
    return num_faces, num_held_out_faces


def write_scenes(out_dir: pathlib.Path, split: int, num_scenes: int, seed: int) -> int:
    """Writes scenes in WIDER FACE's folders and text format; returns the number of faces."""
    name = {sample_scenes.TRAIN: "train", sample_scenes.VAL: "val"}[split]
    photos, lines, num_faces = sample_scenes.backgrounds(split), [], 0
    for i in range(num_scenes):
        pixels, placements = sample_scenes.scene(np.random.default_rng([seed, split, i]), photos)
        path = f"{EVENT}/0_Samples_{i:04}.jpg"
        _write_image(out_dir / f"WIDER_{name}" / "images" / path, pixels)
        lines += [path, str(len(placements)), *(_wider_line(placement.box) for placement in placements)]
        lines += [] if placements else [NO_FACE_LINE]
        num_faces += len(placements)
    list_path = out_dir / "wider_face_split" / f"wider_face_{name}_bbx_gt.txt"
    shards.write_text(list_path, "".join(line + "\n" for line in lines))
    return num_faces


def _wider_line(box: np.ndarray) -> str:
    """Left, top, width, height, and six attributes: blur, expression, illumination, invalid, occlusion, pose."""
    left, top, right, bottom = np.round(box).astype(int)
    return f"{left} {top} {right - left} {bottom - top} 0 0 0 0 0 0"


def write_portraits(out_dir: pathlib.Path, split: int, num_images: int, seed: int) -> None:
    """Writes images of one face each and their list in the five-point format."""
    name = {sample_scenes.POINTS_TRAIN: "train", sample_scenes.POINTS_TEST: "test"}[split]
    photos, lines = sample_scenes.backgrounds(split), []
    for i in range(num_images):
        pixels, placement = sample_scenes.single_portrait(np.random.default_rng([seed, split, i]), photos)
        _write_image(out_dir / name / f"{i:04}.jpg", pixels)
        left, top, right, bottom = np.round(placement.box).astype(int)
        points = " ".join(f"{value:.2f}" for value in placement.landmarks.flat)
        lines.append(f"{name}\\{i:04}.jpg {left} {right} {top} {bottom} {points}\n")
    shards.write_text(out_dir / f"{name}ImageList.txt", "".join(lines))


def _write_image(path: pathlib.Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image_files.write(path, pixels)
