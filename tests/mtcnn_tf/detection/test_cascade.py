"""The cascade against a slow NumPy one, on every odd shape of image, and its box formulas against `boxes`."""

import numpy as np
import pytest
import skimage.data
import tensorflow as tf

from mtcnn_tf import stages
from mtcnn_tf.detection import cascade, detector, final_scores, first_stages
from mtcnn_tf.geometry import anchors, graph_boxes
from mtcnn_tf.geometry import boxes as box_geometry
from mtcnn_tf.models import networks
from tests import reference_cascade

FACTOR = cascade.SCALE_FACTOR
CASCADES = (("pnet", "rnet", "onet"), ("rpn", "rnet", "onet"), ("rpn", "onet"))


def random_networks(shared_slopes=True, margin=1.0):
    """Networks whose logits vary enough to tell boxes apart, and whose regressions stay near the box."""
    rng = np.random.default_rng(5)
    models = {stage.name: networks.build(stage, shared_slopes) for stage in (*stages.ON_CROPS, stages.RPN)}
    if margin != 1:
        for stage in (stages.RNET, stages.ONET):
            models[stage.name] = networks.build(stage, margin=margin)
    for model in models.values():
        for layer in model.layers:
            if layer.get_weights() and "prelu" not in layer.name:
                kernel, bias = layer.get_weights()
                gain = {"face": 1.0, "offsets": 0.1, "landmarks": 0.1}.get(layer.name.rstrip("0123456789"), 1.4)
                fan_in = np.prod(kernel.shape[:-1])
                layer.set_weights([rng.normal(0, gain / np.sqrt(fan_in), kernel.shape), rng.normal(0, 0.1, bias.shape)])
            elif layer.get_weights():
                slopes = layer.get_weights()[0]
                layer.set_weights([rng.uniform(0.1, 0.4, slopes.shape)])
    return models


def some(models, names):
    return {name: models[name] for name in names}


@pytest.fixture(scope="module")
def all_models():
    return random_networks()


@pytest.fixture(scope="module")
def all_detectors(all_models):
    return {names: detector.Detector(cascade.Cascade(some(all_models, names))) for names in CASCADES}


@pytest.fixture(scope="module")
def models(all_models):
    return some(all_models, CASCADES[0])


@pytest.fixture(scope="module")
def find_faces(all_detectors):
    return all_detectors[CASCADES[0]]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def waves(height, width):
    y, x, phase = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return (127.5 * (1 + np.sin(x * y / 300 + phase) * np.cos((x - 2 * y) / 9))).astype(np.uint8)


IMAGES = {
    "noise": (noise(90, 121), 20),
    "small noise enlarged": (noise(26, 33), 8),
    "waves": (waves(140, 99), 15),
    "portrait": (skimage.data.astronaut()[:300, 80:381], 40),
    "portrait, large faces alone": (skimage.data.astronaut()[:401, :403], 80),
    "wide": (waves(25, 400), 14),
}


def gap_near(scores, fraction):
    """A threshold that about `fraction` of the scores exceed, in the widest gap round there: no rounding crosses it."""
    descending = np.sort(scores)[::-1]
    at = int(len(descending) * fraction)
    neighbours = descending[max(at - 3, 0) : at + 4]
    widest = np.argmin(np.diff(neighbours))
    return float(neighbours[widest : widest + 2].mean())


def assert_same_faces(found, boxes, scores, landmarks=None, atol=0.5):
    """The same faces, best first; where scores are nearly the same, in any order."""
    assert len(found) == len(scores)
    distances = np.abs(found.boxes[:, None] - boxes[None]).max(axis=-1)
    match = distances.argmin(axis=1)
    assert len(set(match)) == len(match)
    np.testing.assert_allclose(found.boxes, boxes[match], atol=atol, rtol=0)
    np.testing.assert_allclose(found.scores, scores[match], atol=1e-3, rtol=0)
    np.testing.assert_allclose(found.scores, scores, atol=1e-3, rtol=0)
    if landmarks is not None:
        np.testing.assert_allclose(found.landmarks, landmarks[match], atol=atol, rtol=0)


