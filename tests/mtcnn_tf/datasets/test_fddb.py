import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcnn_tf.datasets import fddb


@given(st.floats(1, 300), st.floats(1, 300), st.floats(-7, 7), st.floats(-50, 500), st.floats(-50, 500))
def test_box_touches_the_sampled_ellipse(major, minor, angle, x, y):
    t = np.linspace(0, 2 * np.pi, 20_001)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    outline = np.stack([major * np.cos(t), minor * np.sin(t)], axis=1) @ turn + [x, y]
    expected = np.concatenate([outline.min(0), outline.max(0)])
    np.testing.assert_allclose(fddb.boxes_round(np.array([[major, minor, angle, x, y]]))[0], expected, atol=1e-4)


@pytest.fixture
def folds_dir(tmp_path):
    (tmp_path / "FDDB-folds").mkdir()
    return tmp_path / "FDDB-folds"


def test_reads_folds_in_order(folds_dir):
    (folds_dir / "FDDB-fold-10-ellipseList.txt").write_text("2003/b/img_2\n1\n30 20 0 100 90  1\n")
    (folds_dir / "FDDB-fold-09-ellipseList.txt").write_text(f"2002/a/img_1\n1\n30 20 {np.pi / 2} 100 90  1\n")
    (folds_dir / "FDDB-fold-09.txt").write_text("2002/a/img_1\n")
    annotations, problems = fddb.read(str(folds_dir.parent))
    assert not problems
    images = folds_dir.parent / "originalPics"
    assert [a.image_path for a in annotations] == [
        str(images / "2002" / "a" / "img_1.jpg"),
        str(images / "2003" / "b" / "img_2.jpg"),
    ]
    np.testing.assert_allclose(annotations[0].boxes, [[80, 60, 120, 120]], atol=1e-4)
    np.testing.assert_allclose(annotations[1].boxes, [[70, 70, 130, 110]], atol=1e-4)
    assert all(a.is_complete for a in annotations)


def test_problems(folds_dir):
    (folds_dir / "FDDB-fold-01-ellipseList.txt").write_text(
        "a/1\n2\n30 20 0 100 90 1\nb/2\n1\n30 x 0 100 90 1\nc/3\n2\n30 0 0 9 9 1\n30 20 0 100 90\n"
    )
    annotations, problems = fddb.read(str(folds_dir.parent))
    assert sorted(p.what for p in problems) == [
        "an ellipse without area",
        "an ellipse's line without its 5 or 6 numbers",
        "the count of faces does not match",
    ]
    assert [(len(a.boxes), a.is_complete) for a in annotations] == [(1, False), (0, False), (1, False)]


def test_images_in_another_format(folds_dir):
    (folds_dir / "FDDB-fold-01-ellipseList.txt").write_text("2002/a\n1\n30 20 0 100 90 1\n")
    image = folds_dir.parent / "originalPics" / "2002" / "a.PNG"
    image.parent.mkdir(parents=True)
    image.touch()
    assert fddb.read(str(folds_dir.parent))[0][0].image_path == str(image)


def test_no_folds(tmp_path):
    with pytest.raises(FileNotFoundError, match="ellipseList"):
        fddb.read(str(tmp_path))
