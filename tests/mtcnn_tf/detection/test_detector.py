"""What goes in, what comes out, and what stays the same through a SavedModel."""

import concurrent.futures
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading

import cv2
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import mtcnn_tf
from mtcnn_tf import faces, stages
from mtcnn_tf.detection import cascade, detector, exporting, shipped, stored_calibration
from mtcnn_tf.models import networks

EVERYTHING = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def networks_dir(tmp_path_factory):
    """A folder of untrained networks."""
    path = tmp_path_factory.mktemp("networks_dir")
    tf.keras.utils.set_random_seed(3)
    for stage in stages.ON_CROPS:
        networks.build(stage).save(path / stage.network_file)
    return path


@pytest.fixture(scope="module")
def find_faces(networks_dir):
    return detector.from_networks(networks_dir)


@pytest.fixture(scope="module")
def export_dir(networks_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported")
    exporting.save(cascade.Cascade.from_networks(networks_dir, thresholds=(0.1, 0.2, 0.3)), path, max_pixels=100_000)
    return path


@pytest.fixture(scope="module")
def saved(export_dir):
    return tf.saved_model.load(str(export_dir / "cascade" / "1"))


def test_networks_are_loaded_with_the_thresholds_that_were_chosen_for_them(networks_dir, tmp_path):
    chosen_dir = shutil.copytree(networks_dir, tmp_path / "chosen")
    assert detector.load(chosen_dir).thresholds == pytest.approx((0.6, 0.7, 0.7))
    stored_calibration.write(chosen_dir, stored_calibration.Calibration((0.25, 0.5, 0.75)), {})
    assert detector.load(chosen_dir).thresholds == (0.25, 0.5, 0.75)
    shutil.copy(chosen_dir / "rnet.keras", chosen_dir / "onet.keras")
    with pytest.raises(ValueError, match="choose again with mtcnn-calibrate"):
        detector.load(chosen_dir)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_equal(found, wanted):
    assert len(wanted) > 0
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-3)


@pytest.mark.slow
def test_no_faces_are_empty_arrays_of_the_right_shape(find_faces):
    for until in find_faces.stages:
        found = find_faces(noise(50, 50), thresholds=(1, 1, 1), until=until)
        assert isinstance(found, faces.Detections) and len(found) == 0
        assert (found.boxes.shape, found.scores.shape, found.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))
        assert {found.boxes.dtype, found.scores.dtype, found.landmarks.dtype} == {np.dtype(np.float32)}


def test_faces_lie_in_the_image_and_proposals_have_no_landmarks(find_faces):
    found = find_faces(noise(70, 50), thresholds=EVERYTHING)
    assert len(found) > 3
    assert found.boxes.min() >= 0 and found.boxes[:, 2].max() <= 50 and found.boxes[:, 3].max() <= 70
    assert np.all(found.boxes[:, 2:] > found.boxes[:, :2])
    assert np.isnan(find_faces(noise(70, 50), thresholds=EVERYTHING, until="rnet").landmarks).all()


def test_max_faces_keeps_the_best(find_faces):
    every = find_faces(noise(70, 50), thresholds=EVERYTHING)
    assert_equal(
        find_faces(noise(70, 50), thresholds=EVERYTHING, max_faces=2),
        faces.Detections(every.boxes[:2], every.scores[:2], every.landmarks[:2]),
    )
    assert len(find_faces(noise(70, 50), thresholds=EVERYTHING, max_faces=0)) == 0


@pytest.mark.slow
def test_several_threads_may_call_one_detector(find_faces):
    images = [noise(40 + 7 * (i % 12), 40 + 5 * (i % 7), seed=i) for i in range(60)]
    one_by_one = [find_faces(image, thresholds=EVERYTHING) for image in images]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(
            pool.map(lambda p: find_faces(p, thresholds=EVERYTHING), images), one_by_one, strict=True
        ):
            assert_equal(found, wanted)
    assert find_faces.cascade.until_onet.experimental_get_tracing_count() == 1


def test_a_batch_is_each_image_alone_in_order(find_faces, tmp_path):
    images = [noise(40 + 9 * (i * 5 % 7), 60 - 3 * i, seed=i) for i in range(7)]
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), images[3][..., ::-1])
    mixed = (*images[:3], path, *images[4:], noise(1, 1))
    found = find_faces.batch(iter(mixed), min_face_size=25, thresholds=EVERYTHING, max_faces=4)
    assert len(found) == 8 and len(found[7]) == 0
    for here, image in zip(found, images, strict=False):
        assert_equal(here, find_faces(image, 25, EVERYTHING, max_faces=4))
    assert find_faces.batch([]) == []


