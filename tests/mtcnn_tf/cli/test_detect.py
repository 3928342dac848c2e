"""The program `mtcnn-detect`, as it is called."""

import csv
import http.server
import json
import os
import threading

import cv2
import keras
import numpy as np
import pytest

import mtcnn_tf
from mtcnn_tf import faces, stages
from mtcnn_tf.cli import detect, results, sources
from mtcnn_tf.datasets import annotation_lists
from mtcnn_tf.images import alignment, image_files, videos
from mtcnn_tf.models import networks
from tests import in_process

ROOT = os.path.dirname(os.path.dirname(mtcnn_tf.__file__))


@pytest.fixture(scope="module")
def networks_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks_dir")
    keras.utils.set_random_seed(3)
    for stage in stages.ON_CROPS:
        networks.build(stage).save(path / stage.network_file)
    return path


def call(*arguments):
    return in_process.run("mtcnn_tf.cli.detect", *arguments, cwd=ROOT)


def test_draws_and_lists_faces_and_steps_over_what_it_cannot_read(tmp_path, networks_dir):
    noise = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    (tmp_path / "more").mkdir()
    for name in ("a.png", "more/a.png"):
        cv2.imwrite(str(tmp_path / name), noise)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((60, 71, 3), np.uint8))
    out_dir = tmp_path / "out" / "deep"
    result = call(
        *(tmp_path / name for name in ("a.png", "bad.jpg", "nowhere.jpg", "large.png", "more/a.png")),
        f"--model={networks_dir}",
        f"--out_dir={out_dir}",
        "--thresholds=0,0,0",
        "--min_face_size=15",
        "--max_faces=4",
        "--max_pixels=4200",
    )
    assert result.returncode == 1
    for told in ("unreadable one", "nowhere.jpg", "at most 4,200 pixels, got 71 × 60", "3 of 5 sources failed"):
        assert told in result.stderr
    assert "Traceback" not in result.stderr and "%|" not in result.stderr
    assert "8 faces in 2 images" in result.stdout
    assert sorted(os.listdir(out_dir)) == ["a-2.faces.jpg", "a.faces.jpg", "detections.json"]
    assert image_files.read(out_dir / "a.faces.jpg").shape == noise.shape
    entries = json.loads((out_dir / "detections.json").read_text())
    assert [entry["image"] for entry in entries] == [str(tmp_path / "a.png"), str(tmp_path / "more/a.png")]
    assert [entry["drawing"] for entry in entries] == ["a.faces.jpg", "a-2.faces.jpg"]
    found = mtcnn_tf.load(networks_dir)(image_files.read(tmp_path / "a.png"), 15, (0, 0, 0), max_faces=4)
    np.testing.assert_allclose(entries[0]["boxes"], found.boxes, atol=1e-3)
    assert np.shape(entries[0]["landmarks"]) == (4, 5, 2) and np.shape(entries[0]["scores"]) == (4,)


