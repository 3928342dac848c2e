"""Programs that come with the package, and what all programs share.

A program imports this package before anything that loads TensorFlow, so that it is loaded in silence.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from absl import app, flags
from absl.testing import flagsaver

from mtcnn_tf import files
from mtcnn_tf.programs import quiet

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_QUIET = flags.DEFINE_bool("quiet", False, "No progress bars; there are none anyway where there is no terminal.")
_HELP = {f"{dashes}{name}" for dashes in ("-", "--") for name in ("help", "helpshort", "helpfull", "helpxml", "h", "?")}

T = TypeVar("T", bound="DataclassInstance")
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


def run(
    body: Callable[..., None],
    flag_values: flags.FlagValues | None,
    arguments: Sequence[str] | None = None,
    takes: str | None = None,
) -> None:
    """Runs a program: parses its flags, calls `body`, and ends the process if the program was started by its user.

    Each program has its own `flag_values`, so that several can be imported and run in one process. They have their
    defaults again when the program has ended.

    Args:
        body: What the program does; its module's docstring is the program's help.
        flag_values: The program's flags, None where it has none of its own.
        arguments: What follows the program's name; by default what the process was started with.
        takes: What may stand beside flags, of which `body` takes a list; None where nothing may.

    Raises:
        SystemExit: The program failed, or it was started by its user.
    """
    given = sys.argv[1:] if arguments is None else list(map(str, arguments))
    flag_values, script = flag_values or flags.FlagValues(), sys.modules["__main__"]
    app.define_help_flags()
    before = script.__doc__, flagsaver.save_flag_values(flags.FLAGS), flagsaver.save_flag_values(flag_values)
    script.__doc__ = sys.modules[body.__module__].__doc__  # absl's help; a script that pip wrote has none
    flags.FLAGS.append_flag_values(flag_values)
    flag_values.mark_as_parsed()
    for flag in (*flag_values.get_flags_for_module(body.__module__), flags.FLAGS[_QUIET.name]):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    try:
        app.run(lambda argv: _start(body, argv[1:], takes), argv=[sys.argv[0], *with_new_names(given)])
    except SystemExit as end:
        status = end.code if _HELP.isdisjoint(given) else 0  # absl ends with an error after help was asked for
        if arguments is None or status:
            sys.exit(status)
    finally:
        script.__doc__ = before[0]
        flagsaver.restore_flag_values(before[1], flags.FLAGS)
        flagsaver.restore_flag_values(before[2], flag_values)


def from_flags(kind: type[T], flag_values: flags.FlagValues, **others: Any) -> T:
    """An instance of the dataclass `kind`: each field as in `others`, else as the flag of its name says, if one does.

    Lists become tuples.
    """
    names = [field.name for field in dataclasses.fields(kind) if field.name in flag_values]
    values = {name: flag_values[name].value for name in names}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return kind(**{**values, **others})


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


def _start(body: Callable[..., None], rest: list[str], takes: str | None) -> None:
    if rest and takes is None:
        raise app.UsageError(f"expected flags only, got {rest[0]!r}")
    if _QUIET.value:
        sys.stderr.isatty = lambda: False  # type: ignore[method-assign]  # which is what all bars ask
    body(*([] if takes is None else [rest]))


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
