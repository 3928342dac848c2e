"""Finds faces in images, videos and what a camera sees.

    mtcnn-detect SOURCE… --out_dir=found
    mtcnn-detect holiday/ film.mp4 --model=exported --every=3 --write=drawings,csv,crops

A SOURCE is an image, a folder of images, a quoted pattern such as '**/*.jpg', a video file, the http address of one
of these, or a camera: its number (0 is the first), its device, the address of its stream (Ctrl-C ends it). Into
--out_dir go, as --write says,

* `drawings`: each image with its faces drawn in, as NAME.faces.jpg, each video as NAME.faces.mp4;
* `json`: one detections.json, a list with an entry for each image that could be read: its `image` (the path as
  given), `drawing`, `boxes`, `scores` and `landmarks`; and one for each frame of a video: `video`, `frame` (from 0),
  `seconds`, `identities` (the same number for the same face from frame to frame, as far as boxes overlap), and
  `reused`, true where --every had the frame not looked at;
* `jsonl`: the same as JSON lines; `csv`: a row for each face;
* `crops`: each face turned upright (as it stands, of a detector without landmarks), 112 × 112 pixels, as
  crops/NAME.face-1.png.

Lists are written while it looks. What can't be read is reported and the rest goes on; the exit status is then 1.
"""

import functools
import sys
from collections.abc import Callable, Sequence

import tqdm
from absl import app, flags

from mtcnn_tf import faces, programs, runtimes
from mtcnn_tf.cli import results, sources
from mtcnn_tf.detection import cascade, detector, tracking
from mtcnn_tf.images import image_files, videos
from mtcnn_tf.models import inference

FLAGS = flags.FlagValues()
"""The flags of this program alone."""

_MODEL = flags.DEFINE_string(
    "model",
    "default",
    "default or classic, the weights that ship, or a folder or .tflite or .onnx file that export.py wrote, or a folder "
    "with trained networks.",
    flag_values=FLAGS,
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    inference.PRECISIONS[0],
    inference.PRECISIONS,
    "What networks compute in: bfloat16 is faster where the processor has instructions for it, slower elsewhere.",
    flag_values=FLAGS,
)
_OUT_DIR = flags.DEFINE_string(
    "out_dir", "detections", "Folder for what is written; made if need be.", flag_values=FLAGS
)
_WRITE = flags.DEFINE_list(
    "write", ["drawings", "json"], f"What is written: any of {', '.join(results.KINDS)}.", flag_values=FLAGS
)
_MIN_FACE_SIZE = flags.DEFINE_float(
    "min_face_size",
    cascade.MIN_FACE_SIZE,
    "Side of the smallest face looked for, in pixels.",
    lower_bound=1,
    flag_values=FLAGS,
)
_THRESHOLDS = flags.DEFINE_list(
    "thresholds",
    None,
    "Scores to exceed after each network, such as P-Net, R-Net, O-Net. [stored with the model]",
    flag_values=FLAGS,
)
_MAX_FACES = flags.DEFINE_integer(
    "max_faces", None, "At most that many faces in an image. [all]", lower_bound=1, flag_values=FLAGS
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    image_files.MAX_PIXELS,
    "An image file of more pixels is not decoded, and no more are searched: a small --min_face_size enlarges.",
    lower_bound=1,
    flag_values=FLAGS,
)
_TRY_ROTATIONS = flags.DEFINE_bool(
    "try_rotations", False, "Search also rotated by 90°, 180° and 270°; takes four times as long.", flag_values=FLAGS
)
_EVERY = flags.DEFINE_integer(
    "every",
    1,
    "Of a video only every that-many-th frame is looked at; those between reuse its boxes.",
    lower_bound=1,
    flag_values=FLAGS,
)


def _run(arguments: list[str]) -> None:
    """Detects faces in the sources named on the command line."""
    if not arguments:
        raise app.UsageError("expected at least one image, folder or video: mtcnn-detect SOURCE… --out_dir=DIR")
    _check_write(_WRITE.value)
    try:
        thresholds = programs.parse_thresholds(_THRESHOLDS.value)
    except ValueError as error:
        raise app.UsageError(str(error)) from None
    try:
        programs.check_local(_OUT_DIR)
        find_faces = _finder(thresholds)
        out = results.Results(_OUT_DIR.value, _WRITE.value)
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"mtcnn-detect: {error}")
    with out:
        num_failed, num_sources, is_interrupted = _detect(arguments, find_faces, out)
    print(f"{out.summary()}; {', '.join(_WRITE.value)} are in {_OUT_DIR.value}")
    if is_interrupted:
        print("mtcnn-detect: interrupted; what was found up to then is written", file=sys.stderr)
        sys.exit(130)
    if num_failed:
        sys.exit(f"mtcnn-detect: {num_failed} of {num_sources} sources failed")


