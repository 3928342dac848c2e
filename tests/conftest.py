import contextlib
import resource

import hypothesis
import pytest
from etils import epath
from etils.epath import backend, gpath

# How long an example takes says something about the machine only.
hypothesis.settings.register_profile("mtcnn_tf", deadline=None)
hypothesis.settings.load_profile("mtcnn_tf")

# TensorFlow's file system in memory, ram://, stands for a bucket. epath has no way to add an address that TensorFlow
# opens but by its tables.
gpath._URI_PREFIXES += ("ram://",)
gpath._URI_SCHEMES |= {"ram"}
gpath._URI_MAP_ROOT["ram://"] = "/ram/"
gpath._PREFIX_TO_BACKEND["ram"] = backend.tf_backend
epath.register_path_cls("ram://")(gpath.PosixGPath)

LONGEST = (
    *("test_run", "test_reproduce", "test_guides", "test_building", "test_train"),
    *("test_supply", "test_exporting", "test_export", "test_damaged_lists", "test_detector"),
)
"""Files that take a minute or more; begun last they would keep one process busy while others have nothing to do."""


def pytest_collection_modifyitems(items):
    """What takes longest comes first, with the notebooks, which count as slow."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.path.suffix != ".ipynb" and item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def file_size_limit():
    """A context in which no file gets longer than so many bytes: it stands for a full disk."""

    @contextlib.contextmanager
    def limited(num_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
