"""Times training steps fed by the real pipeline against the same steps fed from memory.

python -m benchmarks.training_input --records_dir=records [--stages=rpn,pnet]

Records that hold crops are read, of whole images windows or crops are cut anew in every step.
"""

import functools
import itertools
import statistics
import time
from collections.abc import Iterator

import tensorflow as tf
from absl import app, flags

from benchmarks import ratios
from data_prep import crop_sampling
from mtcnn_tf import kinds, stages
from mtcnn_tf.geometry import anchor_labels, anchors
from mtcnn_tf.records import image_batches, input_pipeline, manifests, windows
from mtcnn_tf.training import learners, settings, strategies, tasks

_RECORDS_DIR = flags.DEFINE_string("records_dir", None, "What data_prep.build wrote.", required=True)
_STAGES = flags.DEFINE_list("stages", [stage.name for stage in stages.ON_CROPS], "Stages to time.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", settings.Config().batch_size, "Examples in a batch.")
_WINDOW = flags.DEFINE_integer("window", settings.Config().window, "rpn: side of the windows in pixels.")
_SECONDS = flags.DEFINE_float("seconds", 4, "How long one measurement takes.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds; medians are printed.", lower_bound=1)


def examples_per_second(learner: learners.TensorFlowLearner, batches: Iterator, num_steps: int) -> float:
    """Speed of `num_steps` training steps; `batches` stays warm between calls."""
    start = time.perf_counter()
    for _ in range(num_steps):
        loss = learner.step(next(batches))
    float(loss)
    return num_steps * _BATCH_SIZE.value / (time.perf_counter() - start)


def endless_batches(stage: stages.Stage):
    """What a training of the stage is fed with."""
    records_dir, batch_size = _RECORDS_DIR.value, _BATCH_SIZE.value
    if stage is stages.RPN:
        recipe = windows.Recipe(size=_WINDOW.value)
        of_windows = image_batches.of_windows(records_dir, batch_size, recipe, anchors.Anchors(), anchor_labels.Rules())
        return of_windows.train(seed=0)
    manifest = manifests.read(records_dir, stage)
    if manifests.kind_of(manifest) == manifests.CROPS:
        return input_pipeline.batches(records_dir, stage, "train", batch_size, augment=True)
    sampler, store = crop_sampling.open_records(records_dir, stage, "train")
    rows = kinds.rows_per_kind(input_pipeline.DEFAULT_MIX, batch_size)
    draw = functools.partial(sampler.draw, rows=rows)
    return image_batches.of_crops(draw, store, stage.size, None).train(seed=0)


def measure(stage: stages.Stage) -> None:
    """Prints the speeds of a stage and their ratio."""
    config = settings.Config(epochs=1000, steps_per_epoch=1000, batch_size=_BATCH_SIZE.value, window=_WINDOW.value)
    network, model = tasks.build(config, stage)
    strategy = strategies.choose(config.strategy)
    learner = learners.learner(model, network, tasks.optimizer(config), strategy, config.ema, None)
    pipeline = iter(endless_batches(stage))
    memory = itertools.cycle([next(pipeline) for _ in range(8)])
    num_steps = 5
    for fed_by in (memory, pipeline):
        speed = examples_per_second(learner, fed_by, num_steps)
    num_steps = max(5, int(_SECONDS.value * speed / _BATCH_SIZE.value))
    rounds = [
        [examples_per_second(learner, fed_by, num_steps) for fed_by in (memory, pipeline)] for _ in range(_ROUNDS.value)
    ]
    from_memory, from_pipeline = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{stage.name}: {from_memory:,.0f} examples a second from memory, {from_pipeline:,.0f} from the pipeline")
    ratios.show(f"{stage.name}, pipeline / memory", [real / ideal for ideal, real in rounds], "at least 0.9")


def main(_) -> None:
    """Measures each stage."""
    tf.get_logger().setLevel("ERROR")
    for name in _STAGES.value:
        measure(stages.BY_NAME[name])


if __name__ == "__main__":
    app.run(main)
