"""The work of a build, cut into jobs that run on all cores: one job makes one shard of every kind.

A job depends on nothing but its images, the settings and the seed, so that neither the number of workers nor a kill
in between changes a byte of the result.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import os
import pathlib
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from mtcnn_tf import faces, files, stages
from mtcnn_tf.images import image_files
from mtcnn_tf.records import crop_records, image_records, manifests

from . import examples, mining, recipes, shards, whole_images


@dataclasses.dataclass(frozen=True)
class Job:
    """One shard to make.

    Attributes:
        split: "train" or "validation".
        shard: Its number.
        num_shards: How many shards the split has.
        images: Index in the whole data and annotation of each image.
    """

    split: str
    shard: int
    num_shards: int
    images: list[tuple[int, faces.Annotation]]

    @property
    def name(self) -> str:
        """What tells it from the other jobs of a build."""
        return f"{self.split}-{self.shard:05d}"

    def files(self, kind_of_records: str = manifests.CROPS) -> list[str]:
        """The files that it makes, as paths below the stage's folder."""
        names = shards.NAMES[kind_of_records]
        return [shards.shard_name(self.split, name, self.shard, self.num_shards) for name in names]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all jobs of a build share.

    Attributes:
        stage_dir: Where the shards go.
        config: What decides what is in them.
        miner: The cascade so far; None where all boxes are drawn by chance.
    """

    stage_dir: files.Path
    config: recipes.Config
    miner: mining.Miner | None = None


SPLIT = "by range of hashes"
"""How images are held out, among the settings of a build: records split in another way would hold out other images."""
_NUM_KEYS = 2**32

Run = Callable[[list[Job], Settings, Callable[[dict[str, int]], None]], Iterator[tuple[Job, dict]]]
"""Pending jobs, their settings, what to call after each image → each job with what `make` returned."""


def split_images(
    annotations: list[faces.Annotation], num_shards: int, validation_fraction: float, seed: int
) -> list[Job]:
    """Jobs that cover all images, some of them held out for validation.

    An image's place depends on a hash of its name and the seed alone: the same images are held out for every stage, and
    whatever other images there are. Of few images one is held out by a fraction above 0 in any case, and one never.
    """
    train, validation = _split(annotations, validation_fraction, seed)
    jobs = []
    for split, rows in (("train", train), ("validation", validation)):
        num = min(max(1, round(num_shards * len(rows) / len(annotations))), len(rows))
        for shard in range(num):
            images = [(int(row), annotations[row]) for row in rows[shard::num]]
            jobs.append(Job(split, shard, num, images))
    return jobs


def _split(annotations: list[faces.Annotation], validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images to train with and of those to validate with, in the order of their keys."""
    keys = np.array([_key(annotation.image_path, seed) for annotation in annotations])
    order = np.argsort(keys, kind="stable")
    num_held_out = max(np.count_nonzero(keys < validation_fraction * _NUM_KEYS), int(validation_fraction > 0))
    num_held_out = min(num_held_out, len(order) - 1)
    return order[num_held_out:], order[:num_held_out]


def _key(image_path: str, seed: int) -> int:
    """A number below `_NUM_KEYS` that depends on the file and its folder's name, not on where the data set lies."""
    return zlib.crc32(os.fsencode("/".join([str(seed), *pathlib.PurePath(image_path).parts[-2:]])))


def marker(stage_dir: files.Path, job: Job) -> files.Path:
    """Where it is kept, while the build goes on, what the job returned: a job with this file is done."""
    return stage_dir / shards.UNFINISHED / f"{job.name}.json"


def run(
    pending: list[Job], settings: Settings, on_image: Callable[[dict[str, int]], None], num_workers: int
) -> Iterator[tuple[Job, dict]]:
    """Runs the jobs on `num_workers` processes; yields each with what `make` returned, as it ends.

    Args:
        pending: What is to be done.
        settings: What all jobs share.
        on_image: Called after each image with its number of examples of each kind.
        num_workers: Processes.
    """
    context = _context()
    progress = context.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(progress, on_image), daemon=True)
    listener.start()
    executor = concurrent.futures.ProcessPoolExecutor(num_workers, context, _start_worker, (settings, progress))
    try:
        futures = {executor.submit(_run_job, job): job for job in pending}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    except BaseException:  # Ctrl-C included: whoever stops a build does not want to wait for whole shards
        for child in multiprocessing.active_children():
            child.terminate()
        executor.shutdown(wait=True, cancel_futures=True)
        raise  # the listener is left alone: a worker may have ended while it held the queue's lock
    executor.shutdown()
    progress.put(None)
    listener.join()


