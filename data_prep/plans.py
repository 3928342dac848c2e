"""What a build is going to do, before its first byte is written: annotations, jobs, and who proposes boxes."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator

import numpy as np

import mtcnn_tf
from mtcnn_tf import datasets, faces, files, landmark_sets, stages
from mtcnn_tf.datasets import sizes
from mtcnn_tf.images import image_files

from . import jobs, labels, mining, recipes, shards


@dataclasses.dataclass(frozen=True)
class Plan:
    """A build that may begin.

    Attributes:
        config: What is asked for.
        stage_dir: Where the records go.
        annotations: Of all images, in the order of the data sets.
        problems: What was stepped over in the data sets.
        all_jobs: What there is to do: every image in one of them.
        networks_sha256: The SHA-256 of each network that proposes boxes, by its stage.
    """

    config: recipes.Config
    stage_dir: files.Path
    annotations: list[faces.Annotation]
    problems: list[faces.Problem]
    all_jobs: list[jobs.Job]
    networks_sha256: dict[str, str]

    @functools.cached_property
    def settings(self) -> dict:
        """What must be equal for two builds to give the same records, as plain values."""
        described = {**dataclasses.asdict(self.config), "version": mtcnn_tf.__version__, "split": jobs.SPLIT}
        described |= {"annotations_sha256": _digest(self.annotations), "networks_sha256": self.networks_sha256}
        return json.loads(json.dumps(described))

    def held_out(self) -> list[faces.Annotation]:
        """The images that are held out for validation, in the order of the data sets."""
        rows = sorted(row for job in self.all_jobs if job.split == "validation" for row, _ in job.images)
        return [self.annotations[row] for row in rows]

    def job_settings(self, mining_report: dict | None) -> jobs.Settings:
        """What all jobs share, given what `choose_miner` returned."""
        miner = None if mining_report is None else mining.Miner(**mining_report["miner"])
        return jobs.Settings(self.stage_dir, self.config, miner)


def make(config: recipes.Config, stage_dir: files.Path, report: Callable[[str], None]) -> Plan:
    """Reads the data sets and cuts the work into jobs; arguments and errors as in `building.build`."""
    annotations, problems = _read_datasets(config, report)
    all_jobs = jobs.split_images(annotations, config.num_shards, config.validation_fraction, config.seed)
    return Plan(config, stage_dir, annotations, problems, all_jobs, _sums(config))


def _read_datasets(
    config: recipes.Config, report: Callable[[str], None]
) -> tuple[list[faces.Annotation], list[faces.Problem]]:
    annotations, problems = [], []
    for spec in config.datasets:
        found, met = datasets.read(spec, "train", config.class_name, config.recipe.landmark_set)
        for sentence in datasets.alarms(spec, met):
            report(sentence)
        if config.max_images is not None and len(found) > config.max_images:
            rows = np.random.default_rng(config.seed).choice(len(found), config.max_images, replace=False)
            found = [found[row] for row in np.sort(rows)]
        annotations += found if config.landmarks else [_without_landmarks(annotation) for annotation in found]
        problems += met
    _check_landmarks(config, annotations)
    min_size = config.recipe.rules.min_face_size
    if not any(labels.usable_mask(annotation, min_size).any() for annotation in annotations):
        raise ValueError(
            f"expected annotated faces of at least {min_size:g} pixels in {', '.join(config.datasets)}, found none in "
            f"{len(annotations)} images; check the folders or lower --min_face_size"
        )
    return annotations, problems


def _without_landmarks(annotation: faces.Annotation) -> faces.Annotation:
    return dataclasses.replace(annotation, landmarks=np.full_like(annotation.landmarks, np.nan))


def _check_landmarks(config: recipes.Config, annotations: list[faces.Annotation]) -> None:
    """Raises ValueError where points other than the five are asked for, and no face has them."""
    landmark_set = config.recipe.landmark_set
    if landmark_set != landmark_sets.FIVE and not any(faces.known_mask(one.landmarks).any() for one in annotations):
        raise ValueError(
            f"expected faces with {landmark_set.num_points} points in {', '.join(config.datasets)}, found none; give "
            "--landmarks for the points that they have, or none"
        )


def _digest(annotations: list[faces.Annotation]) -> str:
    """The SHA-256 of all that is annotated."""
    digest = hashlib.sha256()
    for annotation in annotations:
        digest.update(os.fsencode(f"{annotation.image_path} {annotation.is_complete} {annotation.size or ''}"))
        for array in (annotation.boxes, annotation.landmarks, annotation.ignored):
            digest.update(array.tobytes())
    return digest.hexdigest()


def _sums(config: recipes.Config) -> dict[str, str]:
    """The SHA-256 of each network that proposes boxes, by its stage."""
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
    return networks


def choose_miner(plan: Plan) -> dict | None:
    """The miner and how its thresholds were found, once a build; None where all boxes are drawn by chance."""
    config, stage = plan.config, stages.BY_NAME[plan.config.stage]
    if config.networks is None:
        return None
    path = plan.stage_dir / shards.UNFINISHED / "mining.json"
    if not files.is_file(path):
        rules = config.recipe.rules
        if config.thresholds is not None:
            last = stages.proposers_in_folder(config.networks, stage)[-1].name
            miner = mining.Miner(config.networks, last, config.thresholds, rules.min_face_size)
            calibration: list[dict] = []
        else:
            images = _calibration_images(plan)
            miner, calibration = mining.thresholds_for_recall(
                config.networks, stage, images, rules.min_face_size, rules.negative_iou
            )
        shards.write_json(path, {"miner": dataclasses.asdict(miner), "calibration": calibration})
    return json.loads(files.read_text(path))


class _CalibrationImages:
    """Images uint8 [H, W, 3] and their usable faces [N, 4], read each time one goes through them: they may be large."""

    def __init__(self, config: recipes.Config):
        self._config = config
        self._chosen: list[tuple[str, np.ndarray]] = []

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for path, boxes in self._chosen:
            yield self._read(path)[0], boxes

    def _read(self, path: str) -> tuple[np.ndarray, tuple[int, int]]:
        """The image, shrunk, and its width and height before."""
        image = image_files.read(path, self._config.max_pixels)
        return image_files.shrink(image, self._config.longest_side), (image.shape[1], image.shape[0])

    def add(self, annotation: faces.Annotation, usable_mask: np.ndarray) -> None:
        """Adds an image, if it can be read, fits its annotation and has faces that are large enough once shrunk."""
        config = self._config
        with contextlib.suppress(ValueError, OSError):  # reported when its turn in the build comes
            shrunk, (width, height) = self._read(annotation.image_path)
            fitted, _ = sizes.fit(annotation, width, height, config.recipe.scale_boxes)
            if fitted is None:
                return
            boxes = fitted.boxes[usable_mask] * np.float32(shrunk.shape[1] / width)
            boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= config.recipe.rules.min_face_size]
            if len(boxes):
                self._chosen.append((annotation.image_path, boxes))


def _calibration_images(plan: Plan) -> _CalibrationImages:
    """Training images of complete sets, with their usable faces."""
    config = plan.config
    images = _CalibrationImages(config)
    for _, annotation in (image for job in plan.all_jobs if job.split == "train" for image in job.images):
        usable_mask = labels.usable_mask(annotation, config.recipe.rules.min_face_size)
        if annotation.is_complete and usable_mask.any() and len(images) < config.calibration_images:
            images.add(annotation, usable_mask)
    if not images:
        raise ValueError("found no image with faces to find the thresholds on; give --thresholds")
    return images
