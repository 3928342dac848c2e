"""The detector as one graph of fixed shapes, in TensorFlow and in the runtimes that it is for."""

import concurrent.futures
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import skimage.data
import tensorflow as tf

import mtcnn_tf
from mtcnn_tf import landmark_sets, runtimes
from mtcnn_tf.detection import cascade, conversion, detector, portable
from mtcnn_tf.detection.final_scores import NOT_CALIBRATED, ScoreWeights
from mtcnn_tf.images import image_files
from mtcnn_tf.models import networks
from tests import in_process
from tests.mtcnn_tf.detection import test_cascade

SIZE = (150, 210)
EVERYTHING = 1000


@pytest.fixture(scope="module")
def models():
    made = test_cascade.random_networks(margin=1.3)
    return {name: made[name] for name in ("rpn", "onet")}


def image_of(size, seed=0):
    photograph = skimage.data.astronaut()[:300, 80:480]
    return np.roll(photograph, 31 * seed, axis=(0, 1))[: size[0], : size[1]]


def thresholds_for(find, image, min_face_size):
    first = test_cascade.gap_near(find(image, min_face_size, (0, 0), until="rpn").scores, 0.4)
    return first, test_cascade.gap_near(find(image, min_face_size, (first, 0)).scores, 0.5)


def told_by(found):
    count = int(found["num_faces"])
    assert not any(np.any(found[name][count:]) for name in ("boxes", "scores", "landmarks"))
    return [found[name][:count] for name in ("boxes", "scores", "landmarks")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "min_face_size", "score_weights"),
    [
        (SIZE, 20, NOT_CALIBRATED),
        ((97, 64), 24, ScoreWeights(0.8, 0.5, -0.3, 0.2)),
        ((40, 300), 9, ScoreWeights(0.7, 0.3)),
    ],
)
def test_it_finds_what_the_cascade_finds(models, size, min_face_size, score_weights):
    find = detector.Detector(cascade.Cascade(models, score_weights=score_weights))
    thresholds = thresholds_for(find, image_of(size), min_face_size)
    fixed = portable.Portable(
        models, size, thresholds, score_weights, min_face_size, max_faces=EVERYTHING, max_proposals=EVERYTHING
    )
    for seed in range(2):
        image = image_of(size, seed)
        wanted = find(image, min_face_size, thresholds)
        assert len(wanted) >= 3
        found = told_by({name: x.numpy() for name, x in fixed.detect(tf.constant(image)).items()})
        test_cascade.assert_same_faces(wanted, *found, atol=0.01)


@pytest.mark.slow
def test_it_finds_the_points_that_onet_has_learnt(models):
    others = {**models, "onet": networks.with_landmark_set(models["onet"], landmark_sets.IBUG)}
    find, image = detector.Detector(cascade.Cascade(others)), image_of(SIZE)
    thresholds = thresholds_for(find, image, 20)
    fixed = portable.Portable(
        others, SIZE, thresholds, NOT_CALIBRATED, 20, max_faces=EVERYTHING, max_proposals=EVERYTHING
    )
    wanted, found = find(image, 20, thresholds), fixed.detect(tf.constant(image))
    assert len(wanted) >= 3 and wanted.landmarks.shape[1:] == (68, 2)
    assert found["landmarks"].shape == (EVERYTHING, 68, 2)
    test_cascade.assert_same_faces(wanted, *told_by({name: x.numpy() for name, x in found.items()}), atol=0.01)


@pytest.mark.slow
def test_landmarks_may_have_crops_of_their_own(models):
    models = {**models, "onet": networks.with_landmark_branch(models["onet"], landmark_margin=1.0)}
    find = detector.Detector(cascade.Cascade(models))
    thresholds = thresholds_for(find, image_of(SIZE), 20)
    fixed = portable.Portable(models, SIZE, thresholds, max_faces=EVERYTHING, max_proposals=EVERYTHING)
    wanted = find(image_of(SIZE), 20, thresholds)
    found = told_by({name: x.numpy() for name, x in fixed.detect(tf.constant(image_of(SIZE))).items()})
    test_cascade.assert_same_faces(wanted, *found, atol=0.01)


