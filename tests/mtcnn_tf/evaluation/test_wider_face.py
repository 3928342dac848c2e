import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcnn_tf import faces, files
from mtcnn_tf.evaluation import curves, wider_face


def detections(boxes, scores=None):
    boxes = np.reshape(np.array(boxes, np.float32), (-1, 4))
    scores = np.linspace(0.9, 0.1, len(boxes)) if scores is None else np.array(scores)
    return faces.Detections(boxes, scores.astype(np.float32), faces.no_landmarks(len(boxes)))


def square(x, y, side):
    return [x, y, x + side, y + side]


def random_run(rng, num_images):
    """Names, lists and detections: faces, some of them not counted, and boxes of which some are near faces."""
    listed, found = {}, {}
    for i in range(num_images):
        wanted = np.array([square(*rng.integers(0, 60, 2), rng.integers(5, 30)) for _ in range(rng.integers(0, 6))])
        wanted = wanted.reshape(-1, 4).astype(float)
        near = wanted[rng.integers(0, len(wanted), rng.integers(0, 9))] if len(wanted) else wanted
        stray = np.array([square(*rng.uniform(0, 60, 2), rng.uniform(5, 30)) for _ in range(3)])
        boxes = np.concatenate([near + rng.normal(0, 2, near.shape), stray]) if rng.random() > 0.2 else stray[:0]
        listed[f"e/{i}"] = wider_face.Listed(wanted, rng.random(len(wanted)) > 0.3)
        scores = np.sort(rng.integers(0, 40, len(boxes)))[::-1] / 40 * 3 - 1
        found[f"e/{i}"] = detections(boxes, scores)
    return listed, found


def toolbox(listed, found):
    """The official evaluation, in its own order of loops."""
    all_scores = [score for run in found.values() for score in run.scores.astype(float)]
    low, high = min(all_scores), max(all_scores)
    totals, num_faces = np.zeros((1000, 2)), 0
    for name, image in listed.items():
        num_faces += image.counted_mask.sum()
        if not len(image.boxes) or not len(found[name]):
            continue
        recalled = np.zeros(len(image.boxes))
        proposal, num_recalled = [], []
        for x1, y1, x2, y2 in found[name].boxes.astype(float):
            overlaps = []
            for a1, b1, a2, b2 in image.boxes:
                width, height = min(x2, a2) - max(x1, a1) + 1, min(y2, b2) - max(y1, b1) + 1
                shared = width * height if width > 0 and height > 0 else 0
                areas = (x2 - x1 + 1) * (y2 - y1 + 1) + (a2 - a1 + 1) * (b2 - b1 + 1)
                overlaps.append(shared / (areas - shared))
            best = int(np.argmax(overlaps))
            flag = 1
            if overlaps[best] >= 0.5:
                if not image.counted_mask[best]:
                    recalled[best] = -1
                    flag = -1
                elif recalled[best] == 0:
                    recalled[best] = 1
            proposal.append(flag)
            num_recalled.append(np.sum(recalled == 1))
        scores = (found[name].scores.astype(float) - low) / (high - low)
        for t in range(1000):
            above = np.flatnonzero(scores >= 1 - (t + 1) / 1000)
            if len(above):
                totals[t] += np.sum(np.array(proposal[: above[-1] + 1]) == 1), num_recalled[above[-1]]
    precision = np.divide(totals[:, 1], totals[:, 0], out=np.zeros(1000), where=totals[:, 0] > 0)
    return precision, totals[:, 1] / num_faces


@pytest.mark.parametrize("seed", range(4))
def test_official_curve_is_the_toolboxs(seed):
    listed, found = random_run(np.random.default_rng(seed), 12)
    precision, recall = wider_face.official_curve(listed, found)
    expected_precision, expected_recall = toolbox(listed, found)
    np.testing.assert_allclose(precision, expected_precision, atol=1e-12)
    np.testing.assert_allclose(recall, expected_recall, atol=1e-12)
    assert 0 < recall[-1] < 1 and 0 < precision[-1] < 1


def test_official_curve_by_hand():
    # One face that counts, one that doesn't. Scores become 1, 0.75, 0.5, 0.
    image = wider_face.Listed(np.array([square(0, 0, 10), square(50, 50, 10)], float), np.array([True, False]))
    boxes = [square(50, 50, 10), square(0, 0, 10), square(0, 0, 9), square(100, 100, 10)]
    precision, recall = wider_face.official_curve({"a": image}, {"a": detections(boxes, [5, 4, 3, 1])})
    # The uncounted face is no false positive; the second look at the same face and the box elsewhere are.
    for threshold, expected in ((0.9, (0, 0)), (0.7, (1, 1)), (0.4, (1 / 2, 1)), (0.0, (1 / 3, 1))):
        at = round((1 - threshold) * 1000) - 1
        assert (precision[at], recall[at]) == pytest.approx(expected)
    assert curves.average_precision(recall, precision) == pytest.approx(1)


def test_official_boxes_are_a_pixel_wider():
    # An IoU of 1.9 / 4 by x2 − x1, which is too little; by x2 − x1 + 1 of 2.9 / 5, which is enough.
    image = wider_face.Listed(np.array([[0, 0, 4, 4]], float), np.array([True]))
    found = {"a": detections([[0, 0, 1.9, 4]])}
    assert wider_face.official_curve({"a": image}, found)[1][-1] == 1
    assert wider_face.rank([faces.Annotation("a", image.boxes)], [found["a"]]).recall_at(0) == 0


def test_official_counts_only_images_that_are_here():
    listed, found = random_run(np.random.default_rng(5), 12)
    half = dict(list(found.items())[::2])
    expected = toolbox({name: listed[name] for name in half}, half)
    np.testing.assert_allclose(wider_face.official_curve(listed, half), expected)


