"""`pip install .` gives a package that works by itself: the wheel in an empty folder, far from the sources.

Needs pip and the setuptools of requirements-dev.txt, and no network.
"""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from packaging import requirements

from data_prep.sample_set import sample_scenes
from mtcnn_tf.images import image_files

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "LICENSE", "README.md", "mtcnn_tf", "data_prep")

FIND_FACES = """
import pathlib, sys
sys.modules.update(dict.fromkeys(("matplotlib", "skimage", "tensorboard"), None))  # as if not installed
import mtcnn_tf, mtcnn_tf.cli.detect
found = mtcnn_tf.load()(sys.argv[1]).with_score(0.9)
homes = [pathlib.Path(module.__file__) for name, module in sys.modules.items() if name.startswith("mtcnn_tf")]
print(len(found), found.landmarks.shape, all(home.is_relative_to(sys.argv[2]) for home in homes))
"""


def run(*command, **kwargs):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed_dir(tmp_path_factory):
    """An empty folder into which the wheel was installed."""
    source_dir, wheel_dir, installed_dir = (tmp_path_factory.mktemp(name) for name in ("source", "wheel", "installed"))
    for name in SOURCES:  # building leaves files behind
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source_dir / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
    run(*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", f"--wheel-dir={wheel_dir}", source_dir)
    run(*pip, "install", "--no-index", "--no-deps", f"--target={installed_dir}", *wheel_dir.glob("*.whl"))
    return installed_dir


@pytest.fixture(scope="module")
def portrait_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "portrait.png"
    image_files.write(path, sample_scenes.portraits()[0].pixels)
    return path


def test_it_finds_the_face_of_a_portrait(installed_dir, portrait_path):
    environment = {**os.environ, "PYTHONPATH": str(installed_dir)}
    command = (sys.executable, "-c", FIND_FACES, portrait_path, installed_dir)
    assert run(*command, cwd=portrait_path.parent, env=environment).split("\n")[0] == "1 (1, 5, 2) True"


def test_it_brings_its_commands(installed_dir, portrait_path, tmp_path):
    commands = {path.name for path in (installed_dir / "bin").iterdir()}
    assert commands >= {"mtcnn-detect", "mtcnn-evaluate", "mtcnn-calibrate"}
    environment = {**os.environ, "PYTHONPATH": str(installed_dir)}
    detect = installed_dir / "bin" / "mtcnn-detect"
    run(detect, portrait_path, f"--out_dir={tmp_path}", cwd=portrait_path.parent, env=environment)
    assert {path.name for path in tmp_path.iterdir()} == {"portrait.faces.jpg", "detections.json"}


def test_it_asks_for_what_the_repository_does_but_the_sample_set(installed_dir):
    (metadata,) = installed_dir.glob("*.dist-info")
    lines = importlib.metadata.PathDistribution(metadata).requires
    asked = [requirements.Requirement(line) for line in lines]
    extras = {str(one.marker).split('"')[1] for one in asked if one.marker}
    assert extras == {"train", "evaluate", "heif", "litert", "onnx", "serve"}
    apart = ("heif", "litert", "onnx", "serve")  # which nothing in the repository needs but its tests or an example
    asked = [one for one in asked if not any(extra in str(one.marker) for extra in apart)]
    listed = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    listed = {(one.name, one.specifier) for one in map(requirements.Requirement, listed)}
    assert {name for name, _ in listed - {(one.name, one.specifier) for one in asked}} == {"scikit-image"}
    assert {(one.name, one.specifier) for one in asked} <= listed


def test_it_brings_weights_and_type_hints_and_no_tests(installed_dir):
    package = installed_dir / "mtcnn_tf"
    assert (package / "py.typed").is_file()
    held = {str(path.relative_to(package / "weights")) for path in (package / "weights").rglob("*.*")}
    networks = {"default/rpn.keras", "default/onet.keras"} | {
        f"classic/{name}.keras" for name in ("pnet", "rnet", "onet")
    }
    assert held >= {"README.md", "default/weights.json", "classic/weights.json"} | networks
    assert sum(path.stat().st_size for path in (package / "weights").rglob("*.*")) < 12e6
    assert {path.name for path in installed_dir.iterdir() if path.suffix != ".dist-info"} == {"bin", "mtcnn_tf"}
    assert (package / "data_prep" / "build.py").is_file()
    assert not (package / "data_prep" / "sample_set").exists()


def test_all_packages_are_brought(installed_dir):
    here = {path.parent.relative_to(ROOT) for path in (ROOT / "mtcnn_tf").rglob("__init__.py")}
    there = {path.parent.relative_to(installed_dir) for path in (installed_dir / "mtcnn_tf").rglob("__init__.py")}
    assert there - here == {pathlib.Path("mtcnn_tf/data_prep")} and here <= there


def test_records_can_be_built_and_checked(installed_dir, portrait_path, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed_dir)}
    flags = (f"--dataset=folder:{portrait_path.parent}", "--stage=rpn", f"--out_dir={tmp_path}", "--num_workers=1")
    command = (sys.executable, "-m", "mtcnn_tf.data_prep.build", *flags)
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "expected annotated faces of at least 20 pixels" in result.stderr
