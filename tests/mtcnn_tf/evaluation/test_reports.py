import json
import os

import numpy as np

from mtcnn_tf.evaluation import reports
from mtcnn_tf.images import image_files


def report(ap, num):
    x = np.linspace(0, 1, 5)
    lines = {
        "precision": reports.Curve(x, 1 - x, "recall", "precision"),
        "false": reports.Curve(1 + x, 100 * x, "n", "count", "log", "symlog"),
    }
    return reports.Report({"num": reports.Figure(num, "faces"), "ap": reports.Figure(ap, "AP", "%")}, lines)


def test_table_and_json_and_image(tmp_path):
    both = {"ours": report(0.8125, 1234), "a longer name": report(float("nan"), np.int64(7))}
    assert reports.table(both).splitlines() == [
        "        ours  a longer name",
        "faces  1,234              7",
        "AP, %  0.812              –",
    ]
    reports.write_json(tmp_path / "a.json", {"protocol": "x"}, {name: report(ap, 3) for name, ap in [("n", np.nan)]})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "protocol": "x",
        "figures": {"num": {"title": "faces", "unit": ""}, "ap": {"title": "AP", "unit": "%"}},
        "results": {"n": {"num": 3, "ap": None}},
    }
    reports.plot(tmp_path / "a.png", "title", both)
    drawing = image_files.read(tmp_path / "a.png")
    assert drawing.shape[1] > drawing.shape[0] > 200 and drawing.std() > 10
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.png"]
