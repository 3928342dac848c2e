import pathlib
import re

import drawn_faces
import matplotlib.figure
import numpy as np
import pytest

from data_prep import anchor_plots
from mtcnn_tf import datasets, faces
from mtcnn_tf.geometry import anchors
from mtcnn_tf.images import image_files
from tests import in_process

ROOT = pathlib.Path(__file__).parents[2]


def run(*flags):
    """Exit status, standard output and standard error of the program."""
    done = in_process.run("data_prep.anchors", *flags, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def voc_dir(tmp_path_factory):
    """Twelve images of 160 × 120 pixels with a face each, of different sizes."""
    directory = tmp_path_factory.mktemp("voc")
    annotations = []
    for number in range(12):
        path = directory / f"{number}.png"
        image_files.write(path, drawn_faces.draw_image(number))
        annotations.append(faces.Annotation(str(path), [[5, 5, 17 + 4 * number, 15 + 4 * number]]))
    drawn_faces.write_voc(directory / "voc", annotations, "face")
    return directory / "voc"


def test_sides_in_images_as_they_are_and_shrunk(voc_dir):
    annotations, _ = datasets.read(f"voc:{voc_dir}", "train", None)
    sides = anchor_plots.sides_of_faces(annotations)
    assert len(sides) == 12 and len(np.unique(sides)) == 12
    np.testing.assert_allclose(anchor_plots.sides_of_faces(annotations, 80), sides / 2)
    np.testing.assert_allclose(anchor_plots.sides_of_faces(annotations, 200), sides)
    missing = [faces.Annotation("nowhere.jpg", [[0, 0, 5, 5]]), faces.Annotation("nowhere.jpg")]
    assert anchor_plots.sides_of_faces(missing, 80).shape == anchor_plots.sides_of_faces([]).shape == (0,)


def test_mean_iou_is_that_with_the_best_anchor():
    sides, of_sides = np.array([10.0, 10.0, 30.0]), anchors.Anchors((10, 20))
    assert anchor_plots.mean_iou(sides, of_sides) == pytest.approx((1 + 1 + 4 / 9) / 3)


def test_plots_show_every_anchor_and_every_first_stage():
    figure = matplotlib.figure.Figure()
    left, right = figure.subplots(1, 2)
    anchor_plots.draw_sizes(left, np.geomspace(9, 500, 300), anchors.Anchors())
    assert [line.get_xdata()[0] for line in left.lines] == list(anchors.Anchors().sizes)
    assert sum(bar.get_height() for bar in left.patches) == 300
    grids = {"RPN": anchors.Anchors().by_stride(), "P-Net": anchors.pyramid_grids(20, 0.7, 2, 12, 400)}
    anchor_plots.draw_overlap(right, grids, 10, 100)
    assert [line.get_label() for line in right.lines] == list(grids)
    for line, of_stage in zip(right.lines, grids.values(), strict=True):
        sides, overlap = line.get_data()
        assert (sides[0], sides[-1]) == pytest.approx((10, 100))
        np.testing.assert_allclose(overlap, anchors.expected_max_iou(sides, of_stage))


def test_the_program_writes_anchors_and_a_plot(voc_dir, tmp_path):
    out, plot = tmp_path / "anchors.json", tmp_path / "anchors.png"
    status, printed, errors = run(f"--dataset=voc:{voc_dir}", "--num_anchors=3", f"--out={out}", f"--plot={plot}")
    assert status == 0, errors
    chosen = anchors.read(out)
    sides = anchor_plots.sides_of_faces(datasets.read(f"voc:{voc_dir}", "train", None)[0])
    assert chosen == anchors.choose(sides[sides >= 12], 3)
    sizes = ", ".join(f"{size:g}" for size in chosen.sizes)
    assert re.search(rf"chosen anchors: mean IoU 0\.\d+, sides {re.escape(sizes)}\n", printed)
    assert image_files.read(plot).shape[1] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anchors.json", "anchors.png"]


def test_faces_are_measured_in_shrunk_images(voc_dir, tmp_path):
    out = tmp_path / "anchors.json"
    flags = f"--dataset=voc:{voc_dir}", "--num_anchors=1", "--min_face_size=1", f"--out={out}"
    assert run(*flags)[0] == 0
    full = anchors.read(out).sizes[0]
    assert run(*flags, "--longest_side=80")[0] == 0
    assert anchors.read(out).sizes[0] == pytest.approx(full / 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num_anchors=50"], "^anchors: expected faces of at least 50 different sizes for 50 anchors, got 12; ask"),
        (["--min_face_size=900"], "^anchors: expected faces of at least 9 different sizes .* got 0"),
        (["--dataset=voc:nowhere"], "^anchors: .*nowhere"),
        (["--num_anchors=0"], "flag --num_anchors=0"),
        (["more"], "expected flags only, got 'more'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(voc_dir, tmp_path, flags, message):
    status, printed, errors = run(f"--dataset=voc:{voc_dir}", f"--out={tmp_path / 'a.json'}", *flags)
    assert status == 1 and "Traceback" not in errors
    assert re.search(message, errors + printed, re.MULTILINE)
    assert not list(tmp_path.iterdir())
