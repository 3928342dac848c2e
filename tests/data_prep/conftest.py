import pathlib

import drawn_faces
import pytest


@pytest.fixture(scope="session")
def wider_dir(tmp_path_factory) -> pathlib.Path:
    return drawn_faces.write_wider_face(tmp_path_factory.mktemp("wider"), 12)


@pytest.fixture(scope="session")
def points_dir(tmp_path_factory) -> pathlib.Path:
    return drawn_faces.write_points(tmp_path_factory.mktemp("points"), 6)