def _context() -> multiprocessing.context.BaseContext:
    """How processes are started. TensorFlow survives a fork only as long as it was loaded and nothing more.

    On Linux a server that has just loaded it forks for each worker: it is loaded once, and its memory is shared.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mtcnn_tf.programs", __name__])  # the first has TensorFlow loaded in silence
    return context


def _listen(progress, on_image) -> None:
    while (counts := progress.get()) is not None:
        on_image(counts)


_worker: "_Worker"


@dataclasses.dataclass
class _Worker:
    settings: Settings
    progress: multiprocessing.SimpleQueue
    propose: mining.Propose | None


def _start_worker(settings: Settings, progress) -> None:
    """Prepares a process: one thread for each library, since there is a process for each core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the parent acts on it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    mining.use_one_thread()
    global _worker
    _worker = _Worker(settings, progress, settings.miner.load() if settings.miner else None)


def _end_with_parent() -> None:
    """Ends this process when the build is killed, so that no orphan goes on writing."""
    parent = multiprocessing.parent_process()
    multiprocessing.connection.wait([parent.sentinel] if parent else [])
    os._exit(1)


def _run_job(job: Job) -> dict:
    return make(job, _worker.settings, _worker.propose, _worker.progress.put)


def make(
    job: Job, settings: Settings, propose: mining.Propose | None, on_image: Callable[[dict[str, int]], None]
) -> dict:
    """Makes one shard. Returns its manifest entries and the problems met: `{"shards": […], "problems": […]}`.

    Args:
        job: What is to be done.
        settings: What all jobs share.
        propose: The cascade of `settings.miner`, loaded.
        on_image: Called after each image with its number of examples of each kind.
    """
    if settings.config.kind_of_records == manifests.IMAGES:
        return _make_images(job, settings, propose, on_image)
    stage, num_points = stages.BY_NAME[settings.config.stage], settings.config.recipe.landmark_set.num_points
    problems, made = [], []
    for index, annotation in job.images:
        of_image, found = _examples_of(index, annotation, stage, settings, propose)
        problems += found
        made += of_image
        on_image(crop_records.num_per_kind(of_image[0]) if of_image else {})
    merged = crop_records.concatenate(made) if made else crop_records.no_examples(stage.size, num_points)
    order = np.random.default_rng([settings.config.seed, job.shard, manifests.SPLITS.index(job.split)]).permutation(
        len(merged)
    )
    entries = shards.write(settings.stage_dir, job.split, job.shard, job.num_shards, merged[order])
    return {"shards": entries, "problems": [dataclasses.asdict(problem) for problem in problems]}


def _make_images(job, settings, propose, on_image) -> dict:
    """`make` for image records, which are written as they come: a shard of them may not fit into memory."""
    problems, num_faces = [], 0

    def serialized() -> Iterator[bytes]:
        nonlocal num_faces
        for _, annotation in job.images:
            how = (
                settings.config.max_pixels,
                settings.config.longest_side,
                propose,
                settings.config.recipe.scale_boxes,
            )
            image, found = whole_images.of_file(annotation, *how)
            problems.extend(found)
            if image is not None:
                num_faces += len(image.boxes)
                yield image_records.serialize(image)
            on_image({} if image is None else {"image": 1, "face": len(image.boxes)})

    entry = shards.write_images(settings.stage_dir, job.split, job.shard, job.num_shards, serialized())
    return {
        "shards": [{**entry, "faces": num_faces}],
        "problems": [dataclasses.asdict(problem) for problem in problems],
    }


def _examples_of(
    index, annotation, stage, settings, propose
) -> tuple[list[crop_records.Examples], list[faces.Problem]]:
    """The image's examples as a list of one (or none, where it can't be read), and its problems."""
    try:
        image = image_files.read(annotation.image_path, settings.config.max_pixels)
    except (ValueError, OSError) as error:
        return [], [faces.Problem(annotation.image_path, "unreadable image", str(error))]
    height, width = image.shape[:2]
    fitted, problems = examples.fit_to_image(annotation, width, height, settings.config.recipe.scale_boxes)
    if fitted is None:
        return [], problems
    rng = np.random.default_rng([settings.config.seed, index])
    return [examples.of_image(image, fitted, stage, settings.config.recipe, rng, propose)], problems
