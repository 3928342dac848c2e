"""What comes in from outside: releases that were pinned, and nothing at all at run time."""

import pathlib
import subprocess
import sys

import pytest
from packaging import requirements, utils

ROOT = pathlib.Path(__file__).parents[1]

# A hook cannot be taken away again, whatever the program imports. It runs in a process of its own, so that importing is
# watched, too.
WITHOUT_NETWORK = """
import socket, sys

REFUSED = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")

def refuse(event, arguments):
    if event in REFUSED:
        raise PermissionError(f"{event} {arguments[-1]}")

sys.addaudithook(refuse)
for ask in (lambda: socket.create_connection(("192.0.2.1", 80)), lambda: socket.getaddrinfo("example.org", 80)):
    try:
        ask()
        sys.exit("the network was not refused")
    except PermissionError:
        pass

import numpy as np
import tensorflow as tf
import mtcnn_tf
from data_prep.sample_set import sample_scenes
from mtcnn_tf import stages, training
from mtcnn_tf.detection import cascade, exporting

print(len(mtcnn_tf.load()(sample_scenes.portraits()[0].pixels).with_score(0.9)), "face")

batch = {
    "image": np.zeros((8, 12, 12, 3), np.float32),
    "kind": np.arange(8, dtype=np.int32) % 4,
    "offsets": np.zeros((8, 4), np.float32),
    "landmarks": np.zeros((8, 10), np.float32),
}
batches = tf.data.Dataset.from_tensors(batch)
config = training.Config(epochs=1, steps_per_epoch=2, batch_size=8)
rows = training.fit(config, stages.PNET, lambda seed: batches.repeat(), lambda: batches, sys.argv[1])
print(len(rows), "epoch")

networks = cascade.load_networks("mtcnn_tf/weights/classic")
networks["pnet"] = tf.keras.models.load_model(sys.argv[1] + "/pnet.keras")
print(len(list(exporting.export(networks, sys.argv[1] + "/exported"))), "SavedModels")
"""


@pytest.mark.slow
def test_detecting_training_and_exporting_ask_nothing_of_the_network(tmp_path):
    command = [sys.executable, "-c", WITHOUT_NETWORK, tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    told = [line for line in result.stdout.splitlines() if not line.startswith("epoch 1/1")]
    assert told == ["1 face", "1 epoch", "4 SavedModels"]


def test_the_lock_pins_what_the_requirements_allow():
    pinned = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and line[0] not in " #":
            pin = requirements.Requirement(line.rstrip("\\"))
            pinned.setdefault(utils.canonicalize_name(pin.name), []).append(pin.specifier)
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            wanted = requirements.Requirement(line)
            assert {specifier.operator for specifier in wanted.specifier} == {">=", "<"}, line
            for specifiers in pinned[utils.canonicalize_name(wanted.name)]:
                (pin,) = specifiers
                assert pin.operator == "==" and wanted.specifier.contains(pin.version), f"{line}: {pin}"
