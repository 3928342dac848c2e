"""What a protocol says of a detector, and how several are laid side by side: table, JSON, picture of curves."""

import dataclasses
import json
import math
import os

import matplotlib.figure
import numpy as np

from mtcnn_tf import files


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line to draw: `x` and `y` are [N], and `y` is a share in 0–1 where its scale is linear."""

    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str
    x_scale: str = "linear"
    y_scale: str = "linear"


@dataclasses.dataclass(frozen=True)
class Report:
    """What a protocol says of one detector.

    Attributes:
        figures: What is measured → its value; an int is a count. NaN where there was nothing to measure.
        curves: Title of a panel → the detector's line in it.
    """

    figures: dict[str, float]
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)


def table(reports: dict[str, Report]) -> str:
    """The figures as lines of text: a row for each figure, a column for each detector."""
    names = list(reports)
    rows = [["", *names]]
    for figure in next(iter(reports.values())).figures:
        rows.append([figure, *(_text(reports[name].figures[figure]) for name in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _text(value: float) -> str:
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return "–" if math.isnan(value) else f"{value:.3f}"


def write_json(path: str | os.PathLike, about: dict, reports: dict[str, Report]) -> None:
    """Writes `about` and, as `results`, the figures of each detector; unmeasured figures are null."""
    results = {
        name: {figure: None if math.isnan(value) else value for figure, value in report.figures.items()}
        for name, report in reports.items()
    }
    with files.whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump({**about, "results": results}, file, indent=1, ensure_ascii=False)


def plot(path: str | os.PathLike, title: str, reports: dict[str, Report]) -> None:
    """Draws a PNG with one panel for each curve of the reports, at least one, and one line for each detector."""
    panels = list(next(iter(reports.values())).curves)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = matplotlib.figure.Figure(figsize=(5 * columns, 4.2 * rows), layout="constrained")
    figure.suptitle(title)
    for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, strict=False):
        for name, report in reports.items():
            curve = report.curves[panel]
            axes.plot(curve.x, curve.y, label=name, drawstyle="steps-post")
        axes.set(title=panel, xlabel=curve.x_label, ylabel=curve.y_label, xscale=curve.x_scale, yscale=curve.y_scale)
        axes.set_ylim(bottom=0, top=1.01 if curve.y_scale == "linear" else None)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    with files.whole(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