@pytest.mark.slow
def test_the_best_faces_are_kept_where_there_are_more(models):
    all_of_them = portable.Portable(models, SIZE, (0.1, 0.1), max_faces=EVERYTHING).detect(tf.constant(image_of(SIZE)))
    few = portable.Portable(models, SIZE, (0.1, 0.1), max_faces=3).detect(tf.constant(image_of(SIZE)))
    assert all_of_them["num_faces"] > 3 == few["num_faces"]
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_allclose(few[name], all_of_them[name][:3], atol=1e-3)


@pytest.mark.slow
def test_a_box_far_from_its_square_is_no_face(models):
    num_found = {}
    for top in (0.95, 1.05):
        changed = {**models, "onet": test_cascade.onet_that_tells_of(top)}
        found = portable.Portable(changed, SIZE, (0.1, 0.1)).detect(tf.constant(image_of(SIZE)))
        num_found[top] = int(found["num_faces"])
    assert num_found[0.95] > 0 == num_found[1.05]


@pytest.mark.parametrize("thresholds", [(0.2,), (0.2, 0.3, 0.9), (0.2, 2)])
def test_a_threshold_for_each_of_the_two_is_wanted(models, thresholds):
    with pytest.raises(ValueError, match="thresholds must be 2 numbers in 0–1, one for each network, got"):
        portable.Portable(models, SIZE, thresholds)


def test_nothing_is_found_above_the_highest_score(models):
    found = portable.Portable(models, SIZE, (1, 1)).detect(tf.constant(image_of(SIZE)))
    assert found["num_faces"] == 0 and told_by({name: x.numpy() for name, x in found.items()})


@pytest.mark.slow
def test_a_look_at_large_faces_is_part_of_it(models):
    """An image so large that the RPN looks twice."""
    size = (900, 700)
    image = np.tile(image_of((300, 350)), (3, 2, 1))
    find = detector.Detector(cascade.Cascade(models))
    thresholds = (test_cascade.gap_near(find(image, 20, (0, 0), until="rpn").scores, 0.1), 0.0)
    fixed = portable.Portable(models, size, thresholds, max_faces=EVERYTHING, max_proposals=EVERYTHING)
    assert len(fixed._scales) == 2
    found = fixed.detect(tf.constant(image))
    assert int(found["num_faces"]) == len(find(image, 20, thresholds))


@pytest.mark.parametrize("names", [("pnet", "rnet", "onet"), ("rpn", "rnet", "onet"), ("rpn",)])
def test_other_cascades_have_no_fixed_shapes(names):
    made = test_cascade.random_networks()
    with pytest.raises(ValueError, match="expected an RPN and an O-Net .*, got .*P-Net's pyramid"):
        portable.Portable({name: made[name] for name in names}, SIZE)


@pytest.mark.parametrize(("size", "min_face_size"), [((11, 50), 20), ((20, 50), 30)])
def test_an_image_too_small_for_a_face_is_refused_or_searched_whole(models, size, min_face_size):
    if min(size) < 12:
        with pytest.raises(ValueError, match="expected images of at least 12 pixels a side"):
            portable.Portable(models, size, min_face_size=min_face_size)
    else:
        portable.Portable(models, size, min_face_size=min_face_size)


@pytest.fixture(scope="module")
def whole(models):
    find = detector.Detector(cascade.Cascade(models))
    return portable.Portable(models, SIZE, thresholds_for(find, image_of(SIZE), 20), max_faces=8)


@pytest.fixture(scope="module")
def rounded(models, whole):
    """One more, which becomes one of int8."""
    find = detector.Detector(cascade.Cascade(models))
    return portable.Portable(models, SIZE, thresholds_for(find, image_of(SIZE), 20), max_faces=8)


@pytest.fixture(scope="module")
def exported(whole, rounded, tmp_path_factory):
    """Paths of the detector's files, by their kind."""
    folder = tmp_path_factory.mktemp("portable")
    contents = {
        "float32.tflite": conversion.litert(whole),
        "float16.tflite": conversion.litert(whole, "float16"),
        "detector.onnx": conversion.onnx(whole),
        "int8.tflite": conversion.litert(rounded, "int8", [image_of(SIZE, seed) for seed in range(3)]),
    }
    for name, held in contents.items():
        is_exact = name in ("float32.tflite", "detector.onnx")
        conversion.write(held, folder / name, rounded if name == "int8.tflite" else whole, is_exact)
    return {name: folder / name for name in contents}


