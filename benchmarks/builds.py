"""How long builds take, once their workers are up and warm."""

import pathlib
import tempfile
import time

from data_prep import jobs, mining, recipes
from mtcnn_tf import faces, stages


def end_times(
    annotations: list[faces.Annotation], stage: stages.Stage, miner: mining.Miner | None, num_workers: int
) -> list[float]:
    """The seconds, on one clock, at which the build of the stage's records was through with each image."""
    ended = []
    with tempfile.TemporaryDirectory() as stage_dir:
        settings = jobs.Settings(pathlib.Path(stage_dir), recipes.Config(stage.name, ()), miner)
        pending = jobs.split_images(annotations, recipes.Config.num_shards, 0, seed=0)
        for _ in jobs.run(pending, settings, lambda _: ended.append(time.perf_counter()), num_workers):
            pass
    return ended


def warm_times(ended: list[float]) -> list[float]:
    """The times without those of the first eighth of the images, counted from there."""
    warm = ended[len(ended) // 8 :]
    return [time - warm[0] for time in warm]


def seconds_per_image(
    annotations: list[faces.Annotation], stage: stages.Stage, miner: mining.Miner | None, num_workers: int
) -> float:
    """Seconds that a build of these images takes for each, after the first eighth of them."""
    warm = warm_times(end_times(annotations, stage, miner, num_workers))
    return warm[-1] / (len(warm) - 1)
