"""Builds from and into addresses; TensorFlow's file system in memory, ram://, stands for a bucket."""

import functools
import itertools
import os
import pathlib

import numpy as np
import pytest

from data_prep import building, jobs, shards
from mtcnn_tf import files, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.models import networks
from mtcnn_tf.records import input_pipeline
from tests.data_prep import test_building

_numbers = itertools.count()


@pytest.fixture
def out_dir():
    """An address that no test has used."""
    return files.as_path(f"ram://records/{next(_numbers)}-")


def upload(directory: pathlib.Path, address: str):
    """Copies a folder to an address."""
    for path in directory.rglob("*"):
        if path.is_file():
            target = files.as_path(address) / path.relative_to(directory).as_posix()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return address


def run(pending, settings, on_image):
    """Runs the jobs in this process: no other one sees its memory."""
    propose = settings.miner.load() if settings.miner else None
    for job in pending:
        yield job, jobs.make(job, settings, propose, on_image)


build = functools.partial(building.build, num_workers=1, run=run)


@pytest.fixture(scope="module")
def local_specs(wider_dir, points_dir):
    return f"wider_face:{wider_dir}", f"points:{points_dir}"


@pytest.fixture(scope="module")
def specs(wider_dir, points_dir):
    return (
        f"wider_face:{upload(wider_dir, 'ram://sets/wider')}",
        f"points:{upload(points_dir, 'ram://sets/points')}",
    )


@pytest.fixture(scope="module")
def built(local_specs, tmp_path_factory):
    """A local build and its manifest."""
    out_dir = tmp_path_factory.mktemp("built")
    return out_dir, build(test_building.config_of(*local_specs), str(out_dir))


def records_in(out_dir) -> dict[str, bytes]:
    paths = [os.path.join(parent, name) for parent, _, names in files.walk(out_dir) for name in names]
    return {
        path.removeprefix(str(out_dir)): files.as_path(path).read_bytes()
        for path in paths
        if path.endswith(".tfrecord")
    }


def without_paths(manifest):
    return {name: value for name, value in manifest.items() if name not in ("settings", "mining")}


def test_an_address_holds_the_bytes_of_a_local_build(built, specs, out_dir):
    manifest = build(test_building.config_of(*specs), str(out_dir))
    assert without_paths(manifest) == without_paths(built[1]) and not manifest["problems"]
    assert records_in(out_dir) == records_in(built[0])
    held_out = (out_dir / "pnet" / "held_out.txt").read_text().splitlines()
    assert len(held_out) == 4 and all(image_files.read(path).shape == (120, 160, 3) for path in held_out)
    names = sorted(path.name for path in (out_dir / "pnet").glob("*"))
    assert names == ["held_out.txt", "manifest.json", "problems.txt", "train", "validation"]
    again = build(test_building.config_of(*specs), str(out_dir), run=None)
    assert again == manifest, "a finished build is left alone"
    with pytest.raises(ValueError, match=r"\(seed\).*--restart"):
        build(test_building.config_of(*specs, seed=1), str(out_dir))
    assert build(test_building.config_of(*specs, seed=1), str(out_dir), restart=True) != manifest


def test_a_stopped_build_goes_on_and_ends_the_same(built, specs, out_dir):
    made = []

    def stopped(pending, *rest):
        yield from itertools.islice(run(pending, *rest), 2)
        raise KeyboardInterrupt

    def counted(pending, *rest):
        made.extend(pending)
        return run(pending, *rest)

    with pytest.raises(KeyboardInterrupt):
        build(test_building.config_of(*specs), str(out_dir), run=stopped)
    with pytest.raises(FileNotFoundError, match="finished pnet records in ram://.*found no records"):
        input_pipeline.read_manifest(str(out_dir), stages.PNET)
    half = out_dir / "pnet" / "train" / ".partial-99-negative-00001-of-00004.tfrecord"
    half.write_bytes(b"half")
    build(test_building.config_of(*specs), str(out_dir), run=counted)
    assert len(made) == 2 and not half.is_file()  # of four
    assert records_in(out_dir) == records_in(built[0])


def test_damaged_records_are_built_again(built, specs, out_dir):
    manifest = build(test_building.config_of(*specs), str(out_dir))
    path = out_dir / "pnet" / manifest["shards"][0]["file"]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="1 shards of ram://.*cut short.*given again, repairs them"):
        input_pipeline.check_shards(str(out_dir), stages.PNET)
    lines = []
    assert build(test_building.config_of(*specs), str(out_dir), report=lines.append) == manifest
    assert len(lines) == 1 and lines[0].startswith("1 shards of ram://")
    assert records_in(out_dir) == records_in(built[0])
    path.unlink()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(ValueError, match="SHA-256"):
        input_pipeline.check_shards(str(out_dir), stages.PNET)


def test_records_are_read_from_an_address(built):
    address = upload(built[0], f"ram://records/{next(_numbers)}-")
    input_pipeline.check_shards(address, stages.PNET)
    assert input_pipeline.read_manifest(address, stages.PNET) == built[1]
    for split, repeat in (("train", True), ("validation", False)):
        both = [input_pipeline.batches(place, stages.PNET, split, 64, repeat=repeat) for place in (address, built[0])]
        for remote, local in itertools.islice(zip(*both, strict=True), 5):
            for name in local:
                np.testing.assert_array_equal(remote[name], local[name])


def test_proposals_of_networks_at_an_address_are_the_same(specs, local_specs, tmp_path, out_dir):
    (tmp_path / "networks").mkdir()
    networks.build(stages.PNET).save(tmp_path / "networks" / "pnet.keras")
    config = functools.partial(test_building.config_of, stage="rnet", calibration_images=3)
    with pytest.raises(FileNotFoundError, match="train.py --stage=pnet --networks=ram://none"):
        build(config(specs[0], networks="ram://none"), str(out_dir))
    address = upload(tmp_path / "networks", "ram://networks")
    remote = build(config(specs[0], networks=address), str(out_dir))
    local = build(config(local_specs[0], networks=str(tmp_path / "networks")), str(tmp_path / "local"))
    assert remote["mining"]["calibration"] == local["mining"]["calibration"]
    assert without_paths(remote) == without_paths(local)
    assert records_in(out_dir) == records_in(tmp_path / "local")


def test_what_is_missing_is_told_in_one_sentence(specs, wider_dir, out_dir):
    with pytest.raises(FileNotFoundError, match="a data set needs its directory, but ram://none is not there; check"):
        build(test_building.config_of("wider_face:ram://none"), str(out_dir))
    upload(wider_dir, "ram://sets/gaps")
    missing = files.as_path("ram://sets/gaps/WIDER_train/images/0--Test/003.png")
    missing.unlink()
    manifest = build(test_building.config_of("wider_face:ram://sets/gaps"), str(out_dir))
    assert manifest["problems"] == {"unreadable image": 1}
    problems = (out_dir / "pnet" / building.PROBLEMS).read_text()
    assert problems.startswith(f"{missing}: unreadable image (expected an image at '{missing}', found no file")


def test_what_cannot_be_written_is_an_error_of_files():
    with pytest.raises(OSError, match="got 'other://a/b.txt'; copy"):
        shards.write_text(files.as_path("other://a/b.txt"), "x")
