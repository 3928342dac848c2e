"""The program as people start it. Build and check define the same flags, so that each needs a process of its own."""

import os
import pathlib
import re

import drawn_faces
import pytest
import test_crop_contact_sheets

from data_prep import building, crop_contact_sheets, image_contact_sheets, recipes
from mtcnn_tf.images import image_files
from tests import in_process

ROOT = pathlib.Path(__file__).parents[2]


def check(*flags):
    """Exit status, standard output and standard error of the program."""
    done = in_process.run("data_prep.check", *flags, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


def figures(printed):
    """The numbers of the report by the words before them."""
    rows = re.findall(r"^ *(\S.*?) {2,}([\d,]+)$", printed, re.MULTILINE)
    return {name: int(number.replace(",", "")) for name, number in rows}


@pytest.fixture(scope="module")
def faulty_dir(tmp_path_factory):
    """Five images in WIDER FACE's format, one of them a copy and one damaged."""
    directory = drawn_faces.write_wider_face(tmp_path_factory.mktemp("faulty"), 3)
    image_dir = directory / "WIDER_train" / "images" / "0--Test"
    (image_dir / "damaged.jpg").write_bytes(b"no image")
    (image_dir / "copy.png").write_bytes((image_dir / "001.png").read_bytes())
    split = directory / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    extra = ["0--Test/damaged.jpg", "1", "5 5 10 10 0 0 0 0 0 0", "0--Test/copy.png", "4"]
    extra += ["150 5 40 40 0 0 0 0 0 0", "-4 5 40 30 0 0 0 0 0 0", "9 9 0 5 0 0 0 0 0 0", "50 50 9 9 0 0 0 1 0 0"]
    split.write_text(split.read_text() + "\n".join(extra) + "\n")
    return directory


def test_report_of_a_data_set(faulty_dir, tmp_path):
    listed = tmp_path / "problems.txt"
    status, printed, _ = check(f"--dataset=wider_face:{faulty_dir}", f"--report={listed}")
    assert status == 0
    found = figures(printed)
    assert (found["images"], found["without faces"], found["faces"], found["ignored regions"]) == (5, 1, 5, 1)
    assert found["not all faces annotated (no negatives)"] == 1 and found["with all landmarks"] == 0
    assert (found["cut by the image's edge"], found["more than half outside (not learnt)"]) == (1, 1)
    assert (found["unreadable image"], found["image with the contents of another"]) == (1, 1)
    assert (found["a box without area"], found["box outside the image"]) == (1, 2)
    assert found["image listed more than once"] == 0
    assert "smallest 10, " in printed and "median 40, " in printed and "largest 60\n" in printed
    assert re.findall(r"(\d+) +([\d.]+)% #", printed) == [("1", "20.0"), ("1", "20.0"), ("3", "60.0")]
    assert re.search(
        "no square has an IoU of 0.65.*\n  of all faces +0.0%\n  of those of 16 pixels and more +0.0%\n", printed
    )
    assert len(listed.read_text().splitlines()) == 5 and "damaged.jpg: unreadable image" in listed.read_text()


def test_several_sets_are_looked_at_as_one(wider_dir, points_dir):
    status, printed, _ = check(f"--dataset=wider_face:{wider_dir}", f"--dataset=points:{points_dir}")
    found = figures(printed)
    assert status == 0
    assert (found["images"], found["without faces"], found["faces"], found["with all landmarks"]) == (18, 1, 17, 6)
    assert found["not all faces annotated (no negatives)"] == 6


def test_sheets_of_all_kinds_with_records(tmp_path):
    test_crop_contact_sheets.write_records(tmp_path / "records", (9, 3, 5, 0))
    flags = f"--records_dir={tmp_path / 'records'}", "--stage=pnet", f"--out_dir={tmp_path / 'sheets'}"
    status, printed, _ = check(*flags, "--num_crops=5")
    assert status == 0 and "every shard of pnet is whole" in printed and "no landmark examples" in printed
    files = [
        f"pnet-train-{kind}{ending}.png" for kind in ("negative", "part", "positive") for ending in ("", "-augmented")
    ]
    assert sorted(os.listdir(tmp_path / "sheets")) == sorted(files)
    for file in files:
        num_crops = 3 if "positive" in file else 5
        tile = crop_contact_sheets.TILE_SIDE + 2
        assert image_files.read(tmp_path / "sheets" / file).shape == (tile + 2, num_crops * tile + 2, 3)


def test_a_sheet_of_whole_images(wider_dir, tmp_path):
    config = recipes.Config("rpn", (f"wider_face:{wider_dir}",), num_shards=2)
    building.build(config, str(tmp_path), num_workers=1)
    flags = f"--records_dir={tmp_path}", "--stage=rpn", f"--out_dir={tmp_path / 'sheets'}"
    status, printed, errors = check(*flags, "--num_crops=5")
    assert status == 0 and "every shard of rpn is whole" in printed and "5 images: " in printed, errors
    assert os.listdir(tmp_path / "sheets") == ["rpn-train-images.png"]
    tile = image_contact_sheets.TILE_SIDE + 2
    assert image_files.read(tmp_path / "sheets" / "rpn-train-images.png").shape == (tile + 2, 5 * tile + 2, 3)
    shard = next((tmp_path / "rpn" / "train").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])
    status, printed, errors = check(*flags)
    assert status == 1 and re.search("^check: 1 shards of .*cut short", errors, re.MULTILINE)


def test_a_damaged_shard_is_named_in_one_sentence(tmp_path):
    manifest = test_crop_contact_sheets.write_records(tmp_path)
    path = tmp_path / "pnet" / manifest["shards"][1]["file"]
    contents = path.read_bytes()
    path.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    status, printed, errors = check(f"--records_dir={tmp_path}", "--stage=pnet", f"--out_dir={tmp_path / 'sheets'}")
    assert status == 1 and printed == "" and "Traceback" not in errors
    (sentence,) = (line for line in errors.splitlines() if line.startswith("check: "))
    assert manifest["shards"][1]["file"] in sentence and "given again, repairs" in sentence
    assert not (tmp_path / "sheets").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Exactly one of"),
        (["--records_dir=records"], "--records_dir needs --stage and --out_dir"),
        (["--records_dir=nowhere", "--stage=onet", "--out_dir=x"], "check: expected finished onet records"),
    ],
)
def test_wrong_flags_give_one_sentence(flags, message):
    status, _, errors = check(*flags)
    assert status == 1 and re.search(message, errors) and "Traceback" not in errors
