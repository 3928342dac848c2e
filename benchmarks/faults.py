"""Disturbs build, training and export in every way that we could think of, and counts what was lost.

    python -m benchmarks.faults --times=50 [--only=kill] [--work_dir=DIR]

The programs are real processes that work on a small sample set; after each fault the same command is given again, and
what it leaves is compared with what an undisturbed run leaves. Full and read-only disks are small ones in memory, which
only root can mount. What takes a process for each injection, other than kills, happens a tenth of --times. Ctrl-C ends
a fault and goes on with the next.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from benchmarks import programs
from data_prep import building
from mtcnn_tf import stages, training
from mtcnn_tf.records import input_pipeline
from mtcnn_tf.training import checkpoints

_TIMES = flags.DEFINE_integer("times", 50, "Kills of each program, and damaged shards.", lower_bound=1)
_ONLY = flags.DEFINE_string("only", "", "Only faults whose names match this pattern.")
_WORK_DIR = flags.DEFINE_string("work_dir", None, "Folder for everything, which is left there. [a temporary one]")
_SEED = flags.DEFINE_integer("seed", 0, "Decides the moments.")

MAX_KILLS_IN_A_ROW = 5


@dataclasses.dataclass
class Bench:
    """What all injections share.

    Attributes:
        dir: The folder for everything.
        programs: The programs, by name.
        rng: Decides moments and places.
        differences: Between trainings and the undisturbed one, the largest of each.
    """

    dir: pathlib.Path
    programs: dict[str, programs.Program]
    rng: np.random.Generator
    differences: list[float] = dataclasses.field(default_factory=list)

    def new_dir(self) -> pathlib.Path:
        """A fresh folder for a disturbed run."""
        return pathlib.Path(tempfile.mkdtemp(dir=self.dir))

    def finish(self, program: programs.Program, out_dir: pathlib.Path, has_run: bool = False) -> str:
        """Runs the program to its end, if it hasn't, and compares; returns what it said.

        Raises:
            programs.Lost: Something is lost.
        """
        said = "" if has_run else programs.run(program.command(out_dir))
        self.differences.append(program.compare(out_dir, program.whole_dir))
        return said


def kill(bench: Bench, program: programs.Program) -> Iterator[int]:
    """Yields the number of kills, each at a random moment, after which all was as if there had been none."""
    num_left, seconds = _TIMES.value, program.seconds
    while num_left:
        out_dir, num_kills, has_ended = bench.new_dir(), 0, False
        while num_kills < min(num_left, MAX_KILLS_IN_A_ROW) and not has_ended:
            process = programs.start_and_wait(program, out_dir, bench.rng.uniform(0, seconds))
            process.kill()
            process.communicate(timeout=60)  # until its workers are gone, too
            has_ended = process.returncode != -signal.SIGKILL
            num_kills += not has_ended
            seconds *= 0.8 if has_ended else 1  # it has less to do than the undisturbed run, or more of the machine
            program.check_half(out_dir)
        bench.finish(program, out_dir, has_run=has_ended)
        seconds = max(seconds, 0.2 * program.seconds)
        num_left -= num_kills
        shutil.rmtree(out_dir)
        yield num_kills


def fill_disk(bench: Bench, program: programs.Program) -> Iterator[int]:
    """The disk holds a random part of what the program writes, and grows after the program has stopped."""
    num_bytes = sum(path.stat().st_size for path in program.whole_dir.rglob("*"))
    for _ in range(few()):
        with mounted(bench.new_dir(), int(num_bytes * bench.rng.uniform(0.1, 0.8))) as disk:
            programs.run_refused(program.command(disk / "out"))
            if (disk / "out").exists():
                program.check_half(disk / "out")
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            bench.finish(program, disk / "out")
        yield 1


def write_protect(bench: Bench, program: programs.Program) -> Iterator[int]:
    """Nothing can be written."""
    with mounted(bench.new_dir(), 1 << 20) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        if "Read-only" not in (said := programs.run_refused(program.command(disk / "out"))):
            raise programs.Lost(f"no word of a read-only folder: {said}")
    yield 1


@contextlib.contextmanager
def mounted(directory: pathlib.Path, num_bytes: int) -> Iterator[pathlib.Path]:
    """A small disk.

    Raises:
        PermissionError: We may not mount one.
    """
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", directory], capture_output=True)
    if made.returncode:
        raise PermissionError("only root can mount a small disk")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def start_twice(bench: Bench, program: programs.Program) -> Iterator[int]:
    """A second process begins while the first is at work."""
    out_dir = bench.new_dir()
    first = programs.start_and_wait(program, out_dir, 0)
    first.send_signal(signal.SIGSTOP)  # so that it is still at work when the second has been loaded
    try:
        if "is at work in" not in (said := programs.run_refused(program.command(out_dir))):
            raise programs.Lost(f"no word of another process: {said}")
    finally:
        first.send_signal(signal.SIGCONT)
    said = first.communicate()[0]
    if first.returncode:
        raise programs.Lost(f"the first one failed, too: {said[-1000:]}")
    bench.finish(program, out_dir, has_run=True)
    yield 1


def damage_shard(bench: Bench, program: programs.Program, cut: bool) -> Iterator[int]:
    """A bit is flipped or the end is missing: named before training; built again, a few times."""
    records_dir = shutil.copytree(program.whole_dir, bench.new_dir() / "out")
    files = sorted(path for path in records_dir.rglob("*.tfrecord") if path.stat().st_size)
    for i in range(_TIMES.value):
        file = files[bench.rng.integers(len(files))]
        whole = file.read_bytes()
        damage(file, bench.rng, cut)
        try:
            input_pipeline.check_shards(str(records_dir), stages.PNET)
            raise programs.Lost(f"nobody noticed that {file} is damaged")
        except ValueError as error:
            if file.name not in str(error):
                raise programs.Lost(f"{file} was damaged and not named: {error}") from error
        if i < few():
            said = bench.finish(program, records_dir)
            if file.name not in said:
                raise programs.Lost(f"{file} was built again without a word: {said}")
        file.write_bytes(whole)
        yield 1


def damage(file: pathlib.Path, rng: np.random.Generator, cut: bool) -> None:
    """Cuts the file short or flips a bit, at a random place."""
    content = bytearray(file.read_bytes())
    place = rng.integers(len(content))
    content[place] ^= 1 << rng.integers(8)
    file.write_bytes(content[:place] if cut else content)


def cut_checkpoint(bench: Bench, program: programs.Program) -> Iterator[int]:
    """The newest checkpoint is cut short after the training: it goes on from the one before, and says so."""
    for _ in range(few()):
        out_dir = shutil.copytree(program.whole_dir, bench.new_dir() / "out")
        newest = checkpoints.paths(out_dir / "pnet" / "checkpoints")[0]
        damage(next(newest.parent.glob(f"{newest.name}.data*")), bench.rng, cut=True)
        if f"{newest.name} is damaged, trying the one before" not in (said := bench.finish(program, out_dir)):
            raise programs.Lost(f"no word of a damaged checkpoint: {said}")
        yield 1


def remove_image(bench: Bench, program: programs.Program) -> Iterator[int]:
    """An image vanishes at a random moment: it is listed, or had been read before."""
    images = sorted((bench.dir / "images").rglob("train/*.jpg"))
    for _ in range(few()):
        out_dir = bench.new_dir()
        process = programs.start_and_wait(program, out_dir, bench.rng.uniform(0, program.seconds))
        gone = images[bench.rng.integers(len(images))]
        content = gone.read_bytes()
        gone.unlink()
        said = process.communicate()[0]
        gone.write_bytes(content)
        if process.returncode:
            raise programs.Lost(f"the build didn't go on: {said[-1000:]}")
        if f"{gone}: unreadable image" not in (out_dir / "pnet" / building.PROBLEMS).read_text():
            programs.compare_records(out_dir, program.whole_dir)
        yield 1


def poison(bench: Bench, program: programs.Program) -> Iterator[int]:
    """A batch has a NaN, in the second epoch: training stops, names it, and goes on from the last good state."""
    config = training.Config(epochs=2, steps_per_epoch=12, batch_size=32)
    records_dir = str(bench.programs["build"].whole_dir)
    batches = functools.partial(input_pipeline.batches, records_dir, stages.PNET, "train", config.batch_size)
    for _ in range(few()):
        bad, networks_dir = int(bench.rng.integers(12)), bench.new_dir()
        try:
            training.fit(
                config, stages.PNET, functools.partial(spoiled, batches, bad), None, networks_dir, report=silent
            )
            raise programs.Lost("nobody noticed a NaN")
        except FloatingPointError as error:
            if f"in epoch 2, step {bad + 1};" not in str(error):
                raise programs.Lost(f"step {bad + 1} had a NaN, and that was said of another: {error}") from error
        program.check_half(networks_dir)
        if len(training.fit(config, stages.PNET, batches, None, networks_dir, report=silent)) != 2:
            raise programs.Lost("the training did not go on")
        yield 1


def spoiled(batches: Callable[..., tf.data.Dataset], bad: int, seed: int) -> tf.data.Dataset:
    """The batches of an epoch; in the second one's number `bad` is not a number."""

    def spoil(index, batch):
        return {**batch, "offsets": batch["offsets"] * tf.where((index == bad) & (seed == 1), np.nan, 1.0)}

    return batches(seed=seed).enumerate().map(spoil)


