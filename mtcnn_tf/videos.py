"""Video files and cameras as RGB frames. Here and in `images` alone OpenCV's BGR is turned round."""

import math
import os
from collections.abc import Iterator

import cv2
import numpy as np

FRAMES_PER_SECOND = 25.0
"""Of a video that doesn't say."""


class Reader:
    """The frames of a video, RGB, uint8 [H, W, 3], in order; a context manager.

    Attributes:
        frames_per_second: As the video says.
        num_frames: As the video says, which may be wrong by some; None if it doesn't.
    """

    def __init__(self, source: str | os.PathLike | int):
        """Opens a video.

        Args:
            source: Path of a file, or number of a camera, of which 0 is the first.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is no video that OpenCV reads, or there is no such camera.
        """
        is_camera = isinstance(source, int)
        if not is_camera and not os.path.isfile(source):
            raise FileNotFoundError(f"expected a video at {os.fspath(source)!r}, found no file; check the path")
        self._capture = cv2.VideoCapture(source if is_camera else os.fspath(source))
        if not self._capture.isOpened():
            what = f"camera {source}" if is_camera else f"a video that OpenCV reads at {os.fspath(source)!r}"
            raise ValueError(f"expected {what}, could not open it; check the number or the file")
        frames_per_second = self._capture.get(cv2.CAP_PROP_FPS)
        is_known = math.isfinite(frames_per_second) and frames_per_second > 0
        self.frames_per_second = frames_per_second if is_known else FRAMES_PER_SECOND
        num_frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = int(num_frames) if math.isfinite(num_frames) and num_frames > 0 else None

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            is_read, frame = self._capture.read()
            if not is_read:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_) -> None:
        self._capture.release()


class Writer:
    """Writes frames to an MPEG-4 file, which appears whole when the context ends, or not at all if it fails."""

    def __init__(self, path: str | os.PathLike, frames_per_second: float):
        self._path = os.fspath(path)
        self._partial = f"{self._path}.{os.getpid()}.part.mp4"
        self._frames_per_second = frames_per_second
        self._shape: tuple[int, ...] | None = None
        self._writer = cv2.VideoWriter()

    def add(self, image: np.ndarray) -> None:
        """Appends a frame, RGB, uint8 [H, W, 3].

        Raises:
            ValueError: It is not of the first frame's size.
            OSError: The file could not be written.
        """
        if self._shape is None:
            self._shape = image.shape
            fourcc = cv2.VideoWriter_fourcc(*"mp4v")
            self._writer.open(self._partial, fourcc, self._frames_per_second, image.shape[1::-1])
            if not self._writer.isOpened():
                raise OSError(f"expected to write a video to {self._path!r}, could not; check the folder and OpenCV")
        if image.shape != self._shape:
            raise ValueError(
                f"expected every frame to be {self._shape}, got {image.shape}; write them to another video"
            )
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, error_type, *_) -> None:
        self._writer.release()
        if error_type is None and self._shape is not None:
            os.replace(self._partial, self._path)
        elif os.path.exists(self._partial):
            os.remove(self._partial)
