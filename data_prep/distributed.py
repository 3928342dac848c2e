"""The jobs of a build on Apache Beam, and so on any engine that Beam knows: Flink, Spark, Dataflow.

Jobs and what comes of them lie as files in the build's unfinished/ folder, which every worker must see, and the
pipeline carries their names alone: a million annotations would be too large for the description of a pipeline. An
engine may run a job twice, even at once: both write the same bytes, and files appear whole.
"""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.utils import shared

from mtcnn_tf import files

from . import jobs, mining, shards


def run(
    pending: Sequence[jobs.Job],
    settings: jobs.Settings,
    on_image: Callable[[dict[str, int]], None],
    runner: str,
    options: Sequence[str],
) -> Iterator[tuple[jobs.Job, dict]]:
    """Runs the jobs as a Beam pipeline; yields each with what `jobs.make` returned, when all have ended.

    Args:
        pending: What is to be done.
        settings: What all jobs share.
        on_image: Called for each image, without its number of examples, when all jobs have ended.
        runner: Beam's name of an engine, for instance DirectRunner.
        options: Beam's options for it, each as NAME=VALUE.
    """
    for job in pending:
        files.remove(jobs.marker(settings.stage_dir, job))
        path = _path(settings, job.name)
        files.make_folder(path.parent)
        with files.atomic_write(path) as partial:
            partial.write_bytes(pickle.dumps(job))
    names = [job.name for job in pending]
    flags = pipeline_options.PipelineOptions([f"--{option}" for option in options])
    with beam.Pipeline(runner, flags) as pipeline:
        _ = pipeline | beam.Create(names) | beam.Reshuffle() | beam.ParDo(_Make(settings))
    for job in pending:
        for _ in job.images:
            on_image({})
        yield job, json.loads(files.read_text(jobs.marker(settings.stage_dir, job)))


def _path(settings: jobs.Settings, name: str) -> files.Path:
    return settings.stage_dir / shards.UNFINISHED / f"{name}.job"


class _Loaded:
    """What a process holds once, however many threads work in it."""

    def __init__(self, miner: mining.Miner | None):
        mining.use_one_thread()
        self.propose = miner.load() if miner else None


class _Make(beam.DoFn):
    """From the name of a job to its shards and its marker."""

    def __init__(self, settings: jobs.Settings):
        self._settings = settings
        self._shared = shared.Shared()

    def setup(self):
        """Loads the cascade."""
        self._loaded = self._shared.acquire(lambda: _Loaded(self._settings.miner))

    def process(self, name: str):
        """Does the job."""
        job = pickle.loads(_path(self._settings, name).read_bytes())
        result = jobs.make(job, self._settings, self._loaded.propose, lambda counts: None)
        shards.write_json(jobs.marker(self._settings.stage_dir, job), result)