def test_eagerly_it_finds_the_same_and_no_crop_is_made_up(whole, monkeypatch):
    """What int8's ranges are observed on."""
    image, seen, cut = tf.constant(image_of(SIZE, 1)), [], portable._Pixels.cut

    def spy(*given):
        seen.append(cut(*given))
        return seen[-1]

    wanted = {name: x.numpy() for name, x in whole.detect(image).items()}
    monkeypatch.setattr(portable._Pixels, "cut", spy)
    found = {name: x.numpy() for name, x in whole(image).items()}
    assert found["num_faces"] > 0 and seen and all(np.ptp(crops, axis=(1, 2, 3)).min() > 0 for crops in seen)
    for name, x in wanted.items():
        np.testing.assert_allclose(found[name], x, atol=1e-3)


ALONE = {
    ".tflite": """
        from ai_edge_litert.interpreter import Interpreter
        found = Interpreter(path).get_signature_runner("serving_default")(image=image)
    """,
    ".onnx": """
        import onnxruntime
        session = onnxruntime.InferenceSession(path)
        found = dict(zip([x.name for x in session.get_outputs()], session.run(None, {"image": image})))
    """,
}
IN_A_BARE_PROCESS = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "mtcnn_tf", "data_prep"):
            raise ImportError(f"{name} is not to be imported")
sys.meta_path.insert(0, Refused())
import numpy as np
path, image, out = sys.argv[1], np.load(sys.argv[2]), sys.argv[3]
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float32.tflite", "float16.tflite", "int8.tflite", "detector.onnx"])
def test_it_runs_where_there_is_neither_tensorflow_nor_this_project(whole, exported, name, tmp_path):
    image = image_of(SIZE, 1)
    np.save(tmp_path / "image.npy", image)
    body = textwrap.dedent(ALONE[exported[name].suffix])
    program = f"{IN_A_BARE_PROCESS}{body}\nnp.savez(out, **found)"
    arguments = (exported[name], tmp_path / "image.npy", tmp_path / "found.npz")
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], cwd=tmp_path, check=True)
    found = told_by(dict(np.load(tmp_path / "found.npz")))
    wanted = told_by({name: x.numpy() for name, x in whole.detect(tf.constant(image)).items()})
    assert len(wanted[1]) >= 3
    if name in ("float32.tflite", "detector.onnx"):
        for there, here in zip(found, wanted, strict=True):
            np.testing.assert_allclose(there, here, atol=0.01)
    nearest = np.abs(found[0][:, None] - wanted[0][None]).max(axis=-1).min(axis=1)
    assert np.mean(nearest < (8 if name == "int8.tflite" else 1)) > 0.7  # rounding may let another of two boxes win


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float32.tflite", "detector.onnx"])
def test_a_file_may_be_called_from_several_threads(exported, name):
    find = mtcnn_tf.load(exported[name])
    images = [image_of(SIZE, 1), np.zeros((*SIZE, 3), np.uint8)] * 10
    wanted = [find(image).scores for image in images[:2]] * 10
    assert len(wanted[0]) > 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find, images))
    for here, there in zip(found, wanted, strict=True):
        np.testing.assert_allclose(here.scores, there, atol=1e-5)


@pytest.mark.slow
def test_fewer_bits_are_fewer_bytes(exported):
    sizes = {name: path.stat().st_size for name, path in exported.items()}
    assert sizes["float16.tflite"] < 0.6 * sizes["float32.tflite"]
    assert sizes["int8.tflite"] < 0.5 * sizes["float32.tflite"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float32.tflite", "detector.onnx"])
def test_any_image_is_fitted_into_the_model_s(whole, exported, name):
    find, image = mtcnn_tf.load(exported[name]), image_of(SIZE)
    assert isinstance(find, runtimes.FixedSizeDetector) and find.image_size == SIZE
    same = find(image)
    wanted = told_by({name: x.numpy() for name, x in whole.detect(tf.constant(image)).items()})
    np.testing.assert_allclose(same.scores, wanted[1], atol=1e-3)
    np.testing.assert_allclose(same.landmarks, wanted[2], atol=0.02)
    assert len(find(image, max_faces=1)) == 1
    np.testing.assert_allclose(find(image[..., ::-1], color="bgr").scores, same.scores, atol=1e-5)

    doubled = np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)  # shrunk to half it is the image again
    twice = find(doubled)
    np.testing.assert_allclose(twice.boxes, 2 * same.boxes, atol=0.05)
    np.testing.assert_allclose(twice.landmarks, 2 * same.landmarks, atol=0.05)

    wide = find(np.concatenate([doubled, doubled], axis=1))
    assert np.all(wide.boxes <= [4 * SIZE[1], 2 * SIZE[0]] * 2) and np.all(wide.boxes >= 0)
    assert len(find(image[:1, :1])) == 0


