"""What all programs share: help with an example and the defaults, errors in a sentence, statuses, no bars in logs."""

import ast
import io
import os
import pathlib
import subprocess
import sys

import pytest

from data_prep.sample_set import sample_files
from mtcnn_tf import programs
from mtcnn_tf.programs import quiet
from tests import in_process

ROOT = pathlib.Path(__file__).parents[1]
PROGRAMS = {
    "train": "python train.py --",
    "export": "python export.py --",
    "data_prep.anchors": "python -m data_prep.anchors --",
    "data_prep.build": "python -m data_prep.build --",
    "data_prep.check": "python -m data_prep.check --",
    "data_prep.sample_set.__main__": "python -m data_prep.sample_set --",
    "mtcnn_tf.cli.detect": "mtcnn-detect SOURCE",
    "mtcnn_tf.cli.evaluate": "mtcnn-evaluate --",
    "mtcnn_tf.cli.calibrate": "mtcnn-calibrate --",
    "mtcnn_tf.__main__": "python -m mtcnn_tf",
}
"""Module → how an example of its use begins."""

WATCH = """
import importlib, os, sys

class Watch:
    def find_spec(self, name, *_):
        if name == "tensorflow":
            is_ready = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == sys.argv[2] and "TF_CPP_MIN_LOG_LEVEL" in os.environ
            sys.exit(0 if is_ready else "TensorFlow is loaded too soon")

sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
"""
"""Imports a module up to where it loads TensorFlow."""


@pytest.mark.parametrize("module_name", PROGRAMS)
def test_programs_help_and_refuse_alike(module_name):
    asked, refused = (in_process.run(module_name, flag, cwd=ROOT) for flag in ("--help", "--nosuch"))
    assert asked.returncode == 0
    assert PROGRAMS[module_name] in asked.stdout
    assert "--[no]quiet: No progress bars" in asked.stdout and "(default: 'false')" in asked.stdout
    assert refused.returncode == 1 and "nosuch" in refused.stderr and "Traceback" not in refused.stderr


def test_a_program_has_its_defaults_again_after_it_ended(tmp_path):
    def told(*arguments):
        return in_process.run("data_prep.check", *arguments, cwd=ROOT)

    assert "takes a local folder" in told("--dataset=folder:none", "--out_dir=gs://a", "--quiet").stderr
    assert "Exactly one of (dataset, records_dir)" in told().stderr
    assert not programs._QUIET.value


@pytest.mark.parametrize("module_name", PROGRAMS)
@pytest.mark.parametrize("wanted", [None, "0"])
def test_onednn_and_silence_are_set_before_tensorflow_is_loaded_unless_told_otherwise(module_name, wanted):
    unset = ("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"TF_ENABLE_ONEDNN_OPTS": wanted} if wanted else {}
    command = [sys.executable, "-c", WATCH, module_name, wanted or "1"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def errors_of(*arguments):
    """What a program writes to its error output, in a process of its own that nobody prepared."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("module_name", PROGRAMS)
def test_help_comes_without_tensorflows_lines(module_name):
    assert errors_of("-m", module_name, "--help") == ""


@pytest.mark.slow
def test_a_run_comes_without_tensorflows_lines(tmp_path):
    assert errors_of("-m", "mtcnn_tf.cli.detect", "docs/images/found.jpg", f"--out_dir={tmp_path}") == ""


@pytest.mark.slow
def test_tensorflows_lines_come_when_they_are_asked_for():
    assert "oneDNN" in errors_of("-m", "mtcnn_tf.cli.detect", "--help", "--verbosity=0")


@pytest.mark.slow
def test_a_build_and_a_training_come_without_tensorflows_lines(tmp_path):
    sample_files.write(tmp_path, 6, 6, 0)
    few = ("--num_workers=2", "--num_shards=2", "--validation_fraction=0.3")
    dataset = f"--dataset=wider_face:{tmp_path / 'wider'}"
    records = tmp_path / "records"
    assert errors_of("-m", "data_prep.build", "--stage=pnet", dataset, f"--out_dir={records}", *few) == ""
    short = ("--epochs=1", "--steps_per_epoch=2", "--batch_size=8")
    run = ("train.py", "--stage=pnet", f"--records_dir={records}", f"--networks={tmp_path / 'networks'}", *short)
    assert errors_of(*run) == ""


def test_what_was_put_aside_is_shown_when_loading_fails(capfd):
    with pytest.raises(ImportError), quiet._errors_put_aside():
        os.write(2, b"no such processor\n")
        raise ImportError
    with quiet._errors_put_aside():
        os.write(2, b"a guess\n")
    assert capfd.readouterr().err == "no such processor\n"


def test_bars_are_drawn_on_terminals_only():
    calls = 0
    for path in [*ROOT.glob("*.py"), *ROOT.glob("mtcnn_tf/**/*.py"), *ROOT.glob("data_prep/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "tqdm.tqdm":
                calls += 1
                assert "disable" in {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"
    assert calls > 3


def test_quiet_means_no_bar_even_on_a_terminal(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    seen = []
    monkeypatch.setattr(programs, "_QUIET", type("Flag", (), {"value": True}))
    programs._start(lambda: seen.append(sys.stderr.isatty()), [], None)
    assert seen == [False]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--workdir=a=b"], ["--networks=a=b"]),
        (["-workdir", "a"], ["--networks", "a"]),
        (["--landmarks=alone", "--landmarks=five"], ["--train_only=landmarks", "--landmarks=five"]),
        (["--protocol=weak_spots"], ["--protocol=breakdown"]),
    ],
)
def test_flags_have_their_old_names_for_one_version(capsys, given, meant):
    assert programs.with_new_names(given) == meant
    (warning,) = capsys.readouterr().err.splitlines()
    assert f" is --{meant[0].lstrip('-').split('=a')[0]} now" in warning


def test_new_names_and_what_is_no_flag_stay(capsys):
    given = ["workdir", "pictures=1", "--networks=a", "--images=b"]
    assert programs.with_new_names(given) == given
    assert capsys.readouterr().err == ""