def assert_agrees_with_reference(models, find_faces, image, min_face_size):
    thresholds = [0.0] * len(models)
    fractions = {"pnet": 0.3, "rpn": 0.3, "rnet": 0.6, "onet": 0.8}
    for i, until in enumerate(models):
        found = find_faces(image, min_face_size, thresholds, until=until)
        thresholds[i] = gap_near(found.scores, fractions[until])
    for until in models:
        found = find_faces(image, min_face_size, thresholds, until=until)
        assert len(found) >= 3, until
        assert_same_faces(
            found, *reference_cascade.detect(models, image, min_face_size, thresholds, FACTOR, until), atol=0.1
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "name"),
    [*((names, name) for names in CASCADES[:2] for name in IMAGES), (CASCADES[2], "waves")],
)
def test_agrees_with_slow_reference(name, names, all_models, all_detectors):
    assert_agrees_with_reference(some(all_models, names), all_detectors[names], *IMAGES[name])


WEIGHTS = final_scores.ScoreWeights(onet=0.9, first=0.6, size=-0.3, bias=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("names", CASCADES[1:])
def test_the_first_stage_counts_in_the_final_score_as_far_as_it_has_weight(all_models, names):
    models, (image, min_face_size) = some(all_models, names), IMAGES["waves"]
    find = detector.Detector(cascade.Cascade(models, score_weights=WEIGHTS))
    thresholds = [0.1] * len(names)
    thresholds[0] = gap_near(find(image, min_face_size, [0] * len(names), until="rpn").scores, 0.3)
    thresholds[-1] = gap_near(find(image, min_face_size, thresholds).scores, 0.7)
    found = find(image, min_face_size, thresholds)
    wanted = reference_cascade.detect(models, image, min_face_size, thresholds, score_weights=WEIGHTS)
    assert len(found) >= 3
    assert_same_faces(found, *wanted, atol=0.1)
    alone = reference_cascade.detect(models, image, min_face_size, thresholds)
    assert len(alone[1]) != len(found) or np.abs(alone[1] - found.scores).max() > 0.01


@pytest.mark.parametrize("weight", [-0.1, "a", None, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["onet", "first"])
def test_a_weight_that_is_none_is_refused(all_models, name, weight):
    weights = final_scores.NOT_CALIBRATED._replace(**{name: weight})
    with pytest.raises(ValueError, match=f"score_weights.{name} must be one number of 0 or more, got"):
        cascade.Cascade(some(all_models, CASCADES[2]), score_weights=weights)


def test_the_rpn_looks_again_where_faces_may_be_larger_than_its_anchors(all_models):
    rpn = networks.rpn(anchors.Anchors((12.0, 30.0)))
    for layer in rpn.layers[:-1]:
        if layer.get_weights() and layer.name not in ("face8", "offsets8"):
            layer.set_weights(all_models["rpn"].get_layer(layer.name).get_weights())
    rng = np.random.default_rng(2)
    rpn.get_layer("face8").kernel.assign(rng.normal(0, 0.1, (1, 1, 64, 2)))
    rpn.get_layer("offsets8").kernel.assign(rng.normal(0, 0.01, (1, 1, 64, 8)))
    models, image = {"rpn": rpn}, waves(140, 170)
    find = detector.Detector(cascade.Cascade(models))
    threshold = gap_near(find(image, 20, (0,), until="rpn").scores, 0.5)
    found = find(image, 20, (threshold,), until="rpn")
    assert np.ptp(found.boxes[:, 2:] - found.boxes[:, :2]) > 100
    assert_same_faces(found, *reference_cascade.detect(models, image, 20, (threshold,), until="rpn"), atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("names", CASCADES[:2], ids="-".join)
def test_crops_may_show_more_than_the_square(names):
    models = some(random_networks(margin=1.3), names)
    assert_agrees_with_reference(models, detector.Detector(cascade.Cascade(models)), *IMAGES["portrait"])


@pytest.mark.slow
def test_landmarks_may_have_crops_of_their_own(all_models):
    onet = networks.with_landmark_branch(random_networks(margin=1.3)["onet"], landmark_margin=1.1)
    models = {"rpn": all_models["rpn"], "onet": onet}
    assert_agrees_with_reference(models, detector.Detector(cascade.Cascade(models)), *IMAGES["portrait"])


def test_neighbouring_scales_suppress_each_other_where_they_are_close(models, find_faces):
    image = noise(60, 61)
    scores = find_faces(image, 20, (0, 0, 0), scale_factor=0.9, until="pnet").scores
    thresholds = (gap_near(scores, 0.4), 0, 0)
    found = find_faces(image, 20, thresholds, scale_factor=0.9, until="pnet")
    assert_same_faces(found, *reference_cascade.detect(models, image, 20, thresholds, 0.9, "pnet"))


@pytest.mark.slow
def test_slopes_for_each_channel_agree_too():
    models = some(random_networks(shared_slopes=False), CASCADES[0])
    image, thresholds = noise(60, 60), (0.0, 0.0, 0.0)
    found = detector.Detector(cascade.Cascade(models))(image, 25, thresholds)
    assert len(found) > 3
    assert_same_faces(found, *reference_cascade.detect(models, image, 25, thresholds))


SHAPES = [(1, 1), (1, 50), (11, 11), (12, 12), (13, 12), (5, 300), (20, 900), (900, 20), (64, 64), (37, 211), (128, 96)]


@pytest.mark.slow
@pytest.mark.parametrize("names", CASCADES[::2], ids="-".join)
def test_one_trace_serves_all_sizes(names, all_models):
    whole = cascade.Cascade(some(all_models, names))
    find_faces = detector.Detector(whole)
    for i, shape in enumerate(SHAPES):
        for until in names:
            size = (3, 8, 20, 100.5, 10_000)[i % 5]
            found = find_faces(noise(*shape), size, [0.3] * len(names), until=until)
            num_faces = len(found)
            assert found.boxes.shape == (num_faces, 4) and found.landmarks.shape == (num_faces, 5, 2)
            assert {values.dtype for values in vars(found).values()} == {np.dtype(np.float32)}
            assert np.all(np.diff(found.scores) <= 1e-6)
    for search in cascade.searches(whole).values():
        assert search.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("shape", "min_face_size", "is_searched"),
    [
        ((12, 12), 12, True),
        ((12, 12), 20, True),  # a face that fills the image
        ((11, 40), 12, False),
        ((11, 40), 20, False),  # never enlarged where faces of 20 are wanted
        ((11, 40), 8, True),
        ((7, 7), 8, False),  # would have to be enlarged by more than 12 / 8
        ((300, 50), 50, True),
        ((300, 50), 51, True),
        ((300, 50), 10_000, True),
        ((1, 1), 1, True),
        ((1, 1), 2, False),
    ],
)
@pytest.mark.parametrize("names", CASCADES[:2], ids="-".join)
def test_min_face_size_on_small_images(all_detectors, names, shape, min_face_size, is_searched):
    found = all_detectors[names](noise(*shape), min_face_size, (0, 0, 0), until=names[0])
    assert bool(len(found)) == is_searched


def scanned_sides(shape, min_face_size):
    first, count = first_stages._scales(tf.constant([*shape, 3]), tf.constant(min_face_size), tf.constant(FACTOR))
    return 12 / (first.numpy() * FACTOR ** np.arange(count.numpy()))


@pytest.mark.parametrize("min_face_size", [12.0, 20.0, 33.3, 100.0, 479.0, 480.0])
def test_pyramid_begins_at_the_smallest_face_and_ends_with_the_largest(min_face_size):
    sides = scanned_sides((480, 640), min_face_size)
    np.testing.assert_allclose(sides[0], min_face_size, rtol=1e-5)
    np.testing.assert_allclose(sides[1:] / sides[:-1], 1 / FACTOR, rtol=1e-5)
    assert 480 * FACTOR < sides[-1] <= 480 * 1.001


def test_image_smaller_than_the_smallest_face_is_scanned_for_one_that_fills_it():
    np.testing.assert_allclose(scanned_sides((100, 640), 500.0), [100], rtol=1e-5)


def test_pnet_window_of_a_cell_lies_where_the_cell_looks(models):
    """Without regression, the box of each window is the part of the image that changes its score."""
    pnet = random_networks()["pnet"]
    pnet.get_layer("offsets").set_weights([np.zeros((1, 1, 32, 4)), np.zeros(4)])
    search = cascade.Cascade({"pnet": pnet}).search
    arguments = (12.0, (0.0,), 0.001, "pnet")  # one scale, that of the image
    image = noise(40, 60)
    found = search(image, *arguments)
    for box in found["boxes"].numpy()[:10]:
        np.testing.assert_array_equal(box[2:] - box[:2], 12)
        x, y = box[:2].astype(int)
        np.testing.assert_array_equal([x % 2, y % 2], 0)
        window = np.full_like(image, 99)
        window[y : y + 12, x : x + 12] = image[y : y + 12, x : x + 12]
        alone = search(window, *arguments)
        at = np.flatnonzero((alone["boxes"].numpy() == box).all(axis=1))
        score = found["scores"].numpy()[(found["boxes"].numpy() == box).all(axis=1)]
        if len(at):  # unless a neighbour that sees the grey rim has suppressed it
            np.testing.assert_allclose(alone["scores"].numpy()[at], score, atol=1e-5)


def test_moving_the_scene_moves_the_faces(find_faces):
    """Exact for whole steps of every network's grid: one scale, steps of 64 pixels."""
    scene = waves(120, 120)
    found = []
    for dx, dy in ((128, 128), (192, 64)):
        image = np.zeros((384, 448, 3), np.uint8)
        image[dy : dy + 120, dx : dx + 120] = scene
        threshold = find_faces(np.zeros((12, 12, 3), np.uint8), 12, (0, 0, 0), until="pnet").scores.max() + 1e-3
        detections = find_faces(image, 12, (threshold, 0.3, 0.3), scale_factor=0.001)
        found.append(detections)
        assert len(detections) > 5
    moved = np.array([64, -64])
    assert_same_faces(
        found[1], found[0].boxes + np.tile(moved, 2), found[0].scores, found[0].landmarks + moved, atol=0.01
    )


def test_anchor_boxes_are_those_of_the_anchors():
    for its_anchors in (anchors.Anchors(), anchors.Anchors((10.5, 200.0)), anchors.Anchors((50.0,))):
        for shape in ((32, 32), (64, 160), (96, 32)):
            wanted = its_anchors.boxes(*shape)
            rows = np.random.default_rng(0).permutation(len(wanted)).astype(np.int32)
            ours = first_stages.anchor_boxes(its_anchors, tf.constant([*shape, 3]), tf.constant(rows))
            np.testing.assert_allclose(ours, wanted[rows], atol=1e-4)


def test_later_stages_may_be_missing(models):
    pnet_alone = cascade.Cascade({"pnet": models["pnet"]})
    assert pnet_alone.thresholds.numpy() == np.float32([stages.PNET.threshold])
    assert len(detector.Detector(pnet_alone)(noise(40, 40), until="pnet", thresholds=(0,)))
    with pytest.raises(ValueError, match="expected a cascade with rnet, got one of pnet alone"):
        pnet_alone.search(noise(40, 40), 20, (0,), until="rnet")
    with pytest.raises(ValueError, match="until must be one of pnet, got 'onet'"):
        detector.Detector(pnet_alone)(noise(40, 40))


@pytest.mark.parametrize("names", [("rpn", "pnet"), ("pnet", "onet"), ("rnet", "onet"), ("rpn", "else"), ()])
def test_networks_that_make_no_cascade_are_refused(all_models, names):
    with pytest.raises(ValueError, match="expected the networks of a cascade, rpn or pnet, rnet"):
        cascade.Cascade({name: all_models.get(name) for name in names})


def test_networks_may_come_in_any_order(all_models, all_detectors):
    names = CASCADES[1]
    found = detector.Detector(cascade.Cascade(some(all_models, reversed(names))))(noise(50, 60), 20, (0.4, 0.1, 0.2))
    assert_same_faces(found, **vars(all_detectors[names](noise(50, 60), 20, (0.4, 0.1, 0.2))))


@pytest.mark.parametrize("names", CASCADES)
@pytest.mark.parametrize("size", [(70, 50), (31, 200)])
def test_several_images_in_one_pass_give_what_each_gives_alone(all_detectors, names, size):
    images = np.stack([noise(*size), waves(*size), 255 - waves(*size), noise(*size, seed=3)])
    whole = all_detectors[names].cascade
    arguments = (tf.constant(20.0), tf.fill(len(names), 0.3), tf.constant(FACTOR))
    alone, together = cascade.searches(whole), cascade.searches(whole, "batch_")
    assert list(alone) == list(together)
    for name in alone:
        found = together[name](tf.constant(images), *arguments)
        each = [alone[name](tf.constant(image), *arguments) for image in images]
        counts = [len(one["scores"]) for one in each]
        assert sum(counts) > 0
        np.testing.assert_array_equal(found["images"], np.repeat(np.arange(len(images)), counts))
        for key in each[0]:
            np.testing.assert_allclose(found[key], np.concatenate([one[key] for one in each]), atol=2e-3)


def onet_that_tells_of(top):
    """An O-Net for which every box begins so many sides above its square, as in the mirror image."""
    changed = random_networks()["onet"]
    layer = changed.get_layer("offsets")
    layer.set_weights([np.zeros_like(layer.get_weights()[0]), np.float32([0, -top, 0, 0])])
    return changed


@pytest.mark.parametrize("names", [CASCADES[0], CASCADES[2]])
def test_a_box_far_from_its_square_is_no_face(all_models, names):
    """However sure O-Net is: no label has offsets of one side."""
    num_found = {}
    for top in (0.95, 1.05):
        searched = cascade.Cascade({**some(all_models, names), "onet": onet_that_tells_of(top)})
        num_found[top] = len(detector.Detector(searched)(skimage.data.astronaut(), thresholds=(0.4,) * len(names)))
    assert num_found[0.95] > 0 == num_found[1.05]


def test_caps_keep_the_best(models):
    arguments = (noise(80, 80), 12.0, (0.0, 0.0, 0.0), FACTOR, "pnet")
    best = cascade.Cascade(models).search(*arguments)
    seven = cascade.Cascade(models, max_proposals=7)
    np.testing.assert_array_equal(seven.search(*arguments)["boxes"], best["boxes"][:7])
    few = cascade.Cascade(models, max_proposals_per_scale=2).search(*arguments)
    assert 0 < len(few["scores"]) <= 2 * len(scanned_sides((80, 80), 12.0))
    np.testing.assert_allclose(few["scores"][0], best["scores"][0])


def test_so_many_of_the_anchors_compete(all_models):
    arguments = (noise(80, 80), 12.0, (0.0,), FACTOR, "rpn")
    best, few = (cascade.Cascade({"rpn": all_models["rpn"]}, max_proposals=n).search(*arguments) for n in (None, 30))
    num = len(few["scores"])
    assert 3 < num <= 30 < len(best["scores"])
    np.testing.assert_array_equal(few["boxes"], best["boxes"][:num])


@pytest.mark.parametrize("thresholds", [(0.5, 0.5), (0.5, 0.5, 1.5), (0.5, 0.5, float("nan"))])
def test_bad_thresholds_are_refused(models, thresholds):
    with pytest.raises(ValueError, match="thresholds must be 3 numbers"):
        cascade.Cascade(models, thresholds)


def test_missing_network_says_how_to_make_it(tmp_path, models):
    models["pnet"].save(tmp_path / "pnet.keras")
    assert set(cascade.Cascade.from_networks(tmp_path, until="pnet").networks) == {"pnet"}
    with pytest.raises(FileNotFoundError, match=r"train.py --stage=rnet"):
        cascade.Cascade.from_networks(tmp_path, until="rnet")


def test_a_folder_has_the_cascade_that_begins_with_its_first_stage(tmp_path, all_models):
    for name in ("rpn", "onet"):
        all_models[name].save(tmp_path / f"{name}.keras")
    assert list(cascade.load_networks(tmp_path)) == ["rpn", "onet"]
    with pytest.raises(FileNotFoundError, match=r"train.py --stage=rnet"):
        cascade.load_networks(tmp_path, until="rnet")
    all_models["rnet"].save(tmp_path / "rnet.keras")
    assert list(cascade.Cascade.from_networks(tmp_path).networks) == ["rpn", "rnet", "onet"]


def random_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 40, (count, 2))], axis=1).astype(np.float32)


