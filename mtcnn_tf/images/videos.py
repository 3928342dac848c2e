"""Video files and cameras as RGB frames. Here and in `images` alone OpenCV's BGR is turned round."""

import math
import os
from collections.abc import Iterator

import cv2
import numpy as np

_MOST_MISSING = 0.01
"""Some formats tell how long they are and not how many frames they have: the number may be wrong by one, or by this."""
FRAMES_PER_SECOND = 25.0
"""Of a video that doesn't say."""


STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "mms")
"""What addresses of streams begin with, beside http and https."""


def is_address(source: str) -> bool:
    """Whether `source` is an address that OpenCV may read a video from."""
    return source.partition("://")[0].lower() in (*STREAMS, "http", "https") and "://" in source


class Reader:
    """The frames of a video, RGB, uint8 [H, W, 3], in order; a context manager.

    Attributes:
        frames_per_second: As the video says.
        num_frames: As the video says, which may be wrong by some; None if it doesn't.
        num_read: How many frames were given up to now.
        num_lost: How many of those announced could not be read up to now.
    """

    def __init__(self, source: str | os.PathLike | int):
        """Opens a video.

        Args:
            source: Path of a file or a device, address of a stream, or number of a camera, of which 0 is the first.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is no video that OpenCV reads, or there is no such camera.
        """
        name = source if isinstance(source, int) else os.fspath(source)
        if isinstance(name, str) and not is_address(name) and not _is_there(name):
            raise FileNotFoundError(f"expected a video at {name!r}, found no file; check the path")
        self._name = name
        self.num_read = self.num_lost = self._num_bad = 0
        self._capture = cv2.VideoCapture(name)
        if not self._capture.isOpened():
            what = f"camera {name}" if isinstance(name, int) else f"a video that OpenCV reads at {name!r}"
            raise ValueError(f"expected {what}, could not open it; check the number or the file")
        frames_per_second = self._capture.get(cv2.CAP_PROP_FPS)
        is_known = math.isfinite(frames_per_second) and frames_per_second > 0
        self.frames_per_second = frames_per_second if is_known else FRAMES_PER_SECOND
        num_frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = int(num_frames) if math.isfinite(num_frames) and num_frames > 0 else None

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames; of a damaged file those behind the bad ones, too, where its format allows it."""
        while True:
            is_read, frame = self._capture.read()
            if is_read:
                self.num_read += 1
                self._num_bad = self.num_lost  # a frame that is followed by a good one was there and is damaged
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            elif self.num_frames is None or self.num_read + self.num_lost >= self.num_frames:
                return
            else:
                self.num_lost += 1

    def check_complete(self) -> None:
        """Raises `ValueError` where, after the last frame, one was damaged or some that were announced are missing."""
        if self._num_bad or self.num_lost > max(1, (self.num_frames or 0) * _MOST_MISSING):
            raise ValueError(
                f"expected {self.num_frames:,} frames of {self._name!r}, could read {self.num_read:,}; the file is "
                "damaged or cut short, what was found in the others is written"
            )

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()


def _is_there(path: str | os.PathLike) -> bool:
    return os.path.exists(path) and not os.path.isdir(path)


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
            fourcc = cv2.VideoWriter.fourcc("m", "p", "4", "v")
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

    def __exit__(self, error_type: object, *_: object) -> None:
        self._writer.release()
        if error_type is None and self._shape is not None:
            os.replace(self._partial, self._path)
        elif os.path.exists(self._partial):
            os.remove(self._partial)
