"""A whole build: data sets → training records of one stage, resumable, see `build`."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

import mtcnn_tf
from data_prep import jobs, labels, mining, recipes, shards
from mtcnn_tf import datasets, faces, files, locks, stages
from mtcnn_tf.datasets import sizes
from mtcnn_tf.images import image_files
from mtcnn_tf.records import manifests

PROBLEMS = "problems.txt"
HELD_OUT = "held_out.txt"
"""The images that were held out for validation, one path a line: those to tune on, never trained with."""
COUNTED = {**shards.NAMES, manifests.IMAGES: (*shards.NAMES[manifests.IMAGES], "face")}
"""What is counted in records of each kind."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides what is in the records.

    Attributes:
        stage: The name of the stage.
        datasets: `NAME:DIR` of each data set, see `datasets.read`.
        networks: The folder of the networks trained so far, which begins with either first stage; may be None for
            P-Net.
        recipe: How many of what.
        seed: Seed of everything drawn by chance.
        num_shards: Files for each kind.
        validation_fraction: Fraction of the images held out.
        max_images: Take so many images of each data set, drawn by the seed; None for all.
        max_pixels: Image files of more pixels are stepped over.
        class_name: The class of VOC and COCO annotations to take; None for all.
        thresholds: Score thresholds of the stages so far; None to find them by recall.
        calibration_images: On how many training images.
        crops: "in_records", or "on_the_fly" to record whole images with the proposals of the cascade so far.
        longest_side: Larger images are shrunk to this in image records; None leaves all as they are.
    """

    stage: str
    datasets: tuple[str, ...]
    networks: str | None = None
    recipe: recipes.Recipe = recipes.Recipe()
    seed: int = 0
    num_shards: int = 16
    validation_fraction: float = 0.05
    max_images: int | None = None
    max_pixels: int = image_files.MAX_PIXELS
    class_name: str | None = None
    thresholds: tuple[float, ...] | None = None
    calibration_images: int = 200
    crops: str = "in_records"
    longest_side: int | None = None

    @property
    def kind_of_records(self) -> str:
        """`manifests.CROPS` or `manifests.IMAGES`; the RPN learns from whole images only."""
        holds_images = self.stage == stages.RPN.name or self.crops == "on_the_fly"
        return manifests.IMAGES if holds_images else manifests.CROPS

    def __post_init__(self):
        if self.thresholds is None:
            return
        if self.networks is None:
            raise ValueError("thresholds are those of networks that propose boxes, and there are none; give --networks")
        names = [one.name for one in stages.proposers_in_folder(self.networks, stages.BY_NAME[self.stage])]
        if len(self.thresholds) != len(names) or not all(0 <= threshold <= 1 for threshold in self.thresholds):
            raise ValueError(
                f"{self.stage} needs a threshold in 0–1 for each network before it ({', '.join(names)}), got "
                f"{', '.join(f'{threshold:g}' for threshold in self.thresholds)}"
            )


def build(
    config: Config,
    out_dir: str,
    num_workers: int,
    restart: bool = False,
    report: Callable[[str], None] = print,
    run: jobs.Run | None = None,
) -> dict:
    """Builds the records of a stage in `out_dir`/STAGE and returns their manifest.

    `held_out.txt` beside it lists the images of the validation records, by which networks may be chosen and tuned.
    A build that was stopped goes on where it stopped. Of one that is finished only what is damaged is built again.

    Args:
        config: What to build.
        out_dir: Where the folders of the stages lie; may be an address, as all other paths may, see `files`. There
            nothing keeps two builds of one folder apart.
        num_workers: Processes. Changes nothing in the records.
        restart: Throw away what is there.
        report: Takes a line that says what was damaged, or is suspicious in a data set.
        run: Runs the jobs in another way than `jobs.run` on `num_workers` processes, see `distributed`.

    Raises:
        ValueError: The data holds no usable face, or the folder holds records built otherwise, or another build is at
            work in it, or damaged records can't be built again because images have changed, or the folder of the
            networks holds two first stages, or the thresholds are not as many as there are stages.
        FileNotFoundError: A data set or network is missing.
        OSError: A file could not be written.
    """
    stage_dir = files.as_path(out_dir) / config.stage
    run = run or functools.partial(jobs.run, num_workers=num_workers)
    with contextlib.nullcontext() if files.is_address(stage_dir) else locks.only_one_in(stage_dir, "build"):
        if restart:
            _clear(stage_dir)
        files.remove_partial(stage_dir)
        annotations, problems = _read_datasets(config, report)
        settings = _settings(config, annotations)
        manifest = _manifest_of_same_build(stage_dir, settings)
        try:
            if manifest is None:
                manifest = _make(config, stage_dir, annotations, problems, settings, run)
            else:
                _repair(config, stage_dir, annotations, manifest, run, report)
        finally:
            files.remove_partial(stage_dir)
        held_out = jobs.held_out(annotations, config.validation_fraction, config.seed)
        lines = [f"{files.one_line(annotation.image_path)}\n" for annotation in held_out]
        shards.write_text(stage_dir / HELD_OUT, "".join(lines))
        files.remove_folder(stage_dir / shards.UNFINISHED)
    return manifest


def _clear(stage_dir: files.Path) -> None:
    for name in (shards.UNFINISHED, *manifests.SPLITS):
        files.remove_folder(stage_dir / name)
    for name in (manifests.MANIFEST, PROBLEMS, HELD_OUT):
        files.remove(stage_dir / name)


def _read_datasets(config: Config, report: Callable[[str], None]) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    annotations, problems = [], []
    for spec in config.datasets:
        found, met = datasets.read(spec, "train", config.class_name)
        for sentence in datasets.alarms(spec, met):
            report(sentence)
        if config.max_images is not None and len(found) > config.max_images:
            rows = np.random.default_rng(config.seed).choice(len(found), config.max_images, replace=False)
            found = [found[row] for row in np.sort(rows)]
        annotations += found
        problems += met
    min_size = config.recipe.rules.min_face_size
    if not any(labels.usable_mask(annotation, min_size).any() for annotation in annotations):
        raise ValueError(
            f"expected annotated faces of at least {min_size:g} pixels in {', '.join(config.datasets)}, found none in "
            f"{len(annotations)} images; check the folders or lower --min_face_size"
        )
    return annotations, problems


def _settings(config: Config, annotations: list[faces.Annotation]) -> dict:
    """What must be equal for two builds to give the same records, as plain values."""
    digest = hashlib.sha256()
    for annotation in annotations:
        digest.update(os.fsencode(f"{annotation.image_path} {annotation.is_complete} {annotation.size or ''}"))
        for array in (annotation.boxes, annotation.landmarks, annotation.ignored):
            digest.update(array.tobytes())
    networks = {}
    if config.networks is not None:
        for stage in stages.proposers_in_folder(config.networks, stages.BY_NAME[config.stage]):
            path = files.as_path(config.networks) / stage.network_file
            if not files.is_file(path):
                raise FileNotFoundError(
                    f"{config.stage} is to learn from what {stage.name} proposes, and there is no {path}; "
                    f"train it first: python train.py --stage={stage.name} --networks={config.networks}"
                )
            networks[stage.name] = files.sha256(path)
    described = {**dataclasses.asdict(config), "version": mtcnn_tf.__version__}
    described |= {"annotations_sha256": digest.hexdigest(), "networks_sha256": networks}
    return json.loads(json.dumps(described))


def _manifest_of_same_build(stage_dir: files.Path, settings: dict) -> dict | None:
    """The finished manifest, None if there is none yet; raises ValueError if what is there was built otherwise."""
    for path in (stage_dir / manifests.MANIFEST, stage_dir / shards.UNFINISHED / manifests.MANIFEST):
        if not files.is_file(path):
            continue
        there = json.loads(files.read_text(path))
        different = [name for name, value in settings.items() if there["settings"].get(name) != value]
        if different:
            raise ValueError(
                f"{stage_dir} holds records built with other settings ({', '.join(different)}); "
                "take another --out_dir, or --restart to build anew"
            )
        return there if path.parent == stage_dir else None
    shards.write_json(stage_dir / shards.UNFINISHED / manifests.MANIFEST, {"settings": settings})
    return None


def _make(config, stage_dir, annotations, problems, settings, run) -> dict:
    all_jobs = jobs.split_images(annotations, config.num_shards, config.validation_fraction, config.seed)
    mining_report = _mining(config, stage_dir, all_jobs)
    miner = mining_report and mining.Miner(**mining_report["miner"])
    done = dict(_finished(stage_dir, all_jobs))
    pending = [job for job in all_jobs if job.name not in done]
    job_settings = _job_settings(config, stage_dir, miner)
    with _progress(config, all_jobs, pending, done) as on_image:
        for job, result in run(pending, job_settings, on_image):
            shards.write_json(jobs.marker(stage_dir, job), result)
            done[job.name] = result

    results = [done[job.name] for job in all_jobs]
    problems = problems + [faces.Problem(**problem) for result in results for problem in result["problems"]]
    manifest = {
        "stage": config.stage,
        "records": config.kind_of_records,
        "settings": settings,
        "mining": mining_report,
        "images": {split: sum(len(job.images) for job in all_jobs if job.split == split) for split in manifests.SPLITS},
        "examples": {split: _count(config, all_jobs, results, split) for split in manifests.SPLITS},
        "problems": dict(collections.Counter(problem.what for problem in problems)),
        "shards": [entry for result in results for entry in result["shards"]],
    }
    faced = "positive" if config.kind_of_records == manifests.CROPS else "face"
    if not manifest["examples"]["train"][faced]:
        raise ValueError(
            f"no image of {', '.join(config.datasets)} gave a {faced} example; "
            f"{len(problems)} problems, the first: {problems[0] if problems else 'none'}"
        )
    shards.write_text(stage_dir / PROBLEMS, "".join(f"{problem}\n" for problem in problems))
    shards.write_json(stage_dir / manifests.MANIFEST, manifest)
    return manifest


def _job_settings(config: Config, stage_dir: files.Path, miner: mining.Miner | None) -> jobs.Settings:
    return jobs.Settings(
        stage_dir,
        config.stage,
        config.recipe,
        config.seed,
        miner,
        config.max_pixels,
        config.kind_of_records,
        config.longest_side,
    )


def _repair(config, stage_dir, annotations, manifest, run, report) -> None:
    """Makes again what is damaged of a finished build: a job gives the same bytes each time."""
    damaged = {entry["file"] for entry in manifest["shards"] if not shards.is_intact(stage_dir, entry)}
    if not damaged:
        return
    report(f"{len(damaged)} shards of {stage_dir} are damaged, the first {min(damaged)}; building them again.")
    all_jobs = jobs.split_images(annotations, config.num_shards, config.validation_fraction, config.seed)
    pending = [job for job in all_jobs if damaged.intersection(job.files(config.kind_of_records))]
    miner = manifest["mining"] and mining.Miner(**manifest["mining"]["miner"])
    job_settings = _job_settings(config, stage_dir, miner)
    with _progress(config, pending, pending, {}) as on_image:
        for job, result in run(pending, job_settings, on_image):
            if not all(entry in manifest["shards"] for entry in result["shards"]):
                raise ValueError(
                    f"expected the images that the records in {stage_dir} were built from, and those of "
                    f"{job.name} have changed or are missing; --restart to build all records anew"
                )


def _mining(config: Config, stage_dir: files.Path, all_jobs: list[jobs.Job]) -> dict | None:
    """The miner and how its thresholds were found, once a build; None where all boxes are drawn by chance."""
    stage = stages.BY_NAME[config.stage]
    if config.networks is None:
        return None
    path = stage_dir / shards.UNFINISHED / "mining.json"
    if not files.is_file(path):
        rules = config.recipe.rules
        if config.thresholds is not None:
            last = stages.proposers_in_folder(config.networks, stage)[-1].name
            miner, calibration = mining.Miner(config.networks, last, config.thresholds, rules.min_face_size), []
        else:
            images = _calibration_images(config, all_jobs)
            miner, calibration = mining.calibrate(
                config.networks, stage, images, rules.min_face_size, rules.negative_iou
            )
        shards.write_json(path, {"miner": dataclasses.asdict(miner), "calibration": calibration})
    return json.loads(files.read_text(path))


def _calibration_images(config: Config, all_jobs: list[jobs.Job]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training images of complete sets, with their usable faces."""
    images = []
    for _, annotation in (image for job in all_jobs if job.split == "train" for image in job.images):
        usable_mask = labels.usable_mask(annotation, config.recipe.rules.min_face_size)
        if not (annotation.is_complete and usable_mask.any()) or len(images) == config.calibration_images:
            continue
        with contextlib.suppress(ValueError, OSError):  # reported when its turn in the build comes
            image = image_files.read(annotation.image_path, config.max_pixels)
            fitted, _ = sizes.fit(annotation, image.shape[1], image.shape[0], config.recipe.scale_boxes)
            if fitted is None:
                continue
            shrunk = image_files.shrink(image, config.longest_side)
            boxes = fitted.boxes[usable_mask] * np.float32(shrunk.shape[1] / image.shape[1])
            boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= config.recipe.rules.min_face_size]
            if len(boxes):
                images.append((shrunk, boxes))
    if not images:
        raise ValueError("found no image with faces to find the thresholds on; give --thresholds")
    return images