def test_formulas_are_those_of_boxes():
    boxes, rng = random_boxes(50), np.random.default_rng(1)
    offsets, points = rng.normal(0, 0.2, (50, 4)).astype(np.float32), rng.uniform(0, 1, (50, 5, 2)).astype(np.float32)
    for ours, theirs in (
        (graph_boxes.decode(boxes, offsets), box_geometry.decode(boxes, offsets)),
        (graph_boxes.decode_points(boxes, points), box_geometry.decode_points(boxes, points)),
        (graph_boxes.square(boxes), box_geometry.square(boxes)),
        (graph_boxes.clip(boxes, tf.constant([40, 50, 3])), box_geometry.clip(boxes, 50, 40)),
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_overlap_suppression_is_the_greedy_one(count):
    boxes = random_boxes(count, seed=count)
    keep = graph_boxes.suppress_overlap(tf.constant(boxes), 0.7).numpy()
    greedy = reference_cascade.suppress(boxes, np.arange(count, 0, -1), 0.7, "smaller")
    np.testing.assert_array_equal(np.flatnonzero(keep), greedy)
    assert count < 200 or len(greedy) < 150


def test_overlap_suppression_follows_chains():
    """Each box covers the next one only: every second one stays."""
    boxes = np.array([[i, 0, i + 10, 10] for i in range(0, 40, 2)], np.float32)
    np.testing.assert_array_equal(graph_boxes.suppress_overlap(tf.constant(boxes), 0.7), np.arange(20) % 2 == 0)
