"""What a protocol says of a detector, and how several are laid side by side: table, JSON, image of curves."""

import dataclasses
import json
import math
import os
from typing import NamedTuple

import matplotlib.figure
import numpy as np

from mtcnn_tf import files


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line to draw: `x` and `y` are [N], and `y` is a fraction in 0–1 where its scale is linear."""

    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str
    x_scale: str = "linear"
    y_scale: str = "linear"


class Figure(NamedTuple):
    """A figure as it was measured."""

    value: float
    """An int is a count. NaN where there was nothing to measure."""
    title: str
    """What it is, for people."""
    unit: str = ""

    @property
    def text(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclasses.dataclass(frozen=True)
class Report:
    """What a protocol says of one detector.

    Attributes:
        measured: Name → figure. Names are for programs, such as `ap_min20` or `recall_at_fp_50`, and stay as they are.
        curves: Title of a panel → the detector's line in it.
    """

    measured: dict[str, Figure]
    curves: dict[str, Curve] = dataclasses.field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """Name → value."""
        return {name: figure.value for name, figure in self.measured.items()}


def table(reports: dict[str, Report]) -> str:
    """The figures as lines of text: a row for each figure, a column for each detector."""
    rows = [["", *reports]]
    for name, figure in next(iter(reports.values())).measured.items():
        rows.append([figure.text, *(_text(report.measured[name].value) for report in reports.values())])
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
    """Writes `about`, as `figures` their titles and units, as `results` those of each detector; unmeasured are null."""
    figures = {
        name: {"title": figure.title, "unit": figure.unit}
        for name, figure in next(iter(reports.values())).measured.items()
    }
    results = {
        detector: {name: None if math.isnan(value) else value for name, value in report.figures.items()}
        for detector, report in reports.items()
    }
    with files.atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump({**about, "figures": figures, "results": results}, file, indent=1, ensure_ascii=False)


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
    with files.atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
