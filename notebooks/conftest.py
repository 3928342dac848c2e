"""The notebooks run as tests, too (nbmake): each is a test that passes if no cell fails."""

import os
import pathlib

# Kernels are processes of their own: they are to import this checkout, whatever is installed.
_ROOT = str(pathlib.Path(__file__).parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
