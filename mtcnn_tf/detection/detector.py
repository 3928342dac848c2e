"""The detector: an image in, `faces.Detections` out; where it is loaded from."""

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mtcnn_tf import arguments, faces, files, stages
from mtcnn_tf.detection import cascade, rotations, shipped, stored_calibration
from mtcnn_tf.images import image_files
from mtcnn_tf.models import inference

MODEL_NAME = "cascade"
"""The cascade's name in an export: its folder, and what it is called in TensorFlow Serving."""

_BATCH_THREADS = 3
"""Groups of a batch that are searched at once: on two cores more are no faster, and each takes its memory."""
_GROUP_PIXELS = 1_500_000
"""Images of one size go through the networks together up to so many pixels: more are slower, by their memory."""
_IMAGES_AT_ONCE = 32
"""So many of a batch are read before they are grouped by size."""
_MAX_SCALE_FACTOR = 0.99
"""Nearer to 1 the pyramid has scales without end: this many already are one for every hundredth of a face's size."""
_TO_DO = "enlarge min_face_size or make the image smaller"
_SAVED_MODEL_FILE = "saved_model.pb"


class _Search(NamedTuple):
    """The checked arguments of a call."""

    until: str
    min_face_size: float
    thresholds: np.ndarray
    scale_factor: float
    max_faces: int | None
    max_pixels: int
    try_rotations: bool

    def values(self) -> list[tf.Tensor]:
        """What a function of the cascade takes beside its image."""
        return [tf.constant(value, tf.float32) for value in (self.min_face_size, self.thresholds, self.scale_factor)]


