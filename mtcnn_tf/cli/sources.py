"""What a command line names: pictures, folders and patterns of them, videos, cameras."""

import glob
import os
import pathlib
from typing import NamedTuple

from mtcnn_tf.datasets import folder

VIDEO_ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


class Source(NamedTuple):
    """A picture, a video or a camera."""

    kind: str
    """"picture", "video" or "camera"."""
    name: str
    """Its path, or the camera's number, as given."""
    stem: str
    """How the names of its results begin; another one for each source."""


def find(arguments: list[str], passed_over_dir: str) -> tuple[list[Source], list[str]]:
    """The sources that `arguments` name, in their order, and a sentence for each argument that names none.

    Args:
        arguments: Each a picture, a folder (all pictures in it and in its folders), a pattern (such as `*.jpg`, or
            `**/*.jpg` with all folders), a video file, which its ending tells, or the number of a camera.
        passed_over_dir: Of folders, pictures in here are left out: what was drawn before is no picture to look at.
    """
    named, problems = [], []
    for argument in arguments:
        found = _named_by(argument, os.path.realpath(passed_over_dir))
        named += found
        if not found:
            what = "folder" if os.path.isdir(argument) else "pattern"
            problems.append(f"expected pictures, found none by the {what} {argument!r}; check it")
    return [
        Source(*pair, stem) for pair, stem in zip(named, _stems([name for _, name in named]), strict=True)
    ], problems


def _named_by(argument: str, passed_over_dir: str) -> list[tuple[str, str]]:
    """Kind and name of each source that one argument names."""
    if os.path.isdir(argument):
        paths = [annotation.image_path for annotation in folder.read(argument)[0]]
        real = [pathlib.Path(os.path.realpath(path)) for path in paths]
        return [("picture", p) for p, at in zip(paths, real, strict=True) if not at.is_relative_to(passed_over_dir)]
    if os.path.isfile(argument):
        return [("video" if argument.lower().endswith(VIDEO_ENDINGS) else "picture", argument)]
    if argument.isdecimal():
        return [("camera", argument)]
    if glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        # Of a pattern with all folders the folders match too, and their pictures would be looked at twice.
        return [source for match in matches if os.path.isfile(match) for source in _named_by(match, passed_over_dir)]
    return [("picture", argument)]  # that there is none is told when it is read


def _stems(names: list[str]) -> list[str]:
    """A file name without ending for each, all different even where letters' case is not: a second `a` becomes a-2."""
    stems, taken = [], set()
    for name in names:
        first = stem = os.path.splitext(os.path.basename(name))[0]
        number = 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{first}-{number}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems
