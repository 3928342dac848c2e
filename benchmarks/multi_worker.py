"""One process against two workers with the same global batch, and a worker that is killed and started again.

    python -m benchmarks.multi_worker --records_dir=records --out_dir=multi_worker

Trains P-Net three times, draws the three curves to OUT_DIR/multi_worker.png and prints them. The global batch is the
same for all; with two workers each takes half of its rows. Without augmentation, whose chances each worker draws anew.
"""

import csv
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from absl import app, flags
from matplotlib import figure

_RECORDS_DIR = flags.DEFINE_string("records_dir", None, "What data_prep.build wrote.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Where trainings and figure go.", required=True)
_EPOCHS = flags.DEFINE_integer("epochs", 8, "Epochs of each training.", lower_bound=2)
_STEPS = flags.DEFINE_integer("steps_per_epoch", 60, "Steps of an epoch.", lower_bound=2)

ROOT = pathlib.Path(__file__).parents[1]


def start(networks_dir: pathlib.Path, task: int, ports: list[int]) -> subprocess.Popen:
    """A running train.py: one of the workers at `ports`, or a training by itself where there are none."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if ports:
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": task}})
    command = [sys.executable, "train.py", "--stage=pnet", f"--records_dir={_RECORDS_DIR.value}"]
    command += [f"--networks={networks_dir}", f"--epochs={_EPOCHS.value}", f"--steps_per_epoch={_STEPS.value}"]
    command += ["--noaugment", *(["--strategy=multi_worker"] if ports else [])]
    with open(networks_dir / f"worker-{task}.log", "a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens."""
    listeners = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def train(name: str, num_workers: int, killed: int | None = None) -> list[dict]:
    """The history of a training; worker `killed` gets SIGKILL after epoch 3, and all are started again."""
    networks_dir = pathlib.Path(_OUT_DIR.value).resolve() / name
    networks_dir.mkdir(parents=True)
    ports = free_ports(num_workers) if num_workers > 1 else []
    workers = [start(networks_dir, task, ports) for task in range(num_workers)]
    if killed is not None:
        while not list(networks_dir.glob(f"pnet/checkpoints/step-{3 * _STEPS.value:09d}.index")):
            time.sleep(0.05)
        workers[killed].send_signal(signal.SIGKILL)
        began = time.monotonic()
        statuses = [worker.wait() for worker in workers]
        print(f"{name}: worker {killed} was killed, {time.monotonic() - began:.0f} s later exit statuses {statuses}")
        ports = free_ports(num_workers)
        workers = [start(networks_dir, task, ports) for task in range(num_workers)]
    statuses = [worker.wait() for worker in workers]
    if any(statuses):
        sys.exit(f"{name}: exit statuses {statuses}; see {networks_dir}/worker-*.log")
    with open(networks_dir / "pnet" / "history.csv") as file:
        return [{column: float(value) for column, value in row.items() if value} for row in csv.DictReader(file)]


def main(_) -> None:
    """Trains, prints, draws."""
    histories = {
        "one process": train("one", 1),
        "two workers": train("two", 2),
        "two workers, one killed after epoch 3": train("killed", 2, killed=1),
    }
    page = figure.Figure(figsize=(7, 3.5), layout="constrained")
    axes = page.subplots()
    for (name, rows), style in zip(histories.items(), ("-", "--", ":"), strict=True):
        print(f"{name:40}", *(f"{row['loss']:.4f}/{row['val_loss']:.4f}" for row in rows))
        axes.plot([row["epoch"] for row in rows], [row["val_loss"] for row in rows], style, marker=".", label=name)
    axes.set(xlabel="epoch", ylabel="validation loss")
    axes.grid(alpha=0.3)
    axes.legend()
    page.savefig(pathlib.Path(_OUT_DIR.value) / "multi_worker.png", dpi=80)


if __name__ == "__main__":
    app.run(main)
