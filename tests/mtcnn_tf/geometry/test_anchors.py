import itertools

import numpy as np
import pytest

from mtcnn_tf.geometry import anchors, boxes


def mean_iou(sides, sizes):
    return np.mean([max(min(side / size, size / side) ** 2 for size in sizes) for side in sides])


def test_boxes_come_stride_by_stride_row_by_row_column_by_column_and_by_size():
    of_image = anchors.Anchors((12, 40, 41, 112, 113, 500))
    strides = {8: (12.0, 40.0), 16: (41.0, 112.0), 32: (113.0, 500.0)}
    assert of_image.by_stride() == strides
    expected = [
        [x + stride / 2 - size / 2, y + stride / 2 - size / 2, x + stride / 2 + size / 2, y + stride / 2 + size / 2]
        for stride, sizes in strides.items()
        for y in range(0, 64, stride)
        for x in range(0, 96, stride)
        for size in sizes
    ]
    found = of_image.boxes(64, 96)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected)


def test_strides_without_anchors_are_left_out():
    assert anchors.Anchors((12,)).by_stride() == {8: (12.0,)}
    assert anchors.Anchors((12, 300)).boxes(32, 32).shape == (16 + 1, 4)
    assert len(anchors.Anchors((12,)).boxes(0, 32)) == 0


@pytest.mark.parametrize("sizes", [(), (12, 12), (20, 12), (0, 12), (-1,), (np.nan,), (np.inf,)])
def test_impossible_anchors_are_one_sentence(sizes):
    with pytest.raises(ValueError, match="anchors need different sizes above 0 in ascending order, got"):
        anchors.Anchors(sizes)


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "anchors.json"
    anchors.write(path, anchors.Anchors((11.5, 30)))
    assert anchors.read(path) == anchors.Anchors((11.5, 30))
    for wrong in ("", "[]", "{}", '{"sizes": 3}', '{"sizes": [3, 2]}', '{"sizes": ["a"]}', '{"sizes": null}', "\xff"):
        path.write_text(wrong, encoding="latin-1")
        with pytest.raises(ValueError, match=r"expected anchors as data_prep.anchors writes them.*anchors\.json"):
            anchors.read(path)
    with pytest.raises(FileNotFoundError):
        anchors.read(tmp_path / "nothing.json")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("num_anchors", [1, 2, 3])
def test_chosen_anchors_are_the_best_of_all(seed, num_anchors):
    """Brute force: every set of sizes, and a fine grid between them for a single one."""
    rng = np.random.default_rng(seed)
    sides = np.round(np.exp(rng.uniform(2, 6, 9)), 1)[rng.integers(0, 9, 14)]
    chosen = anchors.choose(sides, num_anchors)
    best = max(mean_iou(sides, sizes) for sizes in itertools.combinations(np.unique(sides), num_anchors))
    assert mean_iou(sides, chosen.sizes) == pytest.approx(best)
    if num_anchors == 1:
        assert best >= max(mean_iou(sides, [size]) for size in np.geomspace(sides.min(), sides.max(), 2000)) - 1e-9


def test_many_faces_are_fitted_as_well_as_by_a_search():
    """No neighbouring set of sizes is better by more than what sides within one percent differ by."""
    sides = np.exp(np.random.default_rng(0).normal(3.5, 0.8, 20_000))
    chosen = np.array(anchors.choose(sides).sizes)
    assert len(chosen) == anchors.NUM_ANCHORS
    fit = anchors.concentric_iou(sides, chosen).max(axis=1).mean()
    assert fit > anchors.concentric_iou(sides, anchors.Anchors().sizes).max(axis=1).mean()
    for row, factor in itertools.product(range(len(chosen)), (0.9, 0.97, 1.03, 1.1)):
        moved = chosen * np.where(np.arange(len(chosen)) == row, factor, 1)
        assert anchors.concentric_iou(sides, moved).max(axis=1).mean() < fit + 1e-3


def test_choosing_is_scale_free_and_independent_of_order():
    sides = np.round(np.exp(np.random.default_rng(1).uniform(3, 6, 40)), 1)
    chosen = np.array(anchors.choose(sides, 4).sizes)
    np.testing.assert_allclose(anchors.choose(sides[::-1] * 3, 4).sizes, chosen * 3)
    assert anchors.choose([5.0, 7.0, 7.0], 2).sizes == (5, 7)


@pytest.mark.parametrize("sides", [[], [10.0], [10.0, 10.0, 10.001]])
def test_fewer_sizes_than_anchors_are_one_sentence(sides):
    with pytest.raises(ValueError, match=rf"at least 2 different sizes for 2 anchors, got {min(len(sides), 1)}; ask"):
        anchors.choose(sides, 2)


