"""A Python that has TensorFlow loaded, for the programs that tests run.

TensorFlow takes seconds to load, and the tests run more than a hundred programs. A server loads it once and forks for
each of them; `command()` is what a test puts in place of `sys.executable`:

    subprocess.run([*warm_python.command(), "-m", "mtcnn_tf.cli.detect", "photo.jpg"], cwd=…, env=…)

The program has the folder, the environment and the streams of its caller, who gets its exit status. Signals to the
caller don't reach it, and its own processes are usual ones: tests of kills and of first imports take `sys.executable`.
"""

import functools
import gc
import importlib
import json
import os
import pathlib
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
LOADED = ("mtcnn_tf.training", "mtcnn_tf.detection.exporting", "mtcnn_tf.evaluation.reports", "data_prep.building")
"""Nothing that defines flags, which each program does for itself."""


@functools.cache
def command() -> list[str]:
    """What runs Python's arguments that follow it; the server it needs lives as long as this process."""
    directory = tempfile.TemporaryDirectory()
    address = os.path.join(directory.name, "socket")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    server = subprocess.Popen([sys.executable, __file__, address], env=environment, stdin=subprocess.PIPE)
    _kept.extend([directory, server])
    return [sys.executable, "-IS", __file__, address]


_kept = []
"""The server and its folder, which go when this process ends."""


def _ask(address: str, arguments: list[str]) -> int:
    """The exit status of the program that the server at `address` runs."""
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with _connect(address) as connection:
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        return int(connection.makefile().read())


def _connect(address: str) -> socket.socket:
    deadline = time.monotonic() + 120
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address)
            return connection
        except (FileNotFoundError, ConnectionRefusedError):  # the server is still loading
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _serve(address: str) -> tuple[dict, list[int]]:
    """Returns in a new process for each program: what is to be run, and its three streams."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # what is loaded stays shared
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:  # it ends with the tests
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _receive(connection)
        connection.close()
    os._exit(0)


def _receive(connection: socket.socket) -> tuple[dict, list[int]]:
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile().read())
    program = os.fork()
    if program == 0:
        connection.close()
        return request, streams
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(program, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(request: dict, streams: list[int]) -> None:
    """Does what Python would do with the arguments."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = os.getcwd()
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    first, *sys.argv = request["arguments"]
    if first == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(first))
        sys.argv = request["arguments"]
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    if sys.argv[2:]:
        sys.exit(_ask(sys.argv[1], sys.argv[2:]))
    _run(*_serve(sys.argv[1]))