@pytest.mark.slow
def test_folders_patterns_and_videos_into_every_kind_of_result(tmp_path, networks_dir):
    rng = np.random.default_rng(0)
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png", "deep/notes.txt"):
        (folder / name).write_bytes(
            cv2.imencode(".png", rng.integers(0, 256, (60, 64, 3), dtype=np.uint8))[1].tobytes()
        )
    frames = rng.integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    with videos.Writer(tmp_path / "film.mp4", 10) as writer:
        for frame in frames:
            writer.add(frame)
    out_dir = folder / "out"  # within: what is in there is not looked at
    arguments = (folder, tmp_path / "*" / "deep" / "*.png", tmp_path / "film.mp4", tmp_path / "*.bmp")
    flags = ("--thresholds=0,0,0", "--max_faces=2", "--every=2", "--write=drawings,json,jsonl,csv,crops")
    for _ in range(2):
        result = call(*arguments, f"--model={networks_dir}", f"--out_dir={out_dir}", *flags)
        assert result.returncode == 1 and "*.bmp" in result.stderr and "1 of 5 sources failed" in result.stderr
        assert "16 faces in 3 images and 5 frames" in result.stdout

    lists = {"detections.csv", "detections.json", "detections.jsonl"}
    drawings = {"a.faces.jpg", "b.faces.jpg", "b-2.faces.jpg", "film.faces.mp4"}
    assert set(os.listdir(out_dir)) == lists | drawings | {"crops"}
    entries = json.loads((out_dir / "detections.json").read_text())
    assert [json.loads(line) for line in (out_dir / "detections.jsonl").read_text().splitlines()] == entries
    assert [entry.get("image") for entry in entries] == [
        *(str(folder / name) for name in ("a.png", "deep/b.png", "deep/b.png")),
        *[None] * 5,
    ]
    watched = entries[3:]
    assert [entry["frame"] for entry in watched] == [0, 1, 2, 3, 4]
    assert [entry["seconds"] for entry in watched] == [0, 0.1, 0.2, 0.3, 0.4]
    assert [entry["reused"] for entry in watched] == [False, True, False, True, False]
    assert watched[0]["boxes"] == watched[1]["boxes"] != watched[2]["boxes"]
    assert watched[0]["identities"] == watched[1]["identities"] == [1, 2] and len(watched[4]["identities"]) == 2
    with videos.Reader(out_dir / "film.faces.mp4") as film:
        assert [frame.shape for frame in film] == [(48, 64, 3)] * 5

    with open(out_dir / "detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16 and rows[0]["source"] == str(folder / "a.png") and rows[-1]["frame"] == "4"
    assert rows[0]["identity"] == "" and int(rows[-1]["identity"]) == watched[4]["identities"][1]
    np.testing.assert_allclose(
        [float(rows[0][edge]) for edge in ("x1", "y1", "x2", "y2")], entries[0]["boxes"][0], rtol=1e-5
    )
    assert float(rows[1]["right_mouth_y"]) == pytest.approx(entries[0]["landmarks"][1][4][1], rel=1e-4)

    crops = [crop for entry in entries for crop in entry.get("crops", [])]
    assert crops[0] == "crops/a.face-1.png" and crops[-1] == "crops/film.000004.face-2.png"
    assert sorted(os.listdir(out_dir / "crops")) == sorted(os.path.basename(crop) for crop in crops)
    found = faces.Detections.from_dict(entries[0])
    np.testing.assert_array_equal(image_files.read(out_dir / crops[1]), mtcnn_tf.align(folder / "a.png", found)[1])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a.jpg", "--thresholds=0.5,0.5,7"), "--thresholds takes a number in 0–1 for each network"),
        (("a.jpg", "--model=nowhere"), "found neither"),
        (("a.jpg", "--write=jpeg"), "--write takes any of drawings, json, jsonl, csv, crops"),
    ],
)
def test_wrong_calls_are_told_in_a_sentence(tmp_path, arguments, told):
    result = call(*arguments, f"--out_dir={tmp_path / 'out'}")
    assert result.returncode == 1 and told in result.stdout + result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "out").exists()


def test_each_source_has_its_own_stem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.MOV", "3", "[x].jpg"):
        (tmp_path / name).touch()
    found, problems = sources.find(["a.jpg", "x/a.png", "a-2.jpg", "b.MOV", "0", "3", "[x].jpg", "[ab].*"], "out")
    assert problems == []
    assert [(source.kind, source.name, source.stem) for source in found] == [
        ("image", "a.jpg", "a"),
        ("image", "x/a.png", "a-2"),
        ("image", "a-2.jpg", "a-2-2"),
        ("video", "b.MOV", "b"),
        ("camera", "0", "0"),
        ("image", "3", "3"),
        ("image", "[x].jpg", "[x]"),
        ("image", "a.jpg", "a-3"),
        ("video", "b.MOV", "b-2"),
    ]


def test_images_that_nothing_reads_are_passed_over_with_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(
        annotation_lists, "IMAGE_SUFFIXES", tuple(e for e in annotation_lists.IMAGE_SUFFIXES if "hei" not in e)
    )
    for name in ("a.jfif", "b.JPE", "c.jp2", "d.mpo", "e.avif", "f.HEIC", "g.nef", "notes.txt", ".hidden.heic"):
        (tmp_path / name).touch()
    found, problems = sources.find([str(tmp_path)], "out")
    assert [os.path.basename(source.name) for source in found] == ["a.jfif", "b.JPE", "c.jp2", "d.mpo", "e.avif"]
    (problem,) = problems
    assert problem.startswith("passed over 2 images of") and "f.HEIC" in problem and "pillow-heif" in problem