def test_iou_of_concentric_squares():
    sides, sizes = np.array([3.0, 10.0, 77.0]), np.array([5.0, 10.0])
    expected = [
        [boxes.iou(*(np.float64([[-s / 2, -s / 2, s / 2, s / 2]]) for s in (a, b)))[0, 0] for b in sizes] for a in sides
    ]
    np.testing.assert_allclose(anchors.concentric_iou(sides, sizes), expected)


@pytest.mark.parametrize(
    "grids", [{8: (12.0, 17.0)}, {8: (12.0,), 16: (60.0,), 32: (150.0,)}, {3.4: (20.0,), 4.7: (28.2,)}]
)
@pytest.mark.parametrize("side", [5.0, 18.0, 60.0, 140.0])
def test_expected_overlap_is_that_over_all_places(grids, side):
    """Brute force: each place of the face, each square near it, and IoU by its definition."""
    coarsest, num_places = max(grids), 12
    squares = []
    for spacing, sizes in grids.items():
        centres = (np.arange(-40, 41) + 0.5) * spacing
        centres = centres[np.abs(centres - coarsest / 2) < 2 * coarsest]
        for x, y, size in itertools.product(centres, centres, sizes):
            squares.append([x - size / 2, y - size / 2, x + size / 2, y + size / 2])
    places = (np.arange(num_places) + 0.5) / num_places * coarsest
    centres = np.array(list(itertools.product(places, places)))
    of_faces = np.concatenate([centres - side / 2, centres + side / 2], axis=1)
    expected = boxes.iou(of_faces, np.array(squares)).max(axis=1).mean()
    found = anchors.expected_max_iou(np.array([side]), grids, num_places)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_sizes_of_faces_follow_the_anchors():
    for sizes in ((9.5, 380.0), (11.0, 300.0)):
        assert anchors.Anchors().fitted(sizes) == sizes
        least, largest = anchors.Anchors((48.0, 96.0, 840.0)).fitted(sizes)
        assert (least, largest) == pytest.approx((4 * sizes[0], 4 * sizes[1]))


def test_expected_overlap_rises_with_more_squares_and_finer_grids():
    sides = np.geomspace(8, 300, 40)
    few, more = {16: (30.0,)}, {16: (30.0, 90.0)}
    assert (anchors.expected_max_iou(sides, more) >= anchors.expected_max_iou(sides, few)).all()
    finer = anchors.expected_max_iou(sides, {8: (30.0,)})
    assert (finer >= anchors.expected_max_iou(sides, few) - 1e-9).all()
    assert anchors.expected_max_iou([30.0], {1e-6: (30.0,)}) == pytest.approx(1)
    found = anchors.expected_max_iou(sides, anchors.Anchors().by_stride())
    assert ((found > 0) & (found <= 1)).all()


def test_the_windows_of_a_pyramid():
    grids = anchors.pyramid_grids(20, 0.5, 2, 12, 70)
    assert list(grids.values()) == [(20.0,), (40.0,), (80.0,)]
    np.testing.assert_allclose(list(grids), [20 / 6, 40 / 6, 80 / 6])
    assert list(anchors.pyramid_grids(20, 0.7, 2, 12, 20).values()) == [(20.0,)]


@pytest.mark.parametrize(("width", "height"), [(10, 10), (10, 15), (30, 10), (7, 100)])
def test_the_best_square_is_as_good_as_any_that_a_search_finds(width, height):
    box = np.float64([[3, 4, 3 + width, 4 + height]])
    found = anchors.best_iou_of_squares(box)[0]
    sides = np.linspace(min(width, height) / 2, max(width, height) * 1.2, 200)
    shifts = np.linspace(-0.5, 0.5, 11)
    centre = (box[0, :2] + box[0, 2:]) / 2
    squares = [
        [x - side / 2, y - side / 2, x + side / 2, y + side / 2]
        for side in sides
        for x, y in itertools.product(centre[0] + shifts * width, centre[1] + shifts * height)
    ]
    best = boxes.iou(box, np.array(squares)).max()
    assert best <= found + 1e-9 and best == pytest.approx(found, abs=5e-3)


def test_the_best_square_of_many_boxes():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (30, 2))
    several = np.concatenate([corners, corners + rng.uniform(1, 80, (30, 2))], axis=1)
    one_by_one = [anchors.best_iou_of_squares(box[None])[0] for box in several]
    np.testing.assert_allclose(anchors.best_iou_of_squares(several), one_by_one)
    np.testing.assert_allclose(anchors.best_iou_of_squares(several * 7), one_by_one)
    np.testing.assert_allclose(anchors.best_iou_of_squares(several[:, [1, 0, 3, 2]]), one_by_one)
    assert anchors.best_iou_of_squares(np.zeros((0, 4), np.float32)).shape == (0,)


def test_longer_sides():
    np.testing.assert_allclose(anchors.sides_of(np.float32([[1, 2, 11, 7], [0, 0, 3, 30]])), [10, 30])
    assert anchors.sides_of(np.zeros((0, 4), np.float32)).shape == (0,)