@pytest.mark.slow
def test_mtcnn_detect_takes_a_file(exported, tmp_path):
    image_files.write(tmp_path / "a.png", image_of(SIZE))
    given = (tmp_path / "a.png", f"--model={exported['float32.tflite']}", f"--out_dir={tmp_path / 'out'}")
    result = in_process.run("mtcnn_tf.cli.detect", *given, "--max_faces=2", "--write=json")
    assert result.returncode == 0, result.stderr
    (entry,) = json.loads((tmp_path / "out" / "detections.json").read_text())
    wanted = mtcnn_tf.load(exported["float32.tflite"])(image_of(SIZE), max_faces=2)
    np.testing.assert_allclose(entry["boxes"], wanted.boxes, atol=0.01)
    result = in_process.run("mtcnn_tf.cli.detect", *given, "--thresholds=0.5,0.5")
    assert result.returncode == 1 and "expected no --thresholds with" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float32.tflite", "detector.onnx"])
def test_the_bare_model_refuses_another_size(exported, name):
    run = runtimes.open_model(exported[name], exported[name].suffix)
    for image in (image_of((80, 90)), np.zeros((*SIZE, 3), np.float32)):
        with pytest.raises(ValueError, match=r"expected an image of 150 × 210 pixels for this model, uint8 .*, got"):
            run(image)


@pytest.mark.parametrize("ending", runtimes.ENDINGS)
def test_a_model_that_is_none_is_one_sentence(tmp_path, ending):
    path = tmp_path / f"model{ending}"
    with pytest.raises(FileNotFoundError, match="expected a model at .*; export one"):
        mtcnn_tf.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="expected a detector that export.py wrote in .*; export it again") as error:
        mtcnn_tf.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_export_writes_both_and_says_what_it_can_not(models, tmp_path):
    for name, network in models.items():
        network.save(tmp_path / f"{name}.keras")
    given = (f"--networks={tmp_path}", f"--out_dir={tmp_path / 'out'}", "--format=litert,onnx", "--max_faces=3")
    result = in_process.run("export", *given, "--image_size=96x128", "--precision=float16")
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"detector_96x128_float16.tflite", "detector_96x128.onnx"}
    for name in names:
        assert mtcnn_tf.load(tmp_path / "out" / name).image_size == (96, 128)
    for wrong, told in (
        ("--image_size=96", "--image_size takes HEIGHTxWIDTH"),
        ("--format=tflite", "--format takes any of"),
        ("--format=saved_model,litert --precision=bfloat16", "--precision of float32, float16, int8, got bfloat16"),
        ("--format=saved_model,onnx --precision=int8", "=saved_model takes --precision of float32, bfloat16, got int8"),
        ("--format=onnx --precision=bfloat16", "--format=onnx takes --precision of float32, got bfloat16"),
        ("--thresholds=0.2,0.3,0.9", "thresholds must be 2 numbers in 0–1"),
        ("--networks=classic", "expected an RPN and an O-Net"),
        ("--precision=int8", "needs images with faces"),
        (f"--precision=int8 --calibrate={tmp_path}", "expected images in --calibrate"),
    ):
        result = in_process.run("export", *given, "--format=litert", *wrong.split())
        assert result.returncode == 1 and told in result.stderr and "Traceback" not in result.stderr
        assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_rounding_wants_something_to_round_to(models):
    fixed = portable.Portable(models, SIZE, (0.5, 0.5))
    with pytest.raises(ValueError, match="expected images on which rpn has something to see, got none"):
        conversion.litert(fixed, "int8", [])