def _finder(thresholds: tuple[float, ...] | None) -> Callable:
    """What finds the faces of an image, as the flags say."""
    if _MODEL.value.endswith(runtimes.ENDINGS):
        of_networks = _MIN_FACE_SIZE, _PRECISION, _THRESHOLDS, _TRY_ROTATIONS
        settled = [f"--{flag.name}" for flag in of_networks if flag.present]
        if settled:
            raise ValueError(
                f"expected no {' or '.join(settled)} with {_MODEL.value!r}, a file that was written with its own; "
                "leave it out, or give a folder of networks"
            )
        return functools.partial(runtimes.FixedSizeDetector(_MODEL.value), max_faces=_MAX_FACES.value)
    its_detector = detector.load(_MODEL.value, _PRECISION.value)
    programs.check_thresholds(thresholds, its_detector.stages)
    return functools.partial(
        its_detector,
        min_face_size=_MIN_FACE_SIZE.value,
        thresholds=thresholds,
        max_faces=_MAX_FACES.value,
        max_pixels=_MAX_PIXELS.value,
        try_rotations=_TRY_ROTATIONS.value,
    )


def _detect(arguments: list[str], find_faces: Callable, out: results.Results) -> tuple[int, int, bool]:
    """Looks at everything; how many sources failed, of how many, and whether Ctrl-C ended it."""
    found, problems = sources.find(arguments, _OUT_DIR.value)
    for problem in problems:
        print(f"mtcnn-detect: {problem}", file=sys.stderr)
    num_sources = len(found) + len(problems)
    try:
        for source in tqdm.tqdm(found, unit="source", disable=True if len(found) == 1 else None):
            try:
                if source.kind == "image":
                    image = image_files.as_rgb(sources.fetch(source.name), max_pixels=_MAX_PIXELS.value)
                    out.add_image(source.name, source.stem, image, find_faces(image))
                else:
                    _watch(source, find_faces, out)
            except (OSError, ValueError, MemoryError) as error:
                about = str(error) if source.name in str(error) else f"{source.name}: {error}"
                problems.append(about)
                tqdm.tqdm.write(f"mtcnn-detect: {about}", file=sys.stderr)
    except KeyboardInterrupt:
        return len(problems), num_sources, True
    return len(problems), num_sources, False


def _watch(source: sources.Source, find_faces: Callable, out: results.Results) -> None:
    """Looks at the frames of a video or camera."""
    is_camera = source.kind == "camera"
    tracker = tracking.Tracker()
    found: faces.Detections | None = None
    with (
        videos.Reader(int(source.name) if source.name.isdecimal() and is_camera else source.name) as video,
        out.video_drawing(source.stem, video.frames_per_second) as draw,
    ):
        try:
            for image in tqdm.tqdm(video, total=video.num_frames, unit="frame", disable=None):
                index = video.num_read + video.num_lost - 1
                is_reused = found is not None and index % _EVERY.value != 0
                if found is None or not is_reused:
                    found = find_faces(image)
                    identities = tracker.update(found).tolist()
                draw(image, found, identities)
                seconds = round(index / video.frames_per_second, 3)
                entry = {"frame": index, "seconds": seconds, "identities": identities, "reused": is_reused}
                out.add_frame(source.name, source.stem, entry, image, found)
        except KeyboardInterrupt:
            if not is_camera:
                raise
    if not video.num_read:
        raise ValueError(f"expected at least one frame, got none of {source.kind} {source.name!r}; check it")
    if not is_camera:
        video.check_complete()


def _check_write(kinds: list[str]) -> None:
    if not kinds or not set(kinds) <= set(results.KINDS):
        raise app.UsageError(f"--write takes any of {', '.join(results.KINDS)}, got {','.join(kinds)!r}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, FLAGS, arguments, takes="SOURCE…")


if __name__ == "__main__":
    main()
