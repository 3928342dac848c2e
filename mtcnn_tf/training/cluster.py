"""The workers of one training, as the environment variable TF_CONFIG names them."""

import json
import os
from typing import Any

_EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, "task": {"type": "worker", "index": 0}}'
_WRITERS = ("chief", "worker")
"""Sorts of tasks that train; the first task of the first sort that there is writes."""


def is_writer(strategy: str) -> bool:
    """Whether this process is the one that writes: the only one, or the first of several workers.

    Raises:
        ValueError: `strategy` is multi_worker, and TF_CONFIG doesn't say who the workers are and which this one is.
    """
    if strategy != "multi_worker":
        return True
    text = os.environ.get("TF_CONFIG")
    if not text:
        what = "it is not set" if text is None else "it is empty"
        raise ValueError(f"the strategy multi_worker needs TF_CONFIG, and {what}; give each worker one like {_EXAMPLE}")
    try:
        sorts, sort, index = _read(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error) if type(error) is ValueError else repr(error)
        raise ValueError(
            f"TF_CONFIG must name the workers and say which this one is, like {_EXAMPLE}, got {text[:200]!r} ({reason})"
        ) from error
    return index == 0 and sort == next(name for name in _WRITERS if name in sorts)


def _read(config: Any) -> tuple[dict[str, list[str]], str, int]:
    """The addresses of each sort of task, and which task this process is."""
    sorts, sort, index = config["cluster"], config["task"]["type"], int(config["task"]["index"])
    for name, addresses in sorts.items():
        is_list = isinstance(addresses, list) and bool(addresses)
        if not is_list or not all(isinstance(address, str) and ":" in address for address in addresses):
            raise ValueError(f"{name!r} is no list of HOST:PORT")
    if sort not in _WRITERS or sort not in sorts or not 0 <= index < len(sorts[sort]):
        raise ValueError(f"there is no task {sort} {index} that trains")
    return sorts, sort, index