def test_official_without_detections_or_faces():
    image = wider_face.Listed(np.array([square(0, 0, 9)], float), np.array([True]))
    precision, recall = wider_face.official_curve({"a": image}, {"a": detections([])})
    assert not precision.any() and not recall.any()
    assert np.isnan(wider_face.official_curve({}, {})[1]).all()
    # One detection, and so no spread of scores.
    assert wider_face.official_curve({"a": image}, {"a": detections([square(0, 0, 9)])})[1][-1] == 1


def object_array(values):
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


def write_list(path, events):
    """Event → image → boxes (x, y, width, height) and the numbers, from 1, of those that count."""
    columns = {name: [] for name in ("event_list", "file_list", "face_bbx_list", "gt_list")}
    for event, images in events.items():
        columns["event_list"].append(event)
        columns["file_list"].append(object_array(list(images)))
        columns["face_bbx_list"].append(object_array([np.array(sides, np.int32) for sides, _ in images.values()]))
        counted = [np.array([rows], np.uint8).T if rows else np.zeros((0, 0), np.uint8) for _, rows in images.values()]
        columns["gt_list"].append(object_array(counted))
    scipy.io.savemat(path, {name: object_array(values) for name, values in columns.items()})


def test_reads_official_lists(tmp_path):
    (tmp_path / "wider_face_split").mkdir()
    events = {
        "0--Parade": {"p_1": ([[5, 6, 10, 12], [1, 2, 3, 4]], [2]), "p_2": ([[0, 0, 1, 1]], [])},
        "7--Cheering": {"c_1": ([[9, 9, 9, 9]], [1])},
    }
    for setting in wider_face.SETTINGS:
        write_list(tmp_path / "wider_face_split" / f"wider_{setting}_val.mat", events)
    official = wider_face.read_official(str(tmp_path))
    assert list(official) == ["easy", "medium", "hard"]
    bucket = files.as_path("ram://official-lists/wider_face_split")
    bucket.mkdir()
    for path in (tmp_path / "wider_face_split").iterdir():
        (bucket / path.name).write_bytes(path.read_bytes())
    assert list(wider_face.read_official("ram://official-lists")["hard"]) == list(official["hard"])
    assert list(official["easy"]) == ["0--Parade/p_1", "0--Parade/p_2", "7--Cheering/c_1"]
    first = official["easy"]["0--Parade/p_1"]
    np.testing.assert_array_equal(first.boxes, [[5, 6, 15, 18], [1, 2, 4, 6]])
    np.testing.assert_array_equal(first.counted_mask, [False, True])
    assert not official["hard"]["0--Parade/p_2"].counted_mask.any()

    annotation = faces.Annotation("/x/WIDER_val/images/0--Parade/p_1.jpg", first.boxes)
    report = wider_face.report([annotation], [detections(first.boxes)], official)
    assert report.figures["official_ap_easy"] == report.figures["ap"] == 1

    (tmp_path / "wider_face_split" / "wider_hard_val.mat").write_bytes(b"x" * 200)
    with pytest.raises(ValueError, match="got another file"):
        wider_face.read_official(str(tmp_path))
    (tmp_path / "wider_face_split" / "wider_hard_val.mat").unlink()
    with pytest.raises(FileNotFoundError, match="wider_hard_val"):
        wider_face.read_official(str(tmp_path))


def test_small_faces_and_ignored_regions_count_neither_way():
    boxes = [square(0, 0, 20), [100, 0, 119, 60], square(200, 0, 60)]  # the second is 19 px wide
    annotation = faces.Annotation("a", boxes, ignored=[square(300, 0, 50)])
    found = detections([square(300, 0, 50), boxes[1], boxes[0], square(400, 0, 50)])
    for min_size, num_faces, hits, false_positives in ((0, 3, 2, 1), (20, 2, 1, 1), (40, 1, 0, 1)):
        ranking = wider_face.rank([annotation], [found], min_size)
        assert ranking.num_faces == num_faces
        assert (ranking.totals()[1][-1], ranking.totals()[0][-1]) == (hits, false_positives)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.25, 3.0]))
def test_plain_figures_do_not_depend_on_order_scale_or_monotone_scores(seed, scale):
    rng = np.random.default_rng(seed)
    listed, found = random_run(rng, 8)
    annotations = [faces.Annotation(f"/{name}.jpg", p.boxes[p.counted_mask]) for name, p in listed.items()]
    runs = list(found.values())
    ranking = wider_face.rank(annotations, runs, 12)
    order = rng.permutation(len(runs))
    shuffled = wider_face.rank([annotations[i] for i in order], [runs[i] for i in order], 12)
    scaled = wider_face.rank(
        [faces.Annotation(a.image_path, a.boxes * scale) for a in annotations],
        [faces.Detections(r.boxes * np.float32(scale), r.scores**3, r.landmarks) for r in runs],
        12 * scale,
    )
    for other in (shuffled, scaled):
        np.testing.assert_allclose(other.totals(), ranking.totals())
        np.testing.assert_allclose(other.average_precision(), ranking.average_precision())


def test_perfect_detections():
    listed, _ = random_run(np.random.default_rng(8), 10)
    apart = [
        np.array([square(100 * i, 0, 20 + i) for i in range(len(p.boxes))]).reshape(-1, 4) for p in listed.values()
    ]
    annotations = [faces.Annotation(f"/e/{i}.jpg", boxes) for i, boxes in enumerate(apart)]
    report = wider_face.report(annotations, [detections(a.boxes) for a in annotations])
    assert report.figures["num_faces"] == sum(map(len, apart)) > 0
    assert report.figures["ap"] == report.figures["recall_at_fp_10_min20"] == 1
    assert np.isnan(report.figures["ap_min40"])
