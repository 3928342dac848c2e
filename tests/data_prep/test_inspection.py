import dataclasses
import shutil

import drawn_faces
import numpy as np
import pytest

from data_prep import inspection
from mtcnn_tf import faces, landmark_sets
from mtcnn_tf.datasets import sizes
from mtcnn_tf.images import image_files

POINTS = np.float32([[45, 51], [75, 51], [60, 62], [48, 78], [72, 78]])
READERS_PROBLEM = faces.Problem("list.txt:7", "a box without area", "'0 0 0 0'")


@pytest.fixture
def images(tmp_path):
    """Paths of four different images, 160 × 120, a copy of the first, a damaged file and one that isn't there."""
    paths = {name: str(tmp_path / f"{name}.png") for name in ("a", "b", "c", "d", "copy", "damaged", "missing")}
    for seed, name in enumerate("abcd"):
        image_files.write(paths[name], drawn_faces.draw_image(seed))
    shutil.copy(paths["a"], paths["copy"])
    with open(paths["damaged"], "wb") as file:
        file.write(b"no image")
    return paths


def sized(*sides):
    """A face of each shorter side, side by side in a large enough row."""
    return np.float32([[0, 0, side, side + 5] for side in sides])


def of(*annotations, problems=()):
    return inspection.report(list(annotations), list(problems), num_threads=2)


def wheres(report, what):
    return [problem.where for problem in report.problems if problem.what == what]


def test_counts_of_images_and_faces(images):
    report = of(
        faces.Annotation(images["a"], sized(10, 30), ignored=sized(20)),
        faces.Annotation(images["b"], is_complete=False),
        faces.Annotation(images["c"], ignored=sized(20, 40)),
        faces.Annotation(images["d"], sized(20), is_complete=False),
    )
    assert (report.num_images, report.num_without_faces, report.num_incomplete) == (4, 2, 2)
    assert (report.num_faces, report.num_ignored, report.num_with_landmarks) == (3, 3, 0)
    assert report.problems == []
    assert set(report.problem_counts) == set(inspection.CHECKS) and not any(report.problem_counts.values())


def test_bins_of_sizes_include_their_lower_edge(images):
    sides = (11.9, 12, 19.9, 20, 39.9, 40, 79.9, 80, 100, 110)
    report = of(faces.Annotation(images["a"], sized(*sides)))
    np.testing.assert_array_equal(report.size_counts, [1, 2, 2, 2, 3])
    np.testing.assert_allclose(report.shorter_sides, sides)
    assert len(report.best_ious) == len(sides)


def test_quantiles_are_those_of_the_shorter_side(images):
    wide = np.float32([[0, 0, side + 50, side] for side in (10, 20, 30, 40, 50)])
    report = of(faces.Annotation(images["a"], wide))
    np.testing.assert_allclose(report.size_quantiles((0, 0.25, 0.5, 1)), [10, 20, 30, 50])


def test_a_set_without_faces_has_no_quantiles(images):
    report = of(faces.Annotation(images["a"]))
    assert report.num_faces == 0 and report.num_with_landmarks == 0
    assert np.isnan(report.size_quantiles((0.5,))).all()
    np.testing.assert_array_equal(report.size_counts, np.zeros(5))


def test_only_five_known_points_count_as_all_landmarks(images):
    four = POINTS.copy()
    four[2] = np.nan
    boxes = np.float32([drawn_faces.FACE, (0, 0, 20, 20), (100, 0, 120, 20)])
    report = of(faces.Annotation(images["a"], boxes, np.stack([POINTS, four, np.full((5, 2), np.nan)])))
    assert report.num_with_landmarks == 1 and report.problems == []


def test_faces_cut_and_faces_outside(images):
    boxes = np.float32([[-5, 0, 45, 50], [140, 80, 180, 120], [150, 0, 190, 40], [300, 0, 340, 40], [0, 0, 160, 120]])
    report = of(faces.Annotation(images["a"], boxes))
    assert (report.num_cut, report.num_outside) == (2, 2)  # the first still shows 90 %, the second exactly half
    assert report.problem_counts["box outside the image"] == 4