def test_images_of_one_size_go_through_the_networks_together(find_faces, monkeypatch):
    images = [noise(64, 48, seed=i) for i in range(5)] + [noise(48, 64, seed=9), np.zeros((48, 64, 3), np.uint8)]
    alone = [find_faces(image, 20, EVERYTHING, until="rnet") for image in images]
    seen, search = [], find_faces._batch_searches["rnet"]
    monkeypatch.setitem(
        find_faces._batch_searches, "rnet", lambda *given: seen.append(given[0].shape) or search(*given)
    )
    monkeypatch.setattr(detector, "_GROUP_PIXELS", 4 * 64 * 48)
    monkeypatch.setattr(detector, "_IMAGES_AT_ONCE", 6)
    interleaved = [images[5], *images[:5], images[6]]
    found = find_faces.batch(interleaved, min_face_size=20, thresholds=EVERYTHING, until="rnet")
    assert seen == [(4, 64, 48, 3)]  # the fifth and those of the other size are alone among the first six
    for here, wanted in zip(found, [alone[5], *alone[:5], alone[6]], strict=True):
        assert len(here) == len(wanted) > 0
        np.testing.assert_allclose(here.boxes, wanted.boxes, atol=1e-3)


def test_a_batch_tells_what_is_wrong_with_a_image(find_faces, tmp_path):
    with pytest.raises(FileNotFoundError, match="found no file"):
        find_faces.batch([noise(30, 30), tmp_path / "nowhere.jpg", noise(30, 30)])
    with pytest.raises(ValueError, match="min_face_size must be"):
        find_faces.batch([noise(30, 30)], min_face_size=0)


def test_a_image_may_come_as_many_things(find_faces, tmp_path):
    image = noise(60, 50)
    encoded = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    (tmp_path / "photo.png").write_bytes(encoded)
    wanted = find_faces(image, thresholds=EVERYTHING)
    for same in (tf.constant(image), image / 255, tmp_path / "photo.png", encoded, PIL.Image.fromarray(image)):
        assert_equal(find_faces(same, thresholds=EVERYTHING), wanted)
    with open(tmp_path / "photo.png", "rb") as file:
        assert_equal(find_faces(file, thresholds=EVERYTHING), wanted)
    assert_equal(find_faces(io.BytesIO(encoded), thresholds=EVERYTHING), wanted)
    assert_equal(find_faces(image[..., ::-1], thresholds=EVERYTHING, color="bgr"), wanted)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8000), (20, 8000), (8000, 20)])
def test_tiny_and_very_wide_images(find_faces, shape):
    found = find_faces(noise(*shape), thresholds=(0.5, 0, 0), max_faces=50)
    assert bool(len(found)) == (min(shape) >= 12)
    assert np.all(found.boxes <= np.tile(shape[::-1], 2))


@pytest.mark.slow
def test_a_huge_image(find_faces):
    """108 million pixels: a face is found where it is, and the rest is black."""
    image = np.zeros((9000, 12000, 3), np.uint8)
    image[4000:8000, 7000:11000] = 255
    found = find_faces(image, 3000, (0, 0, 0))
    assert len(found) > 0 and np.all(found.boxes <= (12000, 9000, 12000, 9000))


