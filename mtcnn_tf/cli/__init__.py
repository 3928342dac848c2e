"""Programs that come with the package."""

import os

# TensorFlow is loaded after this, and tells at length what it found and guessed.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def parse_thresholds(texts: list[str] | None) -> tuple[float, ...] | None:
    """The three thresholds of a flag, None if it was not given.

    Raises:
        ValueError: They are not three numbers in 0–1.
    """
    if texts is None:
        return None
    try:
        thresholds = tuple(float(text) for text in texts)
    except ValueError:
        thresholds = ()
    if len(thresholds) != 3 or not all(0 <= threshold <= 1 for threshold in thresholds):
        raise ValueError(f"--thresholds takes three numbers in 0–1, such as 0.6,0.7,0.7, got {','.join(texts)!r}")
    return thresholds