class Detector:
    """Finds faces in images.

    One detector may be called from several threads at once.

    Attributes:
        cascade: The networks, and by this their variables.
        stages: Names of the stages of its cascade, in order.
        thresholds: The score after each of them that was chosen for these networks, in 0–1.
    """

    def __init__(self, cascade_functions: tf.Module):
        """Holds the cascade, and by this its variables.

        Args:
            cascade_functions: A `cascade.Cascade`, or one that was saved and loaded again.
        """
        global _is_at_work
        _is_at_work = True
        self.cascade = cascade_functions
        self.thresholds = tuple(float(threshold) for threshold in cascade_functions.thresholds.numpy())
        self._searches = cascade.searches(cascade_functions)
        self._batch_searches = cascade.searches(cascade_functions, "batch_")
        self.stages = tuple(self._searches)

    def __call__(
        self,
        image: image_files.ImageLike,
        min_face_size: float = cascade.MIN_FACE_SIZE,
        thresholds: tuple[float, ...] | None = None,
        scale_factor: float = cascade.SCALE_FACTOR,
        max_faces: int | None = None,
        until: str = "onet",
        color: str = "rgb",
        max_pixels: int = image_files.MAX_PIXELS,
        try_rotations: bool = False,
    ) -> faces.Detections:
        """The faces in an image, best score first.

        An image of any size is searched as a whole, with up to 30 bytes of memory for each of its pixels where
        `min_face_size` is large, and 90 where it is 20.

        Args:
            image: An array or tensor, a path, the bytes of an image file, or a Pillow image; see
                `image_files.as_rgb`. Boxes are in pixels of the upright image, after its EXIF orientation.
            min_face_size: Side of the smallest face looked for, in pixels; see `cascade.Cascade`.
            thresholds: Scores in 0–1 that a box must exceed after each of the networks; by default those that were
                calibrated for them.
            scale_factor: Ratio of neighbouring scales of P-Net's pyramid, above 0 and at most 0.99.
            max_faces: At most that many.
            until: "rpn" or "pnet", whichever the cascade begins with, and "rnet", where it has one, stop there. Their
                boxes have no landmarks (NaN) and may reach out of the image; those of "onet" are clipped to it, and
                have landmarks unless it was trained without.
            color: Order of an array's channels: "rgb", or "bgr" as OpenCV has it.
            max_pixels: An image file of more is not decoded, and no more are searched: below 12 pixels `min_face_size`
                has the image enlarged. Each takes about 250 bytes of memory.
            try_rotations: Whether the image is also searched rotated by 90°, 180° and 270°, for faces that lie or
                stand on their heads; see `rotations.search`. Takes four times as long, and finds more that is no face.

        Raises:
            FileNotFoundError: There is no image at this path.
            ValueError: An argument is not as described.
            MemoryError: The memory doesn't suffice for so many pixels.
            RuntimeError: This process was forked from one that had made a detector, or eager mode is off.
        """
        _check_process()
        search = self._checked(min_face_size, thresholds, scale_factor, max_faces, until, max_pixels, try_rotations)
        return self._detect([image_files.as_rgb(image, color, search.max_pixels)], search)[0]

    def batch(
        self, images: Iterable[image_files.ImageLike], color: str = "rgb", **arguments: Any
    ) -> list[faces.Detections]:
        """The faces in each of several images, in their order.

        Images of one size go through the networks together, a few at a time, and while single steps keep one core
        busy, other images fill the gaps. Only the images at work take memory, beside those that are given as arrays.

        Args:
            images: Any mixture of what a call takes, of any sizes.
            color: That of a call, for all images.
            **arguments: The others of a call, likewise.

        Raises:
            FileNotFoundError, ValueError: As a call does, for the first image concerned.
        """
        _check_process()
        search, given, found = self._checked(**arguments), iter(_several(images)), []
        with concurrent.futures.ThreadPoolExecutor(_BATCH_THREADS) as pool:
            while some := list(itertools.islice(given, _IMAGES_AT_ONCE)):
                found += self._detect_all(some, color, search, pool)
        return found

    def _detect_all(
        self, given: list[image_files.ImageLike], color: str, search: _Search, pool: concurrent.futures.Executor
    ) -> list[faces.Detections]:
        """The faces in each of several images of any sizes."""
        images = list(pool.map(lambda image: image_files.as_rgb(image, color, search.max_pixels), given))
        groups = self._groups(images, search)
        found = pool.map(lambda group: self._detect([images[i] for i in group], search), groups)
        by_place = dict(zip(itertools.chain(*groups), itertools.chain(*found), strict=True))
        return [by_place[i] for i in range(len(images))]

    def _checked(
        self,
        min_face_size: float = cascade.MIN_FACE_SIZE,
        thresholds: tuple[float, ...] | None = None,
        scale_factor: float = cascade.SCALE_FACTOR,
        max_faces: int | None = None,
        until: str = "onet",
        max_pixels: int = image_files.MAX_PIXELS,
        try_rotations: bool = False,
    ) -> _Search:
        """The arguments of a call; raises ValueError where one is not as described there."""
        if max_faces is not None:
            max_faces = arguments.whole_number("max_faces", max_faces, "None or a whole number from 0 on", at_least=0)
        if not isinstance(try_rotations, bool | np.bool_):
            raise ValueError(f"try_rotations must be True or False, got {arguments.shown(try_rotations)}")
        return _Search(
            arguments.choice("until", until, self.stages),
            arguments.number("min_face_size", min_face_size, "one number of pixels above 0, such as 20", above=0),
            arguments.thresholds(self.thresholds if thresholds is None else thresholds, len(self.stages)),
            _scale_factor(scale_factor),
            max_faces,
            arguments.whole_number("max_pixels", max_pixels, "a whole number from 1 on", at_least=1),
            bool(try_rotations),
        )

    def _groups(self, images: list[np.ndarray], search: _Search) -> list[list[int]]:
        """The places of images that go through the networks together: of one size, and not too many."""
        by_shape = collections.defaultdict(list)
        for i, image in enumerate(images):
            by_shape[image.shape].append(i)
        is_alone = search.try_rotations or search.until not in self._batch_searches
        groups = []
        for (height, width, _), places in by_shape.items():
            count = 1 if is_alone else max(_GROUP_PIXELS // (height * width), 1)
            groups += [places[k : k + count] for k in range(0, len(places), count)]
        return sorted(groups)

    def _detect(self, images: list[np.ndarray], search: _Search) -> list[faces.Detections]:
        """The faces in each of several images of one size."""
        what = _checked_search(images[0].shape, search.min_face_size, search.max_pixels)
        try:
            if search.try_rotations:
                found = [rotations.search(lambda turned: self._find([turned], search)[0], image) for image in images]
            else:
                found = self._find(images, search)
        except tf.errors.ResourceExhaustedError:  # which says on many lines by which operation
            raise MemoryError(f"expected memory to search {what}, it did not suffice; {_TO_DO}") from None
        return [each[: search.max_faces] for each in found]

    def _find(self, images: list[np.ndarray], search: _Search) -> list[faces.Detections]:
        if len(images) == 1:
            found = self._searches[search.until](tf.constant(images[0]), *search.values())
            ends = [len(found["scores"])]
        else:
            found = self._batch_searches[search.until](tf.constant(np.stack(images)), *search.values())
            ends = np.searchsorted(found["images"].numpy(), range(len(images)), side="right").tolist()
        found = {name: tensor.numpy() for name, tensor in found.items()}
        landmarks = found.get("landmarks", faces.no_landmarks(len(found["scores"])))
        parts = [slice(*ends) for ends in itertools.pairwise([0, *ends])]
        return [faces.Detections(found["boxes"][part], found["scores"][part], landmarks[part]) for part in parts]


def _checked_search(shape: tuple[int, ...], min_face_size: float, max_pixels: int) -> str:
    """What is searched, in words; raises ValueError where the pyramid's first scale has more than `max_pixels`."""
    height, width = shape[:2]
    wanted = stages.PNET.size / min_face_size
    scale = min(max(wanted, stages.PNET.size / min(height, width)), max(wanted, 1))
    what = f"{width} × {height} pixels for faces from {min_face_size:g} pixels on"
    if width * height * scale**2 > max_pixels:
        raise ValueError(
            f"expected to search at most {max_pixels:,} pixels, got {width * height * scale**2:,.0f}, which {what} "
            f"take; {_TO_DO}, or allow more with max_pixels"
        )
    return what


def _scale_factor(value: Any) -> float:
    wanted = f"one number above 0 and at most {_MAX_SCALE_FACTOR}, such as {cascade.SCALE_FACTOR}"
    return arguments.number("scale_factor", value, wanted, above=0, up_to=_MAX_SCALE_FACTOR)


def _several(images: Iterable[image_files.ImageLike]) -> Iterable[image_files.ImageLike]:
    """The images of a batch; a single one, of which rows or letters would be taken for images, is refused."""
    shape: tuple[int, ...] = getattr(images, "shape", ())
    is_one = isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | image_files.Image.Image)
    if is_one or not isinstance(images, Iterable) or len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)):
        raise ValueError(f"a batch takes several images, such as a list, got {arguments.shown(images)}; see a call")
    return images