def test_boxes_that_repeat_an_earlier_one(images):
    boxes = np.float32([[10, 10, 50, 50], [60, 10, 90, 50], [10, 10, 50, 50], [10, 10, 50, 51], [10, 10, 50, 60]])
    report = of(faces.Annotation(images["a"], boxes), faces.Annotation(images["b"], boxes[:2]))
    assert wheres(report, inspection.DUPLICATE_BOX) == [images["a"]] * 2
    details = [problem.detail for problem in report.problems]
    assert details == ["[10.0, 10.0, 50.0, 50.0]", "[10.0, 10.0, 50.0, 51.0]"]


def test_the_same_path_and_the_same_contents(images):
    a, b, copy = (faces.Annotation(images[name]) for name in ("a", "b", "copy"))
    report = of(a, b, a, copy, a)
    assert report.num_images == 5
    assert wheres(report, inspection.LISTED_TWICE) == [images["a"]] * 2
    (problem,) = (problem for problem in report.problems if problem.what == inspection.SAME_CONTENTS)
    assert problem.where == images["copy"] and images["a"] in problem.detail


def test_unreadable_images_are_reported_once_and_their_faces_still_counted(images):
    names = ("damaged", "missing", "a", "damaged")
    report = of(*(faces.Annotation(images[name], sized(30)) for name in names))
    assert wheres(report, inspection.UNREADABLE) == [images["damaged"], images["missing"]]
    assert report.num_faces == 4 and report.num_outside == 0


def test_points_outside_and_sides_exchanged(images):
    boxes = np.float32([drawn_faces.FACE] * 5) + 5 * np.arange(5, dtype=np.float32)[:, None]
    at_right_edge = POINTS + np.float32([160 - POINTS[:, 0].max(), 0])  # the image is 160 wide and 120 high
    beyond_right, beyond_bottom = at_right_edge + np.float32([0.5, 0]), POINTS + np.float32([0, 60])
    points = np.stack(
        [POINTS, at_right_edge, beyond_right, beyond_bottom, POINTS[list(landmark_sets.FIVE.mirror_order)]]
    )
    report = of(faces.Annotation(images["a"], boxes, points))
    counts = report.problem_counts
    assert counts[inspection.POINT_OUTSIDE] == 2 and counts[inspection.SIDES_SWAPPED] == 1
    assert "160.5" in next(p.detail for p in report.problems if p.what == inspection.POINT_OUTSIDE)


def test_boxes_of_another_size_are_reported_and_nothing_else_of_them(images):
    boxes = np.float32([[0, 0, 600, 400]])
    report = of(faces.Annotation(images["a"], boxes, POINTS[None] * 9, size=(800, 600)))
    assert [problem.what for problem in report.problems] == [sizes.OTHER_SIZE]
    assert (report.num_cut, report.num_outside) == (0, 0)


def test_a_profile_with_only_its_eyes_exchanged_is_left_alone(images):
    profile = POINTS[[1, 0, 2, 3, 4]]
    report = of(faces.Annotation(images["a"], np.float32([drawn_faces.FACE]), profile[None]))
    assert report.problem_counts[inspection.SIDES_SWAPPED] == 0


def test_the_readers_problems_come_first(images):
    other = dataclasses.replace(READERS_PROBLEM, where="list.txt:9")
    report = of(faces.Annotation(images["missing"]), problems=[READERS_PROBLEM, other])
    assert report.problems[:2] == [READERS_PROBLEM, other]
    assert report.problem_counts["a box without area"] == 2 and report.problem_counts[inspection.UNREADABLE] == 1


def test_any_number_of_threads_gives_the_same(images):
    annotations = [faces.Annotation(path, sized(30)) for path in images.values()]
    one, four = (inspection.report(annotations, [], num_threads) for num_threads in (1, 4))
    assert one.problems == four.problems and one.num_cut == four.num_cut


def test_the_share_of_faces_that_no_square_reaches(tmp_path):
    image_files.write(tmp_path / "a.png", np.zeros((120, 160, 3), np.uint8))
    boxes = [[0, 0, 20, 20], [0, 0, 20, 40], [0, 0, 10, 60], [0, 0, 30, 100], [0, 0, 50, 51]]
    # The best square is of the same area: IoU 1, 0.55, 0.26, 0.38, 0.98.
    report = inspection.report([faces.Annotation(str(tmp_path / "a.png"), boxes)], [])
    assert report.out_of_reach(0.65) == pytest.approx(3 / 5)
    assert report.out_of_reach(0.65, 16) == pytest.approx(2 / 4)
    assert report.out_of_reach(0.5, 16) == pytest.approx(1 / 4)
    assert np.isnan(report.out_of_reach(0.65, 60))
