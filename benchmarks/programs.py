"""Build, training and export on a small sample set, as processes, and what tells whether they ended well."""

import contextlib
import csv
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from data_prep import sample_files
from mtcnn_tf import locks, stages
from mtcnn_tf.models import networks
from mtcnn_tf.records import input_pipeline

ROOT = pathlib.Path(__file__).parents[1]
NOT_REPEATABLE = ("examples_per_second", "input_waiting")
MAX_DIFFERENCE = 1e-3
"""Between figures and weights of two trainings that count as the same."""


class Lost(Exception):
    """What a disturbed program left isn't what an undisturbed one leaves."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that will be disturbed.

    Attributes:
        command: Its command line, given the folder that it writes to.
        first: What it makes first in there.
        check_half: Raises `Lost` if something in the folder of a stopped run looks whole and isn't.
        compare: The largest difference between what two runs left; raises `Lost` if that is no noise.
        whole_dir: Where an undisturbed run wrote.
        seconds: How long that one ran from `first` on.
    """

    command: Callable[[pathlib.Path], list[str]]
    first: str
    check_half: Callable[[pathlib.Path], None]
    compare: Callable[[pathlib.Path, pathlib.Path], float]
    whole_dir: pathlib.Path | None = None
    seconds: float = 0.0


def undisturbed(work_dir: pathlib.Path) -> dict[str, Program]:
    """The programs by name, after each ran once on a sample set that is written for it."""
    images_dir = work_dir / "images"
    if not images_dir.exists():
        sample_files.write(images_dir, num_scenes=12, num_portraits=6, seed=0)
    made = {}
    for name, program in (("build", build(images_dir)), ("train", train(work_dir)), ("export", export())):
        whole_dir = work_dir / f"{name}-undisturbed"
        shutil.rmtree(whole_dir, ignore_errors=True)
        process = start_and_wait(program, whole_dir, 0)
        started = time.monotonic()
        said = process.communicate()[0]
        if process.returncode:
            raise RuntimeError(f"{name} fails without being disturbed: {said}")
        made[name] = dataclasses.replace(program, whole_dir=whole_dir, seconds=time.monotonic() - started)
    return made


def build(images_dir: pathlib.Path) -> Program:
    """Builds P-Net's records in 5 shards of each kind."""
    flags = ["--stage=pnet", "--num_shards=5", "--validation_fraction=0.2", "--num_workers=1"]
    flags += [f"--dataset=wider_face:{images_dir / 'wider'}", f"--dataset=points:{images_dir / 'points'}"]
    return Program(
        lambda out_dir: [sys.executable, "-m", "data_prep.build", *flags, f"--out_dir={out_dir}"],
        f"pnet/{locks.NAME}",
        check_records,
        compare_records,
    )


def train(work_dir: pathlib.Path) -> Program:
    """Trains P-Net for two epochs of 12 steps, with a checkpoint after each step."""
    flags = ["--stage=pnet", f"--records_dir={work_dir / 'build-undisturbed'}", "--epochs=2", "--steps_per_epoch=12"]
    flags += ["--batch_size=32", "--checkpoint_minutes=0.000001"]
    return Program(
        lambda out_dir: [sys.executable, "train.py", *flags, f"--networks={out_dir}"],
        f"pnet/{locks.NAME}",
        check_network,
        compare_trainings,
    )


def export() -> Program:
    """Exports the networks that ship."""
    return Program(
        lambda out_dir: [sys.executable, "export.py", "--networks=mtcnn_tf/weights", f"--out_dir={out_dir}"],
        locks.NAME,
        check_versions,
        compare_exports,
    )