class Stopped:
    """OpenCV's view of a video during whose fourth frame somebody presses Ctrl-C."""

    def __init__(self, source):
        self.num_read = 0

    def isOpened(self):
        return True

    def get(self, what):
        return 10.0

    def read(self):
        self.num_read += 1
        if self.num_read > 3:
            raise KeyboardInterrupt
        return True, np.zeros((32, 32, 3), np.uint8)

    def release(self):
        pass


@pytest.mark.parametrize("is_camera", [True, False])
def test_ctrl_c_ends_a_camera_and_keeps_what_was_found(tmp_path, monkeypatch, is_camera):
    monkeypatch.setattr(cv2, "VideoCapture", Stopped)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mp4").touch()
    detect.FLAGS.mark_as_parsed()
    nothing = faces.Detections(faces.no_boxes(), np.zeros(0, np.float32), faces.no_landmarks(0))
    with results.Results("out", ["drawings", "jsonl"]) as out:
        ended = detect._detect(["0" if is_camera else "film.mp4", "later.jpg"], lambda image: nothing, out)
    # After a camera the rest goes on; a file that is interrupted is a wish to stop.
    assert ended == ((1, 2, False) if is_camera else (0, 2, True))
    assert sorted(os.listdir("out")) == (["0.faces.mp4"] if is_camera else []) + ["detections.jsonl"]
    entries = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [entry["frame"] for entry in entries] == [0, 1, 2]
    assert out.summary() == "0 faces in 3 frames"


def test_lists_hold_at_any_moment_what_was_found(tmp_path):
    found = faces.Detections(np.float32([[1, 2, 9, 9]]), np.float32([0.5]), faces.no_landmarks(1))
    out = results.Results(str(tmp_path), ["json", "jsonl", "csv"])
    names = []
    for number in range(4):
        entries = json.loads((tmp_path / "detections.json").read_text() or "[]")
        assert [entry["image"] for entry in entries] == names
        lines = (tmp_path / "detections.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == entries
        if number:
            assert len((tmp_path / "detections.csv").read_text().splitlines()) == 1 + number
        names.append(f"Käse {number}.jpg")
        out.add_image(names[-1], str(number), np.zeros((10, 10, 3), np.uint8), found)
    with out:
        pass
    written = (tmp_path / "detections.json").read_text()
    assert written == json.dumps(json.loads(written), indent=1, ensure_ascii=False)


def test_too_many_pixels_are_told_and_the_rest_goes_on(tmp_path, networks_dir):
    image_files.write(tmp_path / "small.png", np.zeros((20, 20, 3), np.uint8))
    image_files.write(tmp_path / "large.png", np.zeros((200, 200, 3), np.uint8))
    sources_ = [tmp_path / name for name in ("small.png", "large.png", "small.png")]
    flags_ = (f"--model={networks_dir}", f"--out_dir={tmp_path / 'out'}", "--min_face_size=1", "--max_pixels=200000")
    result = call(*sources_, *flags_)
    assert result.returncode == 1 and "1 of 3 sources failed" in result.stderr and "Traceback" not in result.stderr
    assert "at most 200,000 pixels, got 5,760,000, which 200 × 200" in result.stderr
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())) == 2


class Web(http.server.BaseHTTPRequestHandler):
    """An image under three names, and what is none."""

    IMAGE = cv2.imencode(".png", np.full((20, 30, 3), 7, np.uint8))[1].tobytes()

    def do_GET(self):
        is_there = self.path != "/none.png"
        self.send_response(200 if is_there else 404)
        self.send_header("Content-Type", "video/mp4" if "watch" in self.path else "image/png")
        self.end_headers()
        self.wfile.write(self.IMAGE if is_there else b"")

    def log_message(self, *_):
        pass


def test_images_and_films_may_lie_in_the_web():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web = f"http://127.0.0.1:{server.server_address[1]}"
        paths = ["/a.png?size=3", "/photo?id=7", "/none.png", "/watch?v=1", "/b.mp4"]
        named = [*(web + path for path in paths), "rtsp://cam.example/live/", "/dev/null"]
        found, problems = sources.find(named, "out")
        assert not problems and [source.name for source in found] == named
        kinds = ["image", "image", "image", "video", "video", "camera", "camera"]
        assert [source.kind for source in found] == kinds
        assert [source.stem for source in found] == ["a", "photo", "none", "watch", "b", "live", "null"]
        for path in paths[:2]:
            assert image_files.as_rgb(sources.fetch(web + path)).shape == (20, 30, 3)
        with pytest.raises(OSError, match="expected an answer from .*none.png', got none .*404"):
            sources.fetch(web + "/none.png")
        server.shutdown()
    assert sources.fetch("a.png") == "a.png"


