"""The example of a server with several processes, as it is started."""

import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

import mtcnn_tf

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

ROOT = pathlib.Path(__file__).parents[2]
PHOTO = ROOT / "docs" / "images" / "found.jpg"


def ask(server, contents, query=""):
    """Status and answer."""
    request = urllib.request.Request(f"{server}/detect{query}", contents)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "serving.app:app", "--workers=2", f"--port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Its answer to a long start would be to start a worker anew.
    process = subprocess.Popen([*command, "--timeout-worker-healthcheck=120"], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                ask(f"http://127.0.0.1:{port}", b"")
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_several_processes_find_what_the_detector_finds(server):
    wanted = mtcnn_tf.load()(PHOTO, min_face_size=60)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ask(server, PHOTO.read_bytes(), "?min_face_size=60"), range(6)))
    assert [status for status, _ in answers] == [200] * 6 and len(wanted) > 0
    for _, answer in answers:
        np.testing.assert_allclose(answer["boxes"], wanted.boxes, atol=1e-2)
        np.testing.assert_allclose(answer["scores"], wanted.scores, atol=1e-3)


def test_what_is_wrong_is_told_in_a_sentence(server):
    for contents, query, status, told in (
        (b"no image", "", 400, "unreadable one"),
        (PHOTO.read_bytes(), "?min_face_size=0", 400, "min_face_size must be one number of pixels above 0"),
        (PHOTO.read_bytes(), "?min_face_size=0.5", 400, "expected to search at most 25,000,000 pixels"),
        (bytes(20_000_001), "", 413, "at most 20,000,000 bytes"),
    ):
        found, answer = ask(server, contents, query)
        assert found == status and told in answer["detail"]
