"""Programs that come with the package, and what all programs share.

A program imports this package before anything that loads TensorFlow, so that it is loaded in silence.
"""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from mtcnn_tf import files
from mtcnn_tf.programs import quiet

_QUIET = flags.DEFINE_bool("quiet", False, "No progress bars; there are none anyway where there is no terminal.")
_HELP = {f"{dashes}{name}" for dashes in ("-", "--") for name in ("help", "helpshort", "helpfull", "helpxml", "h", "?")}

_RENAMED = {
    "workdir": "networks",
    "max_pictures": "max_images",
    "calibration_pictures": "calibration_images",
    "pictures": "images",
    "validation_share": "validation_fraction",
    "hard_share": "hard_fraction",
    "landmarks=alone": "train_only=landmarks",
    "protocol=weak_spots": "protocol=breakdown",
}
"""Flags, and values of flags, that had another name in version 0.1."""

quiet.prepare(sys.argv[1:])


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a program, given its function `main`, whose module's docstring is its help.

    absl takes for help the docstring of the script that was started, which has none where pip wrote it; and it ends
    with an error status after help was asked for.
    """
    program, script = sys.modules[main.__module__], sys.modules["__main__"]
    script.__doc__ = program.__doc__
    for module in {program.__name__, __name__} - {"__main__"}:
        for flag in flags.FLAGS.get_key_flags_for_module(module):
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    try:
        app.run(lambda argv: _start(main, argv), argv=[sys.argv[0], *with_new_names(sys.argv[1:])])
    except SystemExit:
        if _HELP.isdisjoint(sys.argv[1:]):
            raise
        sys.exit(0)


def with_new_names(arguments: Sequence[str]) -> list[str]:
    """A program's arguments, in which flags that have another name now get it, with a warning of one line each."""
    renamed = []
    for argument in arguments:
        flag = argument.lstrip("-")
        name, equals, value = flag.partition("=")
        new = _RENAMED.get(flag) or (name in _RENAMED and f"{_RENAMED[name]}{equals}{value}")
        if new and flag != argument:
            old = flag if flag in _RENAMED else name
            print(f"--{old} is --{_RENAMED[old]} now; the old name goes with version 0.3", file=sys.stderr)
            argument = f"--{new}"
        renamed.append(argument)
    return renamed


def _start(main: Callable[[list[str]], None], argv: list[str]) -> None:
    if _QUIET.value:
        sys.stderr.isatty = lambda: False  # which is what all bars ask
    main(argv)


def check_local(flag: flags.FlagHolder) -> None:
    """Raises a ValueError where a folder to write to is given by an address."""
    if flag.value is not None and files.is_address(flag.value):
        raise ValueError(f"--{flag.name} takes a local folder, got the address {flag.value!r}; write here, then copy")


def parse_thresholds(texts: list[str] | None) -> tuple[float, ...] | None:
    """The thresholds of a flag, None if it was not given; how many there must be, `check_thresholds` knows.

    Raises:
        ValueError: They are not one to three numbers in 0–1.
    """
    if texts is None:
        return None
    try:
        thresholds = tuple(float(text) for text in texts)
    except ValueError:
        thresholds = ()
    if not 1 <= len(thresholds) <= 3 or not all(0 <= threshold <= 1 for threshold in thresholds):
        raise ValueError(
            "--thresholds takes a number in 0–1 for each network of the cascade, such as 0.6,0.7,0.7, got "
            f"{','.join(texts)!r}"
        )
    return thresholds


def check_thresholds(thresholds: tuple[float, ...] | None, names: Sequence[str]) -> None:
    """Raises a ValueError unless there is a threshold for each of the stages `names`, or none at all."""
    if thresholds is not None and len(thresholds) != len(names):
        raise ValueError(
            f"--thresholds takes {len(names)} numbers for this cascade, one for each of {', '.join(names)}, got "
            f"{len(thresholds)}"
        )
