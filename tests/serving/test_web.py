"""The page in headless Chromium, with LiteRT from npm: what it draws is what the package finds."""

import functools
import http.server
import json
import pathlib
import threading

import cv2
import numpy as np
import pytest

import mtcnn_tf
from data_prep.sample_set import sample_scenes
from mtcnn_tf.images import image_files
from tests import in_process
from tests.serving import browser

WEB = pathlib.Path(__file__).parents[2] / "serving" / "web"

DROP = """
(() => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["no picture"], "dropped.png"));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
})()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="npm install was not run in serving/web"),
]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("exported")
    result = in_process.run("export", "--networks=default", "--format=litert", f"--out_dir={out_dir}")
    assert result.returncode == 0, result.stderr
    return out_dir / "detector_480x640_float32.tflite"


@pytest.fixture
def site(tmp_path):
    """The page's folder, without a model."""
    site = tmp_path / "site"
    site.mkdir()
    for path in WEB.iterdir():
        if path.suffix != ".tflite":
            (site / path.name).symlink_to(path)
    return site


@pytest.fixture
def server(site):
    handler = functools.partial(Handler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_address[1]}/"
        listener.shutdown()


@pytest.fixture
def page(site, server, model_path):
    (site / "detector.tflite").symlink_to(model_path)
    with browser.opened(server) as page:
        page.wait_for("document.querySelector('#state')?.textContent.startsWith('Ready')")
        yield page
        assert all(address.startswith((server, "data:", "blob:")) for address in page.requested)


@pytest.fixture(scope="module")
def portrait():
    """Small enough for the model to see it as it is."""
    return sample_scenes.portraits()[0].pixels[:480]


@pytest.fixture(scope="module")
def wanted(portrait):
    """What the package finds."""
    return mtcnn_tf.load()(portrait)


def found(page):
    """What the page found, once it has."""
    page.wait_for("/face/.test(document.querySelector('#state').textContent)")
    return mtcnn_tf.Detections.from_dict(json.loads(page.run("document.querySelector('#numbers').textContent")))


def problem(page):
    return page.wait_for("document.querySelector('#problem')?.textContent")


@pytest.mark.parametrize("scale", [1, 2])
def test_finds_in_a_picture_what_the_package_finds(page, portrait, wanted, tmp_path, scale):
    picture = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    image_files.write(tmp_path / "portrait.png", picture)
    page.choose_file("#file", tmp_path / "portrait.png")
    faces = found(page)
    assert len(faces) == len(wanted) == 1
    np.testing.assert_allclose(faces.boxes / scale, wanted.boxes, atol=2)
    np.testing.assert_allclose(faces.landmarks / scale, wanted.landmarks, atol=2)
    np.testing.assert_allclose(faces.scores, wanted.scores, atol=0.02)
    size = page.run("[document.querySelector('#view').height, document.querySelector('#view').width]")
    assert tuple(size) == picture.shape[:2]


def test_the_threshold_hides_faces(page, portrait, tmp_path):
    image_files.write(tmp_path / "portrait.png", portrait)
    page.choose_file("#file", tmp_path / "portrait.png")
    assert len(found(page)) == 1
    page.run("threshold.value = 1, threshold.dispatchEvent(new Event('input'))")
    assert len(found(page)) == 0 and page.run("state.textContent").startswith("No face")


def test_finds_faces_before_the_camera(site, server, model_path, portrait, wanted, tmp_path):
    (site / "detector.tflite").symlink_to(model_path)
    write_video(tmp_path / "camera.y4m", portrait)
    camera = (
        *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
        f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}",
    )
    with browser.opened(server, *camera) as page:
        page.wait_for("document.querySelector('#state')?.textContent.startsWith('Ready')")
        page.click("#camera")
        faces = found(page)
        assert len(faces) == 1
        np.testing.assert_allclose(faces.boxes, wanted.boxes, atol=5)  # a video's colours are coarser
        assert page.run("camera.textContent") == "Stop the camera"
        page.click("#camera")
        assert page.run("camera.textContent") == "Use the camera"


def write_video(path, image):
    """A frame, as a file that Chromium takes for a camera."""
    height, width = image.shape[:2]
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F10:1 Ip C420\nFRAME\n".encode() + planes.tobytes())


def test_what_is_wrong_is_told_in_a_sentence(page, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    page.choose_file("#file", tmp_path / "notes.png")
    assert problem(page) == "notes.png can't be read as a picture: choose a JPEG, PNG or WebP file."
    page.run(DROP)
    page.wait_for("problem.textContent.startsWith('dropped.png can\\'t be read')")
    page.click("#camera")  # there is none, or it may not be used
    page.wait_for("problem.textContent.startsWith('The camera ')")


@pytest.mark.parametrize(("contents", "told"), [(None, "There is no model at"), (b"no model" * 99, "is no detector")])
def test_a_model_that_is_missing_is_told(site, server, contents, told):
    if contents:
        (site / "detector.tflite").write_bytes(contents)
    with browser.opened(server) as page:
        assert told in problem(page)
        assert page.run("document.querySelector('#controls').disabled")


def test_a_runtime_that_is_missing_is_told(site, server):
    (site / "node_modules").unlink()
    with browser.opened(server) as page:
        assert "run npm install" in problem(page)
