"""The history of a training as a table and as a plot."""

import csv
import pathlib

from matplotlib import figure

from mtcnn_tf import files

_OF_PROPOSALS = ("recall_at_40", "recall_at_100", "recall_at_300")
"""The RPN's."""
_PANELS = {
    "loss": ("loss", "face_loss", "box_loss", "landmark_loss"),
    "face": ("face_accuracy", "precision", "recall", "auc", "recall_at_precision", *_OF_PROPOSALS),
    "box IoU": ("box_iou",),
    "landmark error, % of inter-ocular distance": ("landmark_error",),
    "learning rate": ("learning_rate",),
    "examples per second": ("examples_per_second",),
}


def write_csv(rows: list[dict], path: pathlib.Path) -> None:
    """Writes a line for each row, with a column for every name that any row has; what is unknown stays empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with files.atomic_write(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_plot(rows: list[dict], path: pathlib.Path, title: str) -> None:
    """Draws the figures over the epochs, solid for training and dashed for validation, as a PNG."""
    page = figure.Figure(figsize=(14, 8))  # a layout that Matplotlib chooses would have it draw everything twice
    page.subplots_adjust(left=0.04, right=0.99, bottom=0.06, top=0.92, wspace=0.12, hspace=0.24)
    page.suptitle(title)
    for axes, (label, names) in zip(page.subplots(2, 3).flat, _PANELS.items(), strict=True):
        for colour, name in enumerate(names):
            for prefix, style in (("", "-"), ("val_", "--")):
                known = [row for row in rows if prefix + name in row]
                if known:
                    axes.plot(
                        [row["epoch"] for row in known],
                        [row[prefix + name] for row in known],
                        style,
                        color=f"C{colour}",
                        label=prefix + name,
                        marker="." if len(known) < 3 else None,
                    )
        axes.set(xlabel="epoch", title=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="x-small")
    with files.atomic_write(path) as partial:
        page.savefig(partial, format="png", dpi=80)