def start(command: list[str]) -> subprocess.Popen:
    """The running program; what it says goes to `stdout`."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def start_and_wait(program: Program, out_dir: pathlib.Path, seconds: float) -> subprocess.Popen:
    """The program, `seconds` after it has begun to work in `out_dir`."""
    began = (out_dir / program.first).stat().st_mtime_ns if (out_dir / program.first).exists() else 0
    process = start(program.command(out_dir))
    while process.poll() is None:
        if (out_dir / program.first).exists() and (out_dir / program.first).stat().st_mtime_ns != began:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            break
        time.sleep(0.005)
    return process


def run(command: list[str]) -> str:
    """What the program says; raises `Lost` if it fails."""
    process = start(command)
    said = process.communicate()[0]
    if process.returncode:
        raise Lost(f"the same command did not go on: {said[-1000:]}")
    return said


def run_refused(command: list[str]) -> str:
    """The sentence with which the program stops; raises `Lost` if it goes through, or says more than a sentence."""
    process = start(command)
    said = process.communicate()[0]
    if process.returncode != 1 or "Traceback" in said:
        raise Lost(f"expected status 1 and a sentence, got {process.returncode} and {said[-1000:]}")
    return said.splitlines()[-1]


def check_records(out_dir: pathlib.Path) -> None:
    """Records with a manifest are whole."""
    if (out_dir / "pnet" / "manifest.json").exists():
        try:
            input_pipeline.check_shards(str(out_dir), stages.PNET)
        except ValueError as error:
            raise Lost(f"a manifest of shards that are not whole: {error}") from error


def compare_records(out_dir: pathlib.Path, whole_dir: pathlib.Path) -> float:
    """0.0 if all files are the same byte for byte."""
    contents = [
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (out_dir / "pnet", whole_dir / "pnet")
    ]
    if contents[0] != contents[1]:
        names = sorted(str(name) for name in contents[0].keys() | contents[1].keys())
        raise Lost(f"other files: {[x for x in names if contents[0].get(x) != contents[1].get(x)] or names}")
    return 0.0


def check_network(out_dir: pathlib.Path) -> None:
    """A network can be loaded."""
    path = out_dir / "pnet.keras"
    if path.exists():
        try:
            networks.load(path)
        except ValueError as error:
            raise Lost(f"a half-written network: {error}") from error


def compare_trainings(out_dir: pathlib.Path, whole_dir: pathlib.Path) -> float:
    """The largest difference of a figure or weight."""
    both = [(_history(each), networks.load(each / "pnet.keras").get_weights()) for each in (out_dir, whole_dir)]
    (rows, weights), (wanted_rows, wanted_weights) = both
    if rows.shape != wanted_rows.shape:
        raise Lost(f"expected a history {wanted_rows.shape}, got {rows.shape}")
    pairs = zip([rows, *weights], [wanted_rows, *wanted_weights], strict=True)
    difference = max(float(np.max(np.abs(x - y))) for x, y in pairs)
    if not difference <= MAX_DIFFERENCE:
        raise Lost(f"figures or weights differ by {difference:.2g}")
    if left := [*out_dir.rglob("*.partial*"), *out_dir.rglob("*_temp")]:
        raise Lost(f"half-written files stayed: {left}")
    return difference


def _history(networks_dir: pathlib.Path) -> np.ndarray:
    with open(networks_dir / "pnet" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(x or 0) for name, x in row.items() if name not in NOT_REPEATABLE] for row in rows])


def check_versions(out_dir: pathlib.Path) -> None:
    """Folders with a number, which TensorFlow Serving takes up, are whole: a SavedModel has these files."""
    for version_dir in out_dir.glob("*/[0-9]*"):
        wanted = {"saved_model.pb", "fingerprint.pb", "variables/variables.index"}
        wanted |= {"variables/variables.data-00000-of-00001"}
        missing = [name for name in wanted if not (version_dir / name).is_file()]
        if missing:
            raise Lost(f"{version_dir} lacks {missing}")


def compare_exports(out_dir: pathlib.Path, whole_dir: pathlib.Path) -> float:
    """0.0 if each version of each model has the same weights, byte for byte, and the same graph in size."""
    check_versions(out_dir)
    if left := list(out_dir.rglob("*.partial*")):
        raise Lost(f"half-written folders stayed: {left}")
    for model_dir in whole_dir.glob("*/"):
        versions = list(out_dir.glob(f"{model_dir.name}/[0-9]*"))
        if not versions:
            raise Lost(f"no version of {model_dir.name}")
        for version_dir in versions:
            for name in ("variables.index", "variables.data-00000-of-00001"):
                if (version_dir / "variables" / name).read_bytes() != (
                    model_dir / "1" / "variables" / name
                ).read_bytes():
                    raise Lost(f"{version_dir} has other weights")
    return 0.0
