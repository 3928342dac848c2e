"""Runs a program of ours in the tests' own process, which has TensorFlow loaded, as if it were one of its own."""

import contextlib
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator


def run(module_name: str, *arguments, cwd=None) -> subprocess.CompletedProcess:
    """What became of `python -m MODULE ARGUMENTS…`: its status and what it wrote, as `subprocess.run` tells them.

    Tests of kills, of signals and of first imports take a process instead.
    """
    program = importlib.import_module(module_name)
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), _folder(cwd or os.getcwd()):
        try:
            program.main(list(map(str, arguments)))
            status = 0
        except SystemExit as end:
            status = end.code
            if isinstance(status, str):  # what Python does where nobody catches it
                print(status, file=sys.stderr)
                status = 1
    return subprocess.CompletedProcess([module_name, *arguments], status or 0, output.getvalue(), errors.getvalue())


@contextlib.contextmanager
def _folder(path: str | os.PathLike) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