def _finished(stage_dir: files.Path, all_jobs: list[jobs.Job]) -> Iterator[tuple[str, dict]]:
    """Names and results of the jobs that an earlier run finished and whose files are still whole."""
    for job in all_jobs:
        path = jobs.marker(stage_dir, job)
        if files.is_file(path):
            result = json.loads(files.read_text(path))
            if all(shards.is_intact(stage_dir, entry) for entry in result["shards"]):
                yield job.name, result


@contextlib.contextmanager
def _progress(config, all_jobs, pending, done):
    """A progress bar over images, with the number of examples of each kind; silent where there is no terminal."""
    counts = collections.Counter(dict.fromkeys(COUNTED[config.kind_of_records], 0))
    num_images = sum(len(job.images) for job in all_jobs)
    num_done = num_images - sum(len(job.images) for job in pending)
    for result in done.values():
        for entry in result["shards"]:
            counts.update(_num_examples(entry))
    with tqdm.tqdm(total=num_images, initial=num_done, unit=" images", disable=None) as bar:

        def on_image(of_image: dict[str, int]) -> None:
            counts.update(of_image)
            bar.set_postfix(counts, refresh=False)
            bar.update()

        yield on_image


def _count(config: Config, all_jobs: list[jobs.Job], results: list[dict], split: str) -> dict[str, int]:
    counts = collections.Counter(dict.fromkeys(COUNTED[config.kind_of_records], 0))
    for job, result in zip(all_jobs, results, strict=True):
        for entry in result["shards"] if job.split == split else ():
            counts.update(_num_examples(entry))
    return dict(counts)


def _num_examples(entry: dict) -> dict[str, int]:
    """How many of what a shard holds, by its entry in the manifest."""
    of_images = {"face": entry["faces"]} if "faces" in entry else {}
    return {entry["kind"]: entry["examples"], **of_images}
