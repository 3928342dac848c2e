"""Lets a detector look at images, and keeps what it found, so that scoring can be repeated without it."""

import os
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
import tqdm

from mtcnn_tf import faces, files
from mtcnn_tf.evaluation import rotation
from mtcnn_tf.images import image_files

Find = Callable[[np.ndarray], faces.Detections]
"""A detector: RGB pixels, uint8 [H, W, 3], to what was found, in any order; landmarks may be NaN."""


def detect(
    find: Find, image_paths: Sequence[str], name: str = "", rotations: Sequence[float] | None = None
) -> list[faces.Detections]:
    """What `find` finds in each image, best score first.

    Args:
        find: The detector.
        image_paths: The images.
        name: What the progress bar calls it.
        rotations: How many degrees each is rotated before; None for not at all. See `rotation.rotate`.

    Raises:
        FileNotFoundError: An image is missing.
        ValueError: An image can't be read, or the detector returns arrays that don't match.
    """
    rotations = [0] * len(image_paths) if rotations is None else rotations
    bar = tqdm.tqdm(list(zip(image_paths, rotations, strict=True)), desc=name, unit="image", disable=None)
    return [_in_order(find(rotation.rotate(image_files.read(path), degrees)), path) for path, degrees in bar]


def _in_order(found: faces.Detections, path: str) -> faces.Detections:
    num = len(found.scores)
    shapes = tuple(np.shape(values) for values in (found.boxes, found.scores, found.landmarks))
    if shapes != ((num, 4), (num,), (num, *shapes[2][1:2], 2)):
        raise ValueError(
            f"a detector must return boxes [N, 4], scores [N], landmarks [N, P, 2], got {shapes}: {path!r}"
        )
    if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
        raise ValueError(f"a detector must return finite boxes and scores, got others for {path!r}")
    order = np.argsort(-np.asarray(found.scores), kind="stable")
    return faces.Detections(*(np.asarray(v)[order] for v in (found.boxes, found.scores, found.landmarks)))


def save(path: str | os.PathLike, names: Sequence[str], detections: Sequence[faces.Detections]) -> None:
    """Writes a run to `path`, an .npz file; it appears whole or not at all.

    Args:
        path: The file.
        names: One for each image, all different, that don't depend on where the data set lies.
        detections: What was found in each.
    """
    with files.atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file,
            images=np.array(names, np.str_),
            counts=np.array([len(found) for found in detections], np.int64),
            boxes=np.concatenate([faces.no_boxes(), *(found.boxes for found in detections)]),
            scores=np.concatenate([np.zeros(0, np.float32), *(found.scores for found in detections)]),
            landmarks=faces.concatenate_landmarks([found.landmarks for found in detections]),
        )


def load(path: str | os.PathLike, names: Sequence[str]) -> list[faces.Detections]:
    """What `save` wrote of the images with these names, in their order.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds no run, or one that lacks an image.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"expected the detections of a run at {os.fspath(path)!r}, found no file")
    try:
        with np.load(path) as file:
            held = {name: file[name] for name in ("images", "counts", "boxes", "scores", "landmarks")}
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"expected the detections of a run in {os.fspath(path)!r}, got another file") from error
    ends = np.cumsum(held["counts"])
    places = dict(zip(held["images"].tolist(), map(slice, ends - held["counts"], ends), strict=True))
    missing = [name for name in names if name not in places]
    if missing:
        raise ValueError(
            f"expected a run over all {len(names)} images in {os.fspath(path)!r}, it lacks {len(missing)}, "
            f"such as {missing[0]!r}; detect again"
        )
    wanted = [places[name] for name in names]
    return [faces.Detections(held["boxes"][at], held["scores"][at], held["landmarks"][at]) for at in wanted]