_is_at_work = False
"""Whether this process, or the one it was forked from, has made a detector: then TensorFlow's threads are running."""
_is_forked = False
"""Whether they were running when this process was forked: it has none of them, and would wait for them for ever."""


def _note_fork() -> None:
    global _is_forked
    _is_forked = _is_at_work


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _check_process() -> None:
    """Raises `RuntimeError` where TensorFlow would wait for ever, or give no numbers."""
    if _is_forked:
        raise RuntimeError(
            "a detector works in the process that made it and not in forks of it, which lack TensorFlow's threads; "
            'load it after the fork, in each process anew (gunicorn without --preload, multiprocessing with "spawn")'
        )
    if not tf.executing_eagerly():
        raise RuntimeError(
            "a detector needs TensorFlow's eager mode, which is off here (tf.compat.v1.disable_eager_execution, or a "
            "tf.function round this call); leave it on, or detect in a process of its own"
        )


def from_networks(networks_dir: str | os.PathLike, until: str = "onet", **kwargs: Any) -> Detector:
    """The detector of the networks trained in `networks_dir`, up to and with stage `until`; see `cascade.Cascade`."""
    networks_dir = arguments.path("networks_dir", networks_dir, "the path of a folder with trained networks")
    arguments.choice("until", until, list(stages.BY_NAME))
    _check_process()
    return Detector(cascade.Cascade.from_networks(networks_dir, until, **kwargs))