WRONG_ARGUMENTS = [
    ({"min_face_size": 0}, "min_face_size must be one number of pixels above 0, such as 20, got 0"),
    ({"min_face_size": float("nan")}, "min_face_size must be .* got nan"),
    ({"min_face_size": "30"}, "min_face_size must be .* got '30'"),
    ({"min_face_size": None}, "min_face_size must be .* got None"),
    ({"min_face_size": True}, "min_face_size must be .* got True"),
    ({"min_face_size": np.array([40.0])}, r"min_face_size must be .* got an array of shape \(1,\)"),
    ({"min_face_size": 1e39}, "min_face_size must be"),
    ({"min_face_size": 1e-60}, "min_face_size must be"),
    ({"min_face_size": 10**400}, "min_face_size must be"),
    ({"scale_factor": 1.0}, "scale_factor must be one number above 0 and at most 0.99, such as 0.709, got 1.0"),
    ({"scale_factor": 0.999999999}, "scale_factor must be"),
    ({"scale_factor": np.array([0.7])}, r"scale_factor must be .* got an array of shape \(1,\)"),
    ({"scale_factor": [0.7]}, "scale_factor must be"),
    ({"thresholds": (0.5, 0.5)}, "thresholds must be 3"),
    ({"thresholds": (0.5, 0.5, 2)}, "thresholds must be 3"),
    ({"thresholds": (0.5, 0.5, float("nan"))}, "thresholds must be 3"),
    ({"thresholds": 0.5}, "thresholds must be 3"),
    ({"thresholds": ("0.5", "0.5", "0.5")}, "thresholds must be 3"),
    ({"thresholds": ((0.5,), (0.5, 0.5), 1)}, "thresholds must be 3"),
    ({"max_faces": -1}, "max_faces must be None or a whole number from 0 on, got -1"),
    ({"max_faces": 2.0}, "max_faces must be None or a whole number from 0 on, got 2.0"),
    ({"max_faces": "2"}, "max_faces must be"),
    ({"max_faces": True}, "max_faces must be"),
    ({"color": "gbr"}, "color must be one of rgb, bgr"),
    ({"color": None}, "color must be one of rgb, bgr"),
    ({"try_rotations": "yes"}, "try_rotations must be True or False, got 'yes'"),
    ({"until": "qnet"}, "until must be one of pnet, rnet, onet"),
    ({"until": ["onet"]}, "until must be one of pnet, rnet, onet"),
]


