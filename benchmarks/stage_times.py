"""Which steps of the cascade the time goes to, from a trace of TensorFlow's profiler."""

import collections
import glob
import os
import re
import tempfile
from collections.abc import Callable

STEPS = {
    "pyramid": "mip levels and scales",
    "pnet": "P-Net",
    "nms": "choosing and suppressing",
    "crops": "cutting crops",
    "rnet": "R-Net",
    "onet": "O-Net",
}
"""Name scope of the cascade's operations → what they do."""

_OPERATION = re.compile(r"^(?P<name>[^ :]+):\w+$")  # as in while/body/pnet/MaxPool2d:_MklNativeMaxPool


def fractions(run: Callable[[], object]) -> dict[str, float]:
    """Fraction of each of `STEPS`, and of the rest, in the time (0–1) that all operations of `run()` take."""
    # TensorFlow takes long to load, and the program that only prints does without.
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    with tempfile.TemporaryDirectory() as trace_dir:
        with tf.profiler.experimental.Profile(trace_dir, tf.profiler.experimental.ProfilerOptions(3, 0)):
            run()
        (path,) = glob.glob(os.path.join(trace_dir, "**", "*.xplane.pb"), recursive=True)
        with open(path, "rb") as file:
            space.ParseFromString(file.read())
    durations = collections.Counter(dict.fromkeys([*STEPS.values(), "other"], 0))
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            operation = _OPERATION.match(plane.event_metadata[event.metadata_id].name)
            if operation:
                durations[_step(operation["name"])] += event.duration_ps
    return {step: duration / durations.total() for step, duration in durations.items()}


def _step(name: str) -> str:
    """The step that an operation belongs to: its innermost scope that is one."""
    scopes = [re.sub(r"_\d+$", "", part) for part in name.split("/")]
    return next((STEPS[scope] for scope in reversed(scopes) if scope in STEPS), "other")
