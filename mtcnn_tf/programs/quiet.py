"""TensorFlow is loaded without the lines of its C++ libraries, unless `--verbosity` or the environment asks for them.

While it is being loaded it heeds no level of logging, so the error output is put aside for that moment. Should loading
fail, what was put aside is shown.
"""

import contextlib
import faulthandler
import functools
import importlib.abc
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_SILENT = "3"


def prepare(arguments: list[str]) -> None:
    """Sets how much TensorFlow tells, for this process and those that it starts. It must not be loaded yet.

    Args:
        arguments: Those of the program; TensorFlow is loaded long before flags are parsed.
    """
    if re.search(r"(^| )--?v(erbosity)?[= ]\d", " ".join(arguments)):
        os.environ[_LEVEL] = "0"
    elif os.environ.setdefault(_LEVEL, _SILENT) == _SILENT:
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as others do, and has it loaded with the error output put aside."""

    def find_spec(self, name: str, path: Any = None, target: Any = None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            own = functools.partial(_load, spec.loader.exec_module)
            spec.loader.exec_module = own  # type: ignore[method-assign]  # of this one loader
        return spec


def _load(exec_module: Callable, module: ModuleType) -> None:
    with _errors_put_aside():
        exec_module(module)


@contextlib.contextmanager
def _errors_put_aside() -> Iterator[None]:
    """What is written to the error output is shown only if an exception comes, or if the process crashes."""
    try:
        shown = os.fdopen(os.dup(2), "wb")
    except OSError:  # there is no error output
        yield
        return
    with shown, tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        reports_crashes = faulthandler.is_enabled()
        faulthandler.enable(shown)
        try:
            yield
        except Exception:
            aside.seek(0)
            shutil.copyfileobj(aside, shown)
            raise
        finally:
            shown.flush()
            os.dup2(shown.fileno(), 2)
            faulthandler.enable() if reports_crashes else faulthandler.disable()
