import numpy as np
import pytest

from mtcnn_tf import datasets, faces, landmark_sets
from mtcnn_tf.datasets import five_points, ibug

rng = np.random.default_rng(0)
POINTS = np.round(rng.uniform(20, 80, (68, 2)), 3)
THREE = landmark_sets.LandmarkSet(3, ((0, 1),))


def text_of(points, ending="\n"):
    rows = [f"{x} {y}" for x, y in np.asarray(points) + 1]
    return ending.join(["version: 1", f"n_points:  {len(points)}", "{", *rows, "}", ""])


def write(directory, **texts):
    for stem, text in texts.items():
        (directory / f"{stem}.pts").write_bytes(text.encode())
        (directory / f"{stem}.jpg").touch()
    return directory


def test_points_are_counted_from_0_and_boxes_are_wider_faces(tmp_path):
    (annotation,), problems = ibug.read(write(tmp_path, a=text_of(POINTS)), landmark_set=landmark_sets.IBUG)
    assert not problems and not annotation.is_complete
    assert annotation.image_path == str(tmp_path / "a.jpg")
    np.testing.assert_allclose(annotation.landmarks, POINTS[None], atol=1e-4)
    np.testing.assert_allclose(annotation.boxes, five_points.boxes_round(ibug.five_of(POINTS)), atol=1e-3)


def test_five_of_the_68_are_taken_where_five_are_wanted(tmp_path):
    (annotation,), _ = datasets.read(f"ibug:{write(tmp_path, a=text_of(POINTS))}")
    eyes = [POINTS[36:42].mean(axis=0), POINTS[42:48].mean(axis=0)]
    np.testing.assert_allclose(annotation.landmarks[0], [*eyes, POINTS[30], POINTS[48], POINTS[54]], atol=1e-4)


def test_other_points_have_the_box_that_encloses_them(tmp_path):
    points = [[10, 20], [30, 20], [20, 60]]
    directory = write(tmp_path, a=text_of(points))
    (annotation,), problems = datasets.read(f"ibug:{directory}", landmark_set=THREE)
    assert not problems
    np.testing.assert_array_equal(annotation.boxes, [[10, 20, 30, 60]])
    (annotation,), (problem,) = datasets.read(f"ibug:{directory}", landmark_set=landmark_sets.IBUG)
    assert annotation.landmarks.shape == (1, 68, 2) and np.isnan(annotation.landmarks).all()
    assert problem.what == "points that are not the 68 wanted, left out" and "a.jpg" in problem.detail


@pytest.mark.parametrize(
    "text",
    [
        text_of(POINTS[:3], "\r\n"),
        "\ufeff" + text_of(POINTS[:3]),
        text_of(POINTS[:3]).replace("}", "} // done").replace("version", "# made by hand\nversion"),
        text_of(POINTS[:3]).replace("\n{\n", " {").replace("\n}", "}"),
        text_of(POINTS[:3]).replace("n_points:  3", "n_points:3"),
        text_of(POINTS[:3]).replace("n_points:", "image_size_x: 90\nn_points:"),
    ],
)
def test_files_may_be_written_in_other_ways(text, tmp_path):
    (annotation,), problems = ibug.read(write(tmp_path, a=text), landmark_set=THREE)
    assert not problems
    np.testing.assert_allclose(annotation.landmarks, POINTS[None, :3], atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version: 1",
        text_of(POINTS).replace("n_points:  68", "n_points: 67"),
        text_of(POINTS).replace("n_points:  68", f"n_points: {'9' * 5000}"),
        text_of(POINTS).replace("}", ""),
        text_of(POINTS).replace("version: 1\nn_points:  68\n", ""),
        text_of([]),
        text_of([[1, np.nan]]),
        text_of([[1, 1e30]]),
        "n_points: 1\n{\n1 x\n}",
    ],
)
def test_a_damaged_file_harms_no_other(text, tmp_path):
    directory = write(tmp_path, a=text_of(POINTS), b=text, c=text_of(POINTS))
    annotations, (problem,) = ibug.read(directory, landmark_set=landmark_sets.IBUG)
    assert len(annotations) == 2
    assert problem.what == "a .pts file without as many points as it says" and "b.pts" in problem.where


def test_points_without_image_or_extent_are_told(tmp_path):
    directory = write(tmp_path, a=text_of(POINTS), b=text_of([[5, 5]]), c=text_of(POINTS * 0))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ValueError, match="none was found .the first of 3 problems: .*points without an image"):
        datasets.read(f"ibug:{directory}")
    _, problems = ibug.read(directory)
    assert [p.what for p in problems] == ["points without an image", *["points without extent"] * 2]


def test_splits_are_those_of_300_w(tmp_path):
    for folder in ("afw", "helen/trainset", "helen/testset", "ibug"):
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder, a=text_of(POINTS))
    places = {
        split: [a.image_path.removeprefix(f"{tmp_path}/") for a in ibug.read(str(tmp_path), split)[0]]
        for split in ibug.SPLITS
    }
    assert places == {
        "train": ["afw/a.jpg", "helen/trainset/a.jpg"],
        "test": ["helen/testset/a.jpg", "ibug/a.jpg"],
    }
    for split in ibug.SPLITS:
        assert len(ibug.read(str(tmp_path / "helen" / "testset"), split)[0]) == 1  # nothing parts them
    with pytest.raises(ValueError, match="300-W's splits are train, test, got 'val'"):
        ibug.read(str(tmp_path), "val")


def test_sets_with_points_and_without_have_the_same_number(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "b.jpg").touch()
    (empty,), _ = datasets.read(f"folder:{tmp_path / 'none'}", landmark_set=landmark_sets.IBUG)
    assert empty.landmarks.shape == faces.no_landmarks(0, 68).shape == (0, 68, 2)