def assert_answers_other_threads(call):
    """A refusal from inside a `tf.function` keeps its lock: another thread would wait for ever."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("is_saved", [False, True])
def test_bad_arguments_are_refused_in_a_sentence_and_stop_no_other_call(find_faces, export_dir, is_saved):
    find = mtcnn_tf.load(export_dir) if is_saved else find_faces
    for argument, message in WRONG_ARGUMENTS:
        with pytest.raises(ValueError, match=message) as error:
            find(noise(20, 20), **argument)
        assert "\n" not in str(error.value)
        with pytest.raises(ValueError, match=message):
            find.batch([noise(20, 20)], **argument)
    assert_answers_other_threads(lambda: find(noise(20, 20)))
    assert_answers_other_threads(lambda: find.batch([noise(20, 20)] * 2, until="pnet"))


def test_numbers_may_be_those_of_any_library(find_faces):
    wanted = find_faces(noise(60, 50), 24, EVERYTHING, 0.7, max_faces=3)
    for number in (np.float64, np.array, tf.constant):
        found = find_faces(noise(60, 50), number(24.0), number(EVERYTHING), number(0.7), max_faces=np.int64(3))
        assert_equal(found, wanted)


@pytest.mark.parametrize("is_saved", [False, True])
def test_no_more_pixels_are_searched_than_allowed(find_faces, export_dir, is_saved, monkeypatch):
    find = mtcnn_tf.load(export_dir) if is_saved else find_faces
    with pytest.raises(
        ValueError, match="at most 89,478,485 pixels, got 1,728,000,000, which 4000 × 3000 pixels for"
    ) as e:
        find(np.zeros((3000, 4000, 3), np.uint8), min_face_size=1)
    assert "enlarge min_face_size" in str(e.value) and "\n" not in str(e.value)
    assert len(find(noise(60, 80), 12, EVERYTHING, max_pixels=4800)) > 0
    with pytest.raises(ValueError, match="at most 4,799 pixels, got 4,800"):
        find(noise(60, 80), 12, EVERYTHING, max_pixels=4799)
    assert len(find(noise(20, 100), 4000, EVERYTHING, max_pixels=720)) > 0  # at the scale at which a face fills it
    with pytest.raises(ValueError, match="at most 719 pixels, got 720"):
        find(noise(20, 100), 4000, EVERYTHING, max_pixels=719)
    with pytest.raises(ValueError, match="at most 99 pixels, got 10 × 10"):
        find(cv2.imencode(".png", noise(10, 10))[1].tobytes(), max_pixels=99)
    with pytest.raises(ValueError, match="max_pixels must be a whole number from 1 on, got 1000.0"):
        find(noise(20, 20), max_pixels=1e3)

    def exhausted(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmany\nlines")

    monkeypatch.setitem(find._searches, "onet", exhausted)
    with pytest.raises(MemoryError, match="expected memory to search 30 × 20 pixels .* it did not suffice; enlarge"):
        find(noise(20, 30))


@pytest.mark.parametrize("image", [None, 5, "", [[1, 2], [3]], np.array([None]), noise(2, 2)[None], [b"x"]])
def test_what_is_no_image_is_refused_in_a_sentence(find_faces, image):
    with pytest.raises((ValueError, FileNotFoundError), match="^expected an image") as error:
        find_faces(image)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("images", [noise(40, 40), noise(40, 40)[..., 0], "photo.jpg", b"photo", None, 7])
def test_one_image_is_no_batch(find_faces, images):
    with pytest.raises(ValueError, match="^a batch takes several images"):
        find_faces.batch(images)
    assert len(find_faces.batch(np.stack([noise(30, 30)] * 2))) == 2


def test_a_detector_that_lacks_networks_says_so(networks_dir):
    until_rnet = detector.from_networks(networks_dir, until="rnet")
    with pytest.raises(ValueError, match="until must be one of pnet, rnet, got 'onet'"):
        until_rnet(noise(30, 30))
    assert_answers_other_threads(lambda: until_rnet(noise(30, 30), until="rnet"))
    with pytest.raises(ValueError, match="until must be one of rpn, pnet, rnet, onet, got 'qnet'"):
        detector.from_networks(networks_dir, until="qnet")
    with pytest.raises(ValueError, match="thresholds must be 3"):
        detector.from_networks(networks_dir, thresholds=0.5)
    with pytest.raises(ValueError, match="path must be the path of a folder with a detector, got 7"):
        mtcnn_tf.load(7)


@pytest.mark.slow
def test_saved_detector_is_the_same(find_faces, export_dir):
    assert sorted(os.listdir(export_dir / "cascade")) == ["1"]
    for path in (export_dir, export_dir / "cascade", export_dir / "cascade" / "1"):
        loaded = mtcnn_tf.load(path)
        np.testing.assert_allclose(loaded.thresholds, (0.1, 0.2, 0.3))
    for shape in ((60, 80), (1, 1), (33, 200)):
        for until in find_faces.stages:
            found = loaded(noise(*shape), thresholds=EVERYTHING, until=until)
            wanted = find_faces(noise(*shape), thresholds=EVERYTHING, until=until)
            if shape == (1, 1):
                assert len(found) == len(wanted) == 0
            else:
                assert_equal(found, wanted)


@pytest.mark.slow
def test_detector_of_a_folder_of_networks(networks_dir, find_faces):
    assert_equal(
        mtcnn_tf.load(networks_dir)(noise(50, 50), thresholds=EVERYTHING),
        find_faces(noise(50, 50), thresholds=EVERYTHING),
    )


def test_networks_may_compute_in_bfloat16_and_exports_have_their_own_precision(networks_dir, find_faces, export_dir):
    rough = mtcnn_tf.load(networks_dir, precision="bfloat16")
    image = noise(50, 50)
    for until in ("pnet", "onet"):
        wanted = find_faces(image, thresholds=EVERYTHING, until=until)
        found = rough(image, thresholds=EVERYTHING, until=until)
        assert found.boxes.dtype == np.float32 and len(found) and 0 < abs(found.scores[0] - wanted.scores[0]) < 0.05
    for path in (networks_dir, "default", "detector.onnx"):
        with pytest.raises(ValueError, match="precision must be one of|written with its own precision"):
            mtcnn_tf.load(path, precision="half")
    for path in (export_dir, export_dir / "cascade" / "1"):
        with pytest.raises(ValueError, match="got an export in .* leave the precision out"):
            mtcnn_tf.load(path, precision="bfloat16")


@pytest.mark.slow
def test_an_export_may_compute_in_bfloat16(networks_dir, tmp_path):
    paths = list(exporting.export(cascade.load_networks(networks_dir), str(tmp_path), precision="bfloat16"))
    assert [os.path.basename(os.path.dirname(path)) for path in paths] == ["pnet", "rnet", "onet", "cascade"]
    rough = mtcnn_tf.load(networks_dir, precision="bfloat16")
    image = noise(50, 50)
    assert_equal(mtcnn_tf.load(tmp_path)(image, thresholds=EVERYTHING), rough(image, thresholds=EVERYTHING))


class Tiny(tf.Module):
    """As little as a detector loads."""

    def __init__(self, threshold):
        super().__init__()
        self.thresholds = tf.Variable([threshold] * 3)

    @tf.function(input_signature=[tf.TensorSpec([])])
    def until_onet(self, x):
        return x


def test_highest_version_is_loaded(tmp_path):
    model_dir = tmp_path / "cascade"
    (model_dir / "90").mkdir(parents=True)  # not whole
    for number in (1, 2):
        assert exporting.save_version(Tiny(number / 10), model_dir, {}) == str(model_dir / str(number))
    (model_dir / "2").rename(model_dir / "10")
    np.testing.assert_allclose(mtcnn_tf.load(tmp_path).thresholds, 0.2)
    assert exporting.save_version(Tiny(0.3), model_dir, {}) == str(model_dir / "11")
    assert sorted(os.listdir(model_dir)) == ["1", "10", "11", "90"]


def test_a_failed_check_leaves_nothing(tmp_path):
    def fail(path):
        assert os.path.isfile(os.path.join(path, "saved_model.pb"))
        raise ValueError("differs")

    with pytest.raises(ValueError, match="differs"):
        exporting.save_version(Tiny(0.1), tmp_path / "cascade", {}, check=fail)
    assert os.listdir(tmp_path / "cascade") == []


@pytest.mark.slow
def test_signatures_agree_with_the_detector(find_faces, saved):
    image = noise(60, 80)
    wanted = find_faces(image, 24, EVERYTHING)
    found = saved.signatures["detect"](
        image=tf.constant(image), min_face_size=tf.constant(24.0), thresholds=tf.constant(EVERYTHING)
    )
    assert_equal(faces.Detections(**{name: values.numpy() for name, values in found.items()}), wanted)

    both = np.stack([noise(60, 80, seed=4), image])
    found = saved.signatures["detect_batch"](
        images=tf.constant(both), min_face_size=tf.constant(24.0), thresholds=tf.constant(EVERYTHING)
    )
    num_faces = found.pop("num_faces").numpy()
    for i, each in enumerate(find_faces.batch(both, min_face_size=24, thresholds=EVERYTHING)):
        assert_equal(faces.Detections(**{name: values[i][: num_faces[i]] for name, values in found.items()}), each)

    several = [image, noise(1, 1), noise(90, 40)[..., :1], noise(30, 30)]
    jpeg = tf.io.encode_jpeg(several[3])
    encoded = tf.stack([*(tf.io.encode_png(each) for each in several[:3]), jpeg])
    several[3] = tf.io.decode_jpeg(jpeg).numpy()
    found = saved.signatures["serving_default"](image_bytes=encoded)
    num_faces = found.pop("num_faces").numpy()
    assert not found.pop("num_errors").numpy().any()
    assert num_faces.dtype == np.int32 and num_faces[1] == 0
    for i, each in enumerate(several):
        wanted = find_faces(each, thresholds=(0.1, 0.2, 0.3))
        assert num_faces[i] == len(wanted)
        for name, values in found.items():
            assert len(values[i]) == num_faces.max()
            np.testing.assert_allclose(values[i][: num_faces[i]], getattr(wanted, name), atol=1e-3)
            assert not np.any(values[i][num_faces[i] :])


def run_apart(program, model_dir, folder):
    """Runs a program that doesn't find this project."""
    subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(program), model_dir, folder],
        cwd=folder,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


