"""Times training steps fed by the real pipeline against the same steps fed from memory.

python -m benchmarks.training_input --records_dir=records
"""

import statistics
import time

import tensorflow as tf
from absl import app, flags

from benchmarks import ratios
from mtcnn_tf import input_pipeline, stages
from mtcnn_tf.training import learner, settings

_RECORDS_DIR = flags.DEFINE_string("records_dir", None, "What data_prep.build wrote.", required=True)
_STAGES = flags.DEFINE_list("stages", list(stages.BY_NAME), "Stages to time.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", settings.Config().batch_size, "Examples in a batch.")
_SECONDS = flags.DEFINE_float("seconds", 4, "How long one measurement takes.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds; medians are printed.", lower_bound=1)


def examples_per_second(model, batches, num_steps: int) -> float:
    """Speed of `num_steps` training steps; `batches` is an iterator, which stays warm between calls."""
    start = time.perf_counter()
    for _ in range(num_steps):
        model.train_function(batches)
    return num_steps * _BATCH_SIZE.value / (time.perf_counter() - start)


def measure(stage: stages.Stage) -> None:
    """Prints the speeds of a stage and their ratio."""
    config = settings.Config(epochs=1000, steps_per_epoch=1000, batch_size=_BATCH_SIZE.value)
    _, model = learner.build(config, stage)
    model.make_train_function()
    batches = input_pipeline.batches(_RECORDS_DIR.value, stage, "train", _BATCH_SIZE.value, augment=True)
    pipeline, memory = iter(batches), iter(batches.take(8).cache().repeat())
    num_steps = 20
    for fed_by in (memory, pipeline):
        speed = examples_per_second(model, fed_by, num_steps)
    num_steps = max(10, int(_SECONDS.value * speed / _BATCH_SIZE.value))
    rounds = [
        [examples_per_second(model, fed_by, num_steps) for fed_by in (memory, pipeline)] for _ in range(_ROUNDS.value)
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
