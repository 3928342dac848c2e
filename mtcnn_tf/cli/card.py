"""Prints what `make scores` measured as the tables of the model card: `python -m mtcnn_tf.cli.card SCORES_DIR`."""

import itertools
import json
import os
import sys
from collections.abc import Sequence

from absl import app

from mtcnn_tf import programs

_AT = (10, 50, 100)
_SCORES = (
    (
        "wider_face.json",
        "WIDER FACE, {images} validation images",
        {
            "official AP, easy / medium / hard": [f"official_ap_{setting}" for setting in ("easy", "medium", "hard")],
            "AP, {num_faces_min20} faces ≥ 20 px": ["ap_min20"],
            "recall at 10 / 50 / 100 false positives": [f"recall_at_fp_{n}_min20" for n in _AT],
            "AP, all {num_faces} faces": ["ap"],
        },
    ),
    (
        "fddb.json",
        "FDDB, {images} images, upright boxes",
        {
            "AP, {num_faces} faces": ["ap"],
            "recall at 10 / 50 / 100 / 500 false positives": [f"recall_at_fp_{n}" for n in (*_AT, 500)],
        },
    ),
    *(
        (
            f"{name}/landmarks.json",
            f"{title} test list, {{num_faces}} faces",
            {
                "landmark error of found faces, %": ["error_of_found"],
                "over 10 %, of found / of all": ["failure_rate_of_found", "failure_rate"],
            },
        )
        for name, title in (("lfpw", "LFPW"), ("lfw_points", "`net_7876`"))
    ),
    (
        "false_positives.json",
        "{images} held-out images without faces",
        {"false positives at score ≥ .5 / .7 / .9": [f"num_fp_score_{score}" for score in (50, 70, 90)]},
    ),
)
"""File → what was looked at, and a row's name → its figures. Words in braces are figures that all detectors share."""

_BREAKDOWNS = (("breakdown.json", ""), ("masks/breakdown.json", "people with and without masks: "))


def _run(arguments: list[str]) -> None:
    """Prints both tables."""
    if len(arguments) != 1:
        raise app.UsageError("expected one folder, that of the scores")
    try:
        print("\n".join([*scores(arguments[0]), "", *breakdown(arguments[0])]))
    except OSError as error:
        sys.exit(f"card: expected the scores of every protocol, which `make scores` writes: {error}")


def scores(directory: str) -> list[str]:
    """Lines of Markdown: a row for each figure, a column for each detector."""
    lines: list[str] = []
    for name, part, rows in _SCORES:
        held = _read(directory, name)
        results = held["results"]
        shared = {**next(iter(results.values())), "images": held["images"]}
        lines = lines or _head("public part", "figure", *results)
        for title, figures in rows.items():
            cells = [" / ".join(_text(of[figure]) for figure in figures) for of in results.values()]
            lines.append(_row(_fill(part, shared), _fill(title, shared), *cells))
    return lines


def breakdown(directory: str) -> list[str]:
    """Lines of Markdown: a row for each sort of groups of faces, with their sizes and a column of recall a detector."""
    lines: list[str] = []
    for name, prefix in _BREAKDOWNS:
        held = _read(directory, name)
        results, titles = held["results"], {key: figure["title"] for key, figure in held["figures"].items()}
        lines = lines or _head("recall of", "faces", *results)
        first = next(iter(results.values()))
        ends = [key.removeprefix("recall_") for key in titles if key.startswith("recall_")]
        groups = [
            (*titles[f"recall_{end}"].rpartition(":")[0].rpartition(" ")[::2], end)
            for end in ends
            if first[f"num_faces_{end}"]
        ]
        for sort, of_sort in itertools.groupby(groups, key=lambda group: group[0]):
            _, words, those = zip(*of_sort, strict=True)
            nums = " / ".join(_text(first[f"num_faces_{end}"]) for end in those)
            recalls = [" / ".join(_text(of[f"recall_{end}"]) for end in those) for of in results.values()]
            lines.append(_row(f"{prefix}{sort} {' / '.join(words)}", nums, *recalls))
    return lines


def _read(directory: str, name: str) -> dict:
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return json.load(file)


def _fill(text: str, figures: dict) -> str:
    for name, value in figures.items():
        text = text.replace(f"{{{name}}}", _text(value))
    return text


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.2f}"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program with the arguments of the command line, or with these."""
    programs.run(_run, None, arguments, takes="SCORES_DIR")


if __name__ == "__main__":
    main()