@pytest.mark.slow
def test_saved_model_needs_nothing_of_this_project(find_faces, export_dir, tmp_path):
    """So has TensorFlow Serving it: without Python functions of anybody, and with files of every sort."""
    np.save(tmp_path / "image.npy", noise(60, 80))
    good, large = (cv2.imencode(".png", noise(60, width)[..., ::-1])[1].tobytes() for width in (80, 2000))
    np.savez(tmp_path / "files.npz", *map(np.void, (b" ", good, large, b"no image", good[:-20], good)))
    program = """
        import sys
        sys.modules["mtcnn_tf"] = None  # an import of it fails
        import numpy as np, tensorflow as tf
        model_dir, folder = sys.argv[1:]
        image = np.load(folder + "/image.npy")
        saved = tf.saved_model.load(model_dir)
        found = saved.until_onet(tf.constant(image), tf.constant(20.0), tf.zeros([3]), tf.constant(0.709))
        np.savez(folder + "/found.npz", **{name: values.numpy() for name, values in found.items()})
        with np.load(folder + "/files.npz") as files:
            encoded = tf.constant([file.tobytes() for file in files.values()])
        found = saved.signatures["serving_default"](encoded)
        np.savez(folder + "/served.npz", **{name: values.numpy() for name, values in found.items()})
    """
    run_apart(program, export_dir / "cascade" / "1", tmp_path)
    with np.load(tmp_path / "found.npz") as found:
        assert_equal(faces.Detections(**found), find_faces(noise(60, 80), thresholds=EVERYTHING))
    wanted = find_faces(noise(60, 80), thresholds=(0.1, 0.2, 0.3))
    with np.load(tmp_path / "served.npz") as served:
        assert served["num_errors"].tolist() == [1, 0, 1, 1, 1, 0]
        assert served["num_faces"].tolist() == [0, len(wanted), 0, 0, 0, len(wanted)]
        for i in (1, 5):
            assert_equal(faces.Detections(*(served[name][i] for name in ("boxes", "scores", "landmarks"))), wanted)
        assert not served["boxes"][[0, 2, 3, 4]].any()


