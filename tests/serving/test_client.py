"""The client against a server that runs the SavedModel and speaks TensorFlow Serving's REST, as its manual has it."""

import base64
import http.server
import json
import os
import subprocess
import sys
import threading

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import stages
from mtcnn_tf.detection import cascade, detector, exporting
from mtcnn_tf.models import networks
from serving import client

pytestmark = pytest.mark.slow

CLIENT = os.path.abspath(client.__file__)


class Handler(http.server.BaseHTTPRequestHandler):
    """`:predict` in row format: https://www.tensorflow.org/tfx/serving/api_rest."""

    def do_POST(self):
        try:
            assert self.path in ("/v1/models/cascade:predict", "/v1/models/cascade/versions/1:predict"), "not found"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(200, {"predictions": self._predict(body)})
        except Exception as error:  # the server lives on, whatever comes
            self._answer(404 if "not found" in str(error) else 400, {"error": str(error)})

    def _predict(self, body):
        inputs = {
            name: tf.constant([self._value(instance[name]) for instance in body["instances"]])
            for name in body["instances"][0]
        }
        outputs = self.server.signatures[body.get("signature_name", "serving_default")](**inputs)
        outputs = {name: values.numpy().tolist() for name, values in outputs.items()}
        return [{name: values[i] for name, values in outputs.items()} for i in range(len(body["instances"]))]

    def _value(self, value):
        is_binary = isinstance(value, dict) and set(value) == {"b64"}
        return base64.b64decode(value["b64"], validate=True) if is_binary else value

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def find_faces(tmp_path_factory):
    keras.utils.set_random_seed(3)
    whole = cascade.Cascade(
        {stage.name: networks.build(stage) for stage in stages.ON_CROPS}, thresholds=(0.3, 0.3, 0.3)
    )
    return detector.load(exporting.save(whole, tmp_path_factory.mktemp("exported")))


@pytest.fixture(scope="module")
def server(find_faces):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.signatures = find_faces.cascade.signatures
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()


def png(height, width, seed=0):
    """An image of noise and its file."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, cv2.imencode(".png", image[..., ::-1])[1].tobytes()


@pytest.mark.parametrize("version", [None, 1])
def test_finds_in_one_request_what_the_detector_finds(server, find_faces, version):
    images, encoded = zip(png(60, 80), png(1, 1), png(40, 45, seed=2), strict=True)
    answers = client.detect(list(encoded), server + "/", version=version)
    assert len(answers) == 3 and answers[1] == {"boxes": [], "scores": [], "landmarks": [], "num_errors": 0}
    for image, answer in zip(images, answers, strict=True):
        wanted = find_faces(image)
        assert len(wanted) == len(answer["scores"])
        for name in ("boxes", "scores", "landmarks"):
            values = answer[name]
            np.testing.assert_allclose(
                np.reshape(values, getattr(wanted, name).shape), getattr(wanted, name), atol=1e-3
            )
    assert len(answers[0]["scores"]) > len(answers[2]["scores"]) > 0, "one of them was padded"


def test_errors_of_the_server_are_told(server):
    with pytest.raises(ValueError, match="got an error .*not found"):
        client.detect([png(9, 9)[1]], server, model="other")
    with pytest.raises(ValueError, match="at least one image"):
        client.detect([], server)
    with pytest.raises(OSError, match="refused"):
        client.detect([png(9, 9)[1]], "http://127.0.0.1:1")


def test_a_bad_image_among_good_ones_has_no_faces_and_an_error(server, find_faces):
    image, contents = png(60, 80)
    answers = client.detect([contents, b"no image", contents[:500], contents], server)
    assert [answer["num_errors"] for answer in answers] == [0, 1, 1, 0]
    assert [len(answer["boxes"]) for answer in answers] == [len(find_faces(image)), 0, 0, len(find_faces(image))]


def test_the_program_needs_nothing_but_python(server, find_faces, tmp_path):
    image, contents = png(60, 80)
    (tmp_path / "a.png").write_bytes(contents)
    (tmp_path / "bad.png").write_bytes(contents[:500])
    result = subprocess.run(  # -I -S: neither this project nor any installed package is found
        [sys.executable, "-I", "-S", CLIENT, "nowhere.png", "bad.png", "a.png", f"--server={server}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and "nowhere.png" in result.stderr and "Traceback" not in result.stderr
    assert "bad.png: the server can't read it" in result.stderr
    (answer,) = map(json.loads, result.stdout.splitlines())
    assert answer["image"] == "a.png"
    np.testing.assert_allclose(answer["boxes"], find_faces(image).boxes, atol=1e-3)
