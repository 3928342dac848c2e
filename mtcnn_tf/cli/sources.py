"""What a command line names: images, folders and patterns of them, videos, cameras."""

import functools
import glob
import os
import pathlib
import stat
import urllib.parse
import urllib.request
from typing import NamedTuple

from mtcnn_tf.cli import results
from mtcnn_tf.datasets import annotation_lists, folder
from mtcnn_tf.images import image_files, videos

VIDEO_ENDINGS = (".avi", ".m3u8", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
_MOST_BYTES = 1 << 28
"""Of an image at an address."""
_SECONDS = 30


class Source(NamedTuple):
    """An image, a video or a camera."""

    kind: str
    """"image", "video" or "camera"."""
    name: str
    """Its path or address, or the camera's number, as given."""
    stem: str
    """How the names of its results begin; another one for each source."""


def find(arguments: list[str], passed_over_dir: str) -> tuple[list[Source], list[str]]:
    """The sources that `arguments` name, in their order, and a sentence for each argument that names none.

    Args:
        arguments: Each an image, a folder (all images in it and in its folders), a pattern (such as `*.jpg`, or
            `**/*.jpg` with all folders), a video file, which its ending tells, the address of an image, a video or a
            stream, or the number or the device of a camera.
        passed_over_dir: What was drawn before in here is no image to look at. Of a folder that holds this one, all
            images in it are left out; where it is the folder itself, or one round it, those that `results` names.
    """
    named, problems = [], []
    for argument in arguments:
        found, unread = _named_by(argument, pathlib.Path(os.path.realpath(passed_over_dir)))
        named += found
        if unread:
            problems.append(
                f"passed over {len(unread)} images of {argument!r} that can't be read, the first {unread[0]!r}; "
                f"{image_files.NEEDS_HEIF}"
            )
        if not found:
            what = "folder" if os.path.isdir(argument) else "pattern"
            problems.append(f"expected images, found none by the {what} {argument!r}; check it")
    return [
        Source(*pair, stem) for pair, stem in zip(named, _stems([name for _, name in named]), strict=True)
    ], problems


def fetch(name: str) -> str | bytes:
    """An image's path; of one at an http address its contents.

    Raises:
        OSError: The address doesn't answer.
        ValueError: There is more than an image has.
    """
    if not videos.is_address(name):
        return name
    with _opened(name) as answer:
        contents = answer.read(_MOST_BYTES + 1)
    if len(contents) > _MOST_BYTES:
        raise ValueError(f"expected an image of at most {_MOST_BYTES:,} bytes, got more from {name!r}")
    return contents


def _opened(address: str):
    """The answer of the server at an http address."""
    try:
        return urllib.request.urlopen(
            urllib.request.Request(address, headers={"User-Agent": "mtcnn-detect"}), timeout=_SECONDS
        )
    except (OSError, ValueError) as error:
        raise OSError(f"expected an answer from {address!r}, got none ({error}); check the address") from error


def _kind_at(address: str) -> str:
    """What an address leads to: its ending tells, or else what the server says of it."""
    path = urllib.parse.urlsplit(address).path.lower()
    if not address.lower().startswith("http"):
        return "camera"
    if annotation_lists.is_image(path) or path.endswith(VIDEO_ENDINGS):
        return "image" if annotation_lists.is_image(path) else "video"
    try:
        with _opened(address) as answer:
            sort = answer.headers.get_content_maintype()
    except OSError:
        return "image"  # that it can't be read is told when it is read
    return {"image": "image", "multipart": "camera"}.get(sort, "video")


def _is_device(path: str) -> bool:
    """Whether a path is that of a camera, such as /dev/video0."""
    return os.path.exists(path) and stat.S_ISCHR(os.stat(path).st_mode)


def _named_by(argument: str, passed_over_dir: pathlib.Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Kind and name of each source that one argument names, and the images of a folder that nothing reads."""
    if os.path.isdir(argument):
        annotations, problems = folder.read(argument)
        is_drawn = functools.partial(_is_drawn, root=pathlib.Path(os.path.realpath(argument)), out_dir=passed_over_dir)
        paths = [annotation.image_path for annotation in annotations if not is_drawn(annotation.image_path)]
        return [("image", path) for path in paths], [problem.where for problem in problems]
    return _named_without_folder(argument), []


def _named_without_folder(argument: str) -> list[tuple[str, str]]:
    if os.path.isfile(argument):
        return [("video" if argument.lower().endswith(VIDEO_ENDINGS) else "image", argument)]
    if videos.is_address(argument):
        return [(_kind_at(argument), argument)]
    if argument.isdecimal() or _is_device(argument):
        return [("camera", argument)]
    if glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        # Of a pattern with all folders the folders match too, and their images would be looked at twice.
        return [source for match in matches if os.path.isfile(match) for source in _named_without_folder(match)]
    return [("image", argument)]  # that there is none is told when it is read


def _is_drawn(image_path: str, root: pathlib.Path, out_dir: pathlib.Path) -> bool:
    """Whether an image of the folder `root` is taken for one that an earlier run drew in `out_dir`."""
    path = pathlib.Path(os.path.realpath(image_path))
    if not path.is_relative_to(out_dir):
        return False
    is_inside = out_dir != root and out_dir.is_relative_to(root)
    return is_inside or path.name.endswith(results.DRAWING_ENDING) or path.parent == out_dir / results.CROPS_DIR


def _stems(names: list[str]) -> list[str]:
    """A file name without ending for each, all different even where letters' case is not: a second `a` becomes a-2."""
    stems, taken = [], set()
    for name in names:
        path = urllib.parse.urlsplit(name).path.rstrip("/") if videos.is_address(name) else name
        first = stem = os.path.splitext(os.path.basename(path))[0] or "stream"
        number = 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{first}-{number}"
        taken.add(stem.casefold())
        stems.append(stem)
    return stems