@pytest.mark.slow
def test_a_request_may_not_have_its_image_enlarged_without_end(saved):
    for min_face_size in (1e-3, 0.0, float("nan")):
        with pytest.raises(tf.errors.InvalidArgumentError, match="at most 100,000 pixels.*enlarge min_face_size"):
            saved.signatures["detect"](
                image=tf.constant(noise(60, 80)),
                min_face_size=tf.constant(min_face_size),
                thresholds=tf.constant(EVERYTHING),
            )
    frames = tf.zeros([30, 60, 80, 3], tf.uint8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 100,000 pixels.*enlarge min_face_size"):
        saved.signatures["detect_batch"](
            images=frames, min_face_size=tf.constant(12.0), thresholds=tf.constant(EVERYTHING)
        )


def test_load_says_what_is_missing(tmp_path, networks_dir, monkeypatch):
    with pytest.raises(FileNotFoundError, match="found neither"):
        mtcnn_tf.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="found neither"):
        mtcnn_tf.load(tmp_path / "nowhere")
    (tmp_path / "pnet.keras").write_bytes((networks_dir / "pnet.keras").read_bytes())
    with pytest.raises(FileNotFoundError, match="train.py --stage=rnet"):
        mtcnn_tf.load(tmp_path)


def test_shipped_weights_are_checked_and_bring_their_thresholds(tmp_path, networks_dir, monkeypatch):
    monkeypatch.setattr(shipped, "_WEIGHTS_DIR", str(tmp_path.parent))
    monkeypatch.setattr(shipped, "NAMES", ("default", tmp_path.name))
    load = functools.partial(mtcnn_tf.load, tmp_path.name)
    with pytest.raises(FileNotFoundError, match="weights that come with the package.*install it again"):
        load()
    digests = {}
    for name in ("pnet.keras", "rnet.keras", "onet.keras"):
        (tmp_path / name).write_bytes((networks_dir / name).read_bytes())
        digests[name] = hashlib.sha256((networks_dir / name).read_bytes()).hexdigest()
    (tmp_path / "weights.json").write_text(json.dumps({"thresholds": [0.5, 0.25, 0.125], "sha256": digests}))
    assert load().thresholds == (0.5, 0.25, 0.125)
    (tmp_path / "rnet.keras").write_bytes((networks_dir / "rnet.keras").read_bytes() + b" ")
    with pytest.raises(ValueError, match="expected rnet.keras as it was shipped"):
        load()


def test_load_refuses_two_first_stages(tmp_path, networks_dir):
    for name in ("rpn.keras", "pnet.keras"):
        (tmp_path / name).write_bytes((networks_dir / "pnet.keras").read_bytes())
    with pytest.raises(ValueError, match="expected one first stage in .*, got rpn.keras and pnet.keras"):
        mtcnn_tf.load(tmp_path)


def test_load_refuses_another_saved_model(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(ValueError, match="expected a whole cascade"):
        mtcnn_tf.load(tmp_path / "other")


def test_package_is_light():
    program = "import mtcnn_tf, sys; mtcnn_tf.Detections; dir(mtcnn_tf); assert 'tensorflow' not in sys.modules"
    root = os.path.dirname(os.path.dirname(mtcnn_tf.__file__))
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
    assert mtcnn_tf.Detections is faces.Detections
    assert set(mtcnn_tf.__all__) <= set(dir(mtcnn_tf))
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = mtcnn_tf.lode