def test_what_was_drawn_before_is_no_image_to_look_at(tmp_path):
    given, drawn = ["a.jpg", "deep/b.jpg"], ["a.faces.jpg", "crops/a-1.png"]
    for name in [*given, *drawn, "deep/out/a.faces.jpg", "deep/out/other.jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image_files.write(tmp_path / name, np.zeros((9, 9, 3), np.uint8))

    def found_by(folder, out_dir):
        return {os.path.relpath(source.name, tmp_path) for source in sources.find([str(folder)], str(out_dir))[0]}

    everything = {*given, *drawn, "deep/out/a.faces.jpg", "deep/out/other.jpg"}
    assert found_by(tmp_path, tmp_path / "elsewhere") == everything
    assert found_by(tmp_path, tmp_path / "deep" / "out") == {*given, *drawn}
    assert found_by(tmp_path, tmp_path) == {*given, "deep/out/other.jpg"}
    assert found_by(tmp_path / "deep", tmp_path) == {"deep/b.jpg", "deep/out/other.jpg"}


def test_an_error_names_the_source(tmp_path):
    image_files.write(tmp_path / "wide.png", np.zeros((20, 200, 3), np.uint8))
    result = call(tmp_path / "wide.png", f"--out_dir={tmp_path / 'out'}", "--min_face_size=1", "--max_pixels=5000")
    assert result.returncode == 1 and f"mtcnn-detect: {tmp_path / 'wide.png'}: expected to search" in result.stderr


def test_faces_without_landmarks_are_cut_out_as_they_stand(tmp_path):
    found = faces.Detections(np.float32([[10, 20, 30, 40]]), np.float32([0.5]), faces.no_landmarks(1))
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    with results.Results(str(tmp_path), ["drawings", "json", "csv", "crops"]) as out:
        out.add_image("a.png", "a", image, found)
    crop = image_files.read(tmp_path / "crops" / "a.face-1.png")
    np.testing.assert_array_equal(crop, alignment.crop(image, found)[0])
    assert json.loads((tmp_path / "detections.json").read_text())[0]["landmarks"] == [[[None, None]] * 5]
    assert (tmp_path / "detections.csv").read_text().splitlines()[1] == "a.png,,,10,20,30,40,0.5" + "," * 10
    drawing = image_files.read(tmp_path / "a.faces.jpg")
    assert drawing.shape == image.shape


def test_odd_file_names_stay_in_the_folder_and_come_back(tmp_path):
    names = [
        "a.jpg",
        "deep/a.jpg",
        "deep/A.png",
        "line\nbreak.jpg",
        "Käse 顔 x.jpg",
        "not \udcff UTF-8.jpg",
        '"a",\\b.jpg',
    ]
    image = np.zeros((20, 20, 3), np.uint8)
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        image_files.write(tmp_path / "in" / name, image)
    out_dir = tmp_path / "out"
    found, problems = sources.find([str(tmp_path / "in"), str(tmp_path / "in" / "deep" / ".." / "a.jpg")], str(out_dir))
    assert len(found) == len(names) + 1 and not problems
    nothing = faces.Detections(np.float32([[1, 2, 9, 9]]), np.float32([0.5]), faces.no_landmarks(1))
    with results.Results(str(out_dir), list(results.KINDS)) as out:
        for source in found:
            out.add_image(source.name, source.stem, image_files.read(source.name), nothing)
    assert len(list(out_dir.glob("*.faces.jpg"))) == len(list((out_dir / "crops").iterdir())) == len(found)
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]
    entries = json.loads((out_dir / "detections.json").read_text(encoding="utf-8"))
    assert [entry["image"] for entry in entries] == [source.name for source in found]
    assert all((out_dir / entry["drawing"]).is_file() for entry in entries)
    lines = (out_dir / "detections.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == entries
    with open(out_dir / "detections.csv", newline="", encoding="utf-8") as file:
        rows = [row["source"] for row in csv.DictReader(file)]
    assert rows == [source.name.replace("\udcff", r"\udcff") for source in found]