def load(path: str | os.PathLike = "default", precision: str = inference.PRECISIONS[0]) -> Detector:
    """The detector at `path`.

    Args:
        path: "default" or "classic", the weights that come with the package: RPN and O-Net, or the paper's P-, R- and
            O-Net. Or a folder that `exporting` wrote to, its `cascade`, or one version in there (otherwise the highest
            is taken); or one in which the networks were trained, with what was chosen for them by calibration, if any.
            It may be an address, see `files`; one that has the name of weights is told apart by `./`.
        precision: What the networks' layers compute in, one of `inference.PRECISIONS`. An export has its own.

    Raises:
        FileNotFoundError: There is no detector at `path`, or the package was installed without its weights.
        ValueError: What the folder's `weights.json` holds was chosen for other networks, or it holds two first stages;
            of the weights that ship a file is not the one that was shipped; `precision` is not as described.
    """
    _check_process()
    arguments.choice("precision", precision, inference.PRECISIONS)
    path = arguments.path("path", path, "the path of a folder with a detector")
    if path in shipped.NAMES:
        return _load_shipped(shipped.folder(path), precision)
    for model_dir in (os.path.join(path, MODEL_NAME), path):
        numbers = versions(model_dir)
        if numbers:
            return _load_version(os.path.join(model_dir, str(max(numbers))), precision)
    if files.is_file(os.path.join(path, _SAVED_MODEL_FILE)):
        return _load_version(path, precision)
    if any(files.is_file(os.path.join(path, stage.network_file)) for stage in stages.ALL):
        return _from_calibrated(path, stored_calibration.read(path), precision)
    raise FileNotFoundError(
        f"expected a detector that export.py wrote, or trained networks, in {path!r}, found neither; "
        "train (train.py) or check the path"
    )


def _load_shipped(path: str | os.PathLike, precision: str) -> Detector:
    """The detector of weights that come with the package."""
    try:
        chosen = stored_calibration.read(path)
    except stored_calibration.OtherNetworksError as error:
        name = error.names[0]
        raise ValueError(f"expected {name} as it was shipped in {path}, got another; install it again") from None
    if chosen is None:
        missing = os.path.join(path, stored_calibration.FILE_NAME)
        raise FileNotFoundError(
            f"expected the weights that come with the package, found no {missing}; install it again"
        )
    return _from_calibrated(path, chosen, precision)


def _from_calibrated(
    path: str | os.PathLike, chosen: stored_calibration.Calibration | None, precision: str
) -> Detector:
    return from_networks(path, **(chosen._asdict() if chosen else {}), precision=precision)


def versions(model_dir: str | os.PathLike) -> list[int]:
    """The numbers of the SavedModels in `model_dir`."""
    names = [os.path.basename(path) for path in files.glob(model_dir, "*")] if files.is_dir(model_dir) else []
    return [
        int(name)
        for name in names
        if name.isdecimal() and files.is_file(os.path.join(model_dir, name, _SAVED_MODEL_FILE))
    ]


def _load_version(path: str, precision: str) -> Detector:
    if precision != inference.PRECISIONS[0]:
        raise ValueError(
            f"expected networks to compute in {precision}, got an export in {path!r}, which computes in what it was "
            "exported for; leave the precision out, or see export.py --precision"
        )
    saved = tf.saved_model.load(path)
    if not hasattr(saved, "until_onet"):
        raise ValueError(
            f"expected a whole cascade, got another SavedModel in {path!r}; name the folder of the cascade"
        )
    return Detector(saved)