def silent(line: str) -> None:
    """Takes what nobody needs to read."""


def few() -> int:
    """How often what takes a process is injected."""
    return max(1, _TIMES.value // 10)


def faults(bench: Bench) -> dict[str, Callable[[], Iterator[int]]]:
    """Every fault by its name; called, it injects, and yields a number for those that were survived."""
    named = {}
    for name, program in bench.programs.items():
        for what, inject in {
            "kill -9": kill,
            "full disk": fill_disk,
            "read-only folder": write_protect,
            "two at once": start_twice,
        }.items():
            named[f"{what}: {name}"] = lambda inject=inject, program=program: inject(bench, program)
    build, train = bench.programs["build"], bench.programs["train"]
    named["flipped bit in a shard"] = lambda: damage_shard(bench, build, cut=False)
    named["shard cut short"] = lambda: damage_shard(bench, build, cut=True)
    named["image vanishes midway: build"] = lambda: remove_image(bench, build)
    named["checkpoint cut short: train"] = lambda: cut_checkpoint(bench, train)
    named["NaN in the loss: train"] = lambda: poison(bench, train)
    return named


def main(_) -> None:
    """Injects, and prints the table."""
    logging.set_verbosity(logging.WARNING)  # TensorFlow counts the microseconds of every checkpoint
    work_dir = pathlib.Path(_WORK_DIR.value or tempfile.mkdtemp(prefix="faults-"))
    work_dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(work_dir, programs.undisturbed(work_dir), np.random.default_rng(_SEED.value))
    print("| fault | times injected | survived | lost | seconds |\n|---|---|---|---|---|")
    for name, inject in faults(bench).items():
        if not re.search(_ONLY.value, name):
            continue
        counts, started = collections.Counter(), time.monotonic()
        try:
            for num_survived in inject():
                counts["survived"] += num_survived
        except programs.Lost as lost:  # one is enough to look into
            counts["lost"] += 1
            print(f"LOST, {name}: {lost}", file=sys.stderr)
        except KeyboardInterrupt:
            print(f"{name}: stopped", file=sys.stderr)
        except PermissionError as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
            continue
        injected, seconds = counts.total(), time.monotonic() - started
        print(f"| {name} | {injected} | {counts['survived']} | {counts['lost']} | {seconds:.0f} |", flush=True)
    print(f"largest difference of a weight or figure of a training: {max(bench.differences, default=0):.2g}")
    if not _WORK_DIR.value:
        shutil.rmtree(work_dir)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
