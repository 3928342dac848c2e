import pathlib
import signal
import subprocess
import sys

import pytest

from mtcnn_tf import locks

ROOT = pathlib.Path(__file__).parents[2]
HOLD = """
import sys, time
from mtcnn_tf import locks
with locks.only_one_in(sys.argv[1], "build"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_one_is_refused_until_the_first_is_killed(tmp_path):
    """The kill is real: that the lock dies with its process is the system's promise."""
    directory = tmp_path / "new" / "records"
    command = [sys.executable, "-c", HOLD, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match="another build is at work in .*records; wait for it or take another"),
            locks.only_one_in(directory, "build"),
        ):
            pytest.fail("two at once")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locks.only_one_in(directory, "build"):
            pass


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_within_sets_it_free(tmp_path, error):
    with pytest.raises(error), locks.only_one_in(tmp_path, "training"):
        raise error
    with locks.only_one_in(tmp_path, "training"):
        pass
