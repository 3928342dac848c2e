"""A whole build: data sets → training records of one stage, resumable, see `build`."""

import collections
import contextlib
import functools
import json
from collections.abc import Callable, Iterator

import tqdm

from mtcnn_tf import faces, files, locks
from mtcnn_tf.records import manifests

from . import jobs, plans, recipes, shards

PROBLEMS = "problems.txt"
HELD_OUT = "held_out.txt"
"""The images that were held out for validation, one path a line: those to tune on, never trained with."""
COUNTED = {**shards.NAMES, manifests.IMAGES: (*shards.NAMES[manifests.IMAGES], "face")}
"""What is counted in records of each kind."""


def build(
    config: recipes.Config,
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
        restart: Throw away what is there, once data sets and networks have been found.
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
        plan = plans.make(config, stage_dir, report)
        if restart:
            _clear(stage_dir)
        files.remove_partial(stage_dir)
        manifest = _manifest_of_same_build(plan)
        try:
            if manifest is None:
                mining_report = plans.choose_miner(plan)
                manifest = _finish(plan, mining_report, _run(plan, mining_report, run))
            else:
                _repair(plan, manifest, run, report)
        finally:
            files.remove_partial(stage_dir)
        lines = [f"{files.one_line(annotation.image_path)}\n" for annotation in plan.held_out()]
        shards.write_text(stage_dir / HELD_OUT, "".join(lines))
        files.remove_folder(stage_dir / shards.UNFINISHED)
    return manifest


def _clear(stage_dir: files.Path) -> None:
    for name in (shards.UNFINISHED, *manifests.SPLITS):
        files.remove_folder(stage_dir / name)
    for name in (manifests.MANIFEST, PROBLEMS, HELD_OUT):
        files.remove(stage_dir / name)


def _manifest_of_same_build(plan: plans.Plan) -> dict | None:
    """The finished manifest, None if there is none yet; raises ValueError if what is there was built otherwise."""
    stage_dir = plan.stage_dir
    for path in (stage_dir / manifests.MANIFEST, stage_dir / shards.UNFINISHED / manifests.MANIFEST):
        if not files.is_file(path):
            continue
        there = json.loads(files.read_text(path))
        different = [name for name, value in plan.settings.items() if there["settings"].get(name) != value]
        if different:
            raise ValueError(
                f"{stage_dir} holds records built with other settings ({', '.join(different)}); "
                "take another --out_dir, or --restart to build anew"
            )
        return there if path.parent == stage_dir else None
    shards.write_json(stage_dir / shards.UNFINISHED / manifests.MANIFEST, {"settings": plan.settings})
    return None


def _run(plan: plans.Plan, mining_report: dict | None, run: jobs.Run) -> list[dict]:
    """Does the jobs that no earlier run has done; what each of all of them returned, in their order."""
    done = dict(_finished(plan))
    pending = [job for job in plan.all_jobs if job.name not in done]
    with _progress(plan.config, plan.all_jobs, pending, done) as on_image:
        for job, result in run(pending, plan.job_settings(mining_report), on_image):
            shards.write_json(jobs.marker(plan.stage_dir, job), result)
            done[job.name] = result
    return [done[job.name] for job in plan.all_jobs]


def _finish(plan: plans.Plan, mining_report: dict | None, results: list[dict]) -> dict:
    """Writes the manifest, and what was stepped over."""
    config, met = plan.config, [faces.Problem(**problem) for result in results for problem in result["problems"]]
    problems = plan.problems + met
    examples = {split: _count(plan, results, split) for split in manifests.SPLITS}
    manifest = {
        "stage": config.stage,
        "records": config.kind_of_records,
        "settings": plan.settings,
        "mining": mining_report,
        "images": {
            split: sum(len(job.images) for job in plan.all_jobs if job.split == split) for split in manifests.SPLITS
        },
        "examples": examples,
        "problems": dict(collections.Counter(problem.what for problem in problems)),
        "shards": [entry for result in results for entry in result["shards"]],
    }
    faced = "positive" if config.kind_of_records == manifests.CROPS else "face"
    if not examples["train"][faced]:
        raise ValueError(
            f"no image of {', '.join(config.datasets)} gave a {faced} example; "
            f"{len(problems)} problems, the first: {problems[0] if problems else 'none'}"
        )
    shards.write_text(plan.stage_dir / PROBLEMS, "".join(f"{problem}\n" for problem in problems))
    shards.write_json(plan.stage_dir / manifests.MANIFEST, manifest)
    return manifest


def _repair(plan: plans.Plan, manifest: dict, run: jobs.Run, report: Callable[[str], None]) -> None:
    """Makes again what is damaged of a finished build: a job gives the same bytes each time."""
    damaged = {entry["file"] for entry in manifest["shards"] if not shards.is_intact(plan.stage_dir, entry)}
    if not damaged:
        return
    report(f"{len(damaged)} shards of {plan.stage_dir} are damaged, the first {min(damaged)}; building them again.")
    pending = [job for job in plan.all_jobs if damaged.intersection(job.files(plan.config.kind_of_records))]
    with _progress(plan.config, pending, pending, {}) as on_image:
        for job, result in run(pending, plan.job_settings(manifest["mining"]), on_image):
            if not all(entry in manifest["shards"] for entry in result["shards"]):
                raise ValueError(
                    f"expected the images that the records in {plan.stage_dir} were built from, and those of "
                    f"{job.name} have changed or are missing; --restart to build all records anew"
                )


def _finished(plan: plans.Plan) -> Iterator[tuple[str, dict]]:
    """Names and results of the jobs that an earlier run finished and whose files are still whole."""
    for job in plan.all_jobs:
        path = jobs.marker(plan.stage_dir, job)
        if files.is_file(path):
            result = json.loads(files.read_text(path))
            if all(shards.is_intact(plan.stage_dir, entry) for entry in result["shards"]):
                yield job.name, result


@contextlib.contextmanager
def _progress(
    config: recipes.Config, all_jobs: list[jobs.Job], pending: list[jobs.Job], done: dict[str, dict]
) -> Iterator[Callable[[dict[str, int]], None]]:
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


def _count(plan: plans.Plan, results: list[dict], split: str) -> dict[str, int]:
    counts = collections.Counter(dict.fromkeys(COUNTED[plan.config.kind_of_records], 0))
    for job, result in zip(plan.all_jobs, results, strict=True):
        for entry in result["shards"] if job.split == split else ():
            counts.update(_num_examples(entry))
    return dict(counts)


def _num_examples(entry: dict) -> dict[str, int]:
    """How many of what a shard holds, by its entry in the manifest."""
    of_images = {"face": entry["faces"]} if "faces" in entry else {}
    return {entry["kind"]: entry["examples"], **of_images}
