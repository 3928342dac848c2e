"""What `mtcnn-detect` writes: drawings, lists of the detections in three formats, aligned faces."""

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterator
from typing import TextIO

import numpy as np

from mtcnn_tf import faces
from mtcnn_tf.images import alignment, drawing, image_files, videos

LISTS = {"json": "detections.json", "jsonl": "detections.jsonl", "csv": "detections.csv"}
KINDS = ("drawings", *LISTS, "crops")
CROPS_DIR = "crops"
DRAWING_ENDING = ".faces.jpg"


def csv_columns(num_points: int) -> list[str]:
    """The names of a CSV list's columns, where faces have so many landmarks: five are named, others numbered from 0."""
    is_five = num_points == len(faces.LANDMARK_NAMES)
    points = faces.LANDMARK_NAMES if is_five else [f"point_{i}" for i in range(num_points)]
    of_face = ["source", "frame", "identity", "x1", "y1", "x2", "y2", "score"]
    return of_face + [f"{point}_{axis}" for point in points for axis in "xy"]


class Results:
    """A folder of results; a context manager.

    The lists hold at any moment what was found up to then, even if the process is killed.
    """

    def __init__(self, out_dir: str, kinds: list[str]):
        """Makes the folder, and begins the lists.

        Args:
            out_dir: Where to write.
            kinds: Which of `KINDS`.
        """
        os.makedirs(out_dir, exist_ok=True)
        self._out_dir = out_dir
        self._kinds = kinds
        self._counts = {"faces": 0, "images": 0, "frames": 0}
        self._open_files = contextlib.ExitStack()
        self._lists = {kind: self._open(kind) for kind in LISTS if kind in kinds}
        self._json = _JsonList(self._lists["json"]) if "json" in kinds else None
        self._lines = self._lists.get("jsonl")
        self._rows = csv.writer(self._lists["csv"], lineterminator="\n") if "csv" in kinds else None
        if "crops" in kinds:
            os.makedirs(os.path.join(out_dir, CROPS_DIR), exist_ok=True)

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, *_: object) -> None:
        self._open_files.close()

    def summary(self) -> str:
        """What was written, in a few words: "8 faces in 2 images"."""
        where = [f"{self._counts[what]} {what}" for what in ("images", "frames") if self._counts[what]]
        return f"{self._counts['faces']} faces in {' and '.join(where) or '0 images'}"

    def add_image(self, name: str, stem: str, image: np.ndarray, found: faces.Detections) -> None:
        """Writes what was found in an image."""
        entry = {"image": name}
        if "drawings" in self._kinds:
            entry["drawing"] = f"{stem}{DRAWING_ENDING}"
            image_files.write(os.path.join(self._out_dir, entry["drawing"]), drawing.draw(image, found))
        self._add(entry, f"{stem}.face", image, found)

    def add_frame(self, video: str, stem: str, entry: dict, image: np.ndarray, found: faces.Detections) -> None:
        """Writes what was found in a frame of a video, besides its drawing.

        Args:
            video: Its name.
            stem: How the names of its results begin.
            entry: What else is known: `frame`, `identities`, and whatever shall go into JSON.
            image: The frame.
            found: Its faces.
        """
        self._add({"video": video, **entry}, f"{stem}.{entry['frame']:06d}.face", image, found)

    @contextlib.contextmanager
    def video_drawing(self, stem: str, frames_per_second: float) -> Iterator[Callable[..., None]]:
        """A function that draws the next frame of the video; it takes what `drawing.draw` takes."""
        if "drawings" not in self._kinds:
            yield lambda *frame: None
            return
        with videos.Writer(os.path.join(self._out_dir, f"{stem}.faces.mp4"), frames_per_second) as writer:
            yield lambda *frame: writer.add(drawing.draw(*frame))

    def _add(self, entry: dict, crop_stem: str, image: np.ndarray, found: faces.Detections) -> None:
        is_reused = entry.get("reused", False)
        if "crops" in self._kinds and not is_reused:
            entry["crops"] = [f"{CROPS_DIR}/{crop_stem}-{i + 1}.png" for i in range(len(found))]
            for crop_name, crop in zip(entry["crops"], _crops(image, found), strict=True):
                image_files.write(os.path.join(self._out_dir, crop_name), crop)
        if self._rows and not self._counts["images"] + self._counts["frames"]:
            self._rows.writerow(csv_columns(found.landmarks.shape[1]))
        self._counts["faces"] += len(found)
        self._counts["frames" if "frame" in entry else "images"] += 1
        entry |= found.to_dict()
        if self._json:
            self._json.add(entry)
        if self._lines:
            self._lines.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
        if self._rows:
            source = entry.get("image", entry.get("video"))
            for face, identity in zip(found, entry.get("identities", [""] * len(found)), strict=True):
                numbers = (*face.box, face.score, *face.landmarks.ravel())
                texts = ("" if np.isnan(number) else f"{number:.6g}" for number in numbers)
                row = [source, entry.get("frame", ""), identity, *texts]
                self._rows.writerow(row)
        for file in self._lists.values():
            file.flush()

    def _open(self, kind: str) -> TextIO:
        """A list's file, that stays open as long as the context."""
        path = os.path.join(self._out_dir, LISTS[kind])
        # File names that aren't UTF-8 are escaped, in JSON so that reading gives the same name.
        return self._open_files.enter_context(open(path, "w", encoding="utf-8", errors="backslashreplace", newline=""))


class _JsonList:
    """A list in a JSON file that is closed again after each entry."""

    def __init__(self, file: TextIO):
        self._file, self._end, self._begin = file, file.tell(), "["
        file.write("[]")

    def add(self, entry: dict) -> None:
        """Writes an entry over the list's end, and a new end."""
        self._file.seek(self._end)
        written = json.dumps([entry], indent=1, ensure_ascii=False, allow_nan=False)
        self._file.write(self._begin + written.removeprefix("[").removesuffix("\n]"))
        self._end, self._begin = self._file.tell(), ","
        self._file.write("\n]")


def _crops(image: np.ndarray, found: faces.Detections) -> np.ndarray:
    """The faces turned upright, or as they stand where the detector doesn't find the five landmarks."""
    has_five = found.landmarks.shape[1:] == alignment.TEMPLATE.shape and np.isfinite(found.landmarks).all()
    return alignment.align(image, found) if has_five else alignment.crop(image, found)
