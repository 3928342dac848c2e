"""Videos there and back."""

import cv2
import numpy as np
import pytest

from mtcnn_tf.images import videos


def coloured(colour):
    return np.full((48, 64, 3), colour, np.uint8)


def test_frames_come_back_in_order_and_as_rgb(tmp_path):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    with videos.Writer(tmp_path / "film.mp4", 12.5) as writer:
        for colour in colours:
            writer.add(coloured(colour))
        assert not (tmp_path / "film.mp4").exists()
    with videos.Reader(tmp_path / "film.mp4") as video:
        assert video.frames_per_second == pytest.approx(12.5) and video.num_frames == 3
        frames = list(video)
    assert len(frames) == 3
    for frame, colour in zip(frames, colours, strict=True):
        assert frame.shape == (48, 64, 3) and frame.dtype == np.uint8
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), colour, atol=12)


def test_a_failed_video_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="every frame to be"), videos.Writer(tmp_path / "film.mp4", 10) as writer:
        writer.add(coloured(0))
        writer.add(coloured(0)[:, ::2])
    with videos.Writer(tmp_path / "empty.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(OSError, match="expected to write a video"),
        videos.Writer(tmp_path / "no" / "f.mp4", 9) as writer,
    ):
        writer.add(coloured(0))


def test_what_is_no_video_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="film.mp4"):
        videos.Reader(tmp_path / "film.mp4")
    (tmp_path / "film.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match="film.mp4"):
        videos.Reader(tmp_path / "film.mp4")
    with pytest.raises(ValueError, match="camera 77"):
        videos.Reader(77)


class Camera:
    """OpenCV's view of a camera that knows nothing of itself and gives two frames."""

    def __init__(self, source):
        assert source == 0
        self.num_left = 2

    def isOpened(self):
        return True

    def get(self, what):
        return {cv2.CAP_PROP_FPS: 0.0, cv2.CAP_PROP_FRAME_COUNT: -1.0}[what]

    def read(self):
        self.num_left -= 1
        return self.num_left >= 0, coloured((1, 2, 3))

    def release(self):
        self.num_left = 0


def test_a_camera(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    with videos.Reader(0) as camera:
        assert camera.num_frames is None and camera.frames_per_second == 25
        frames = list(camera)
    assert len(frames) == 2 and tuple(frames[0][0, 0]) == (3, 2, 1)


def film(path, codec, damage=None):
    """A film of 40 frames that get brighter, of which a part of the file is zero or missing."""
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (64, 48))
    for index in range(40):
        writer.write((rng.integers(0, 90, (48, 64, 3)) + index * 3).astype(np.uint8))
    writer.release()
    contents = bytearray(path.read_bytes())
    if damage == "middle":
        start, end = len(contents) // 2, len(contents) * 6 // 10
        contents[start:end] = bytes(end - start)
    path.write_bytes(contents[: len(contents) // 2] if damage == "cut" else contents)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "damage", "fewest"),
    [
        ("film.mp4", "mp4v", "middle", 30),
        ("film.avi", "MJPG", "middle", 30),
        ("film.avi", "MJPG", "cut", 15),
        ("film.mkv", "mp4v", "middle", 25),
        ("film.mkv", "mp4v", "cut", 12),
    ],
)
def test_a_damaged_film_is_read_on_and_told(tmp_path, name, codec, damage, fewest):
    with videos.Reader(film(tmp_path / name, codec)) as video:
        frames = list(video)
        assert (len(frames), video.num_read, video.num_lost) == (40, 40, 0)
        video.check_complete()
    with videos.Reader(film(tmp_path / name, codec, damage)) as video:
        found = list(video)
        assert fewest <= len(found) < 40 and video.num_lost == 40 - len(found)
        told = f"expected 40 frames of .*{name}', could read {len(found)}; the file is damaged or cut short"
        with pytest.raises(ValueError, match=told):
            video.check_complete()
    if damage == "middle":
        np.testing.assert_allclose(found[-1].mean(), frames[-1].mean(), atol=3)  # the end is there


def test_addresses_and_devices_go_to_opencv(monkeypatch):
    opened = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: opened.append(source) or Camera(0))
    for source in ("rtsp://10.0.0.1/live", "http://10.0.0.1/mjpg", "/dev/null"):
        with videos.Reader(source) as camera:
            assert len(list(camera)) == 2
            camera.check_complete()
    assert opened == ["rtsp://10.0.0.1/live", "http://10.0.0.1/mjpg", "/dev/null"]
