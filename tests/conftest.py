import contextlib
import resource

import hypothesis
import pytest

# How long an example takes says something about the machine only.
hypothesis.settings.register_profile("mtcnn_tf", deadline=None)
hypothesis.settings.load_profile("mtcnn_tf")


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
