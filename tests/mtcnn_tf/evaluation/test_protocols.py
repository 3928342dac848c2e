import json

import numpy as np
import pytest

from mtcnn_tf.evaluation import protocols
from mtcnn_tf.images import image_files


@pytest.mark.parametrize("protocol", [protocols.landmarks, protocols.proposals, protocols.breakdown])
def test_one_class_of_several_is_looked_for(tmp_path, protocol):
    names = ("face", "animal face")
    points = [2, 2, 2, 8, 2, 2, 5, 5, 2, 3, 8, 2, 7, 8, 2]
    keypoints = ["right_eye", "left_eye", "nose", "right_lip", "left_lip"]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 90, "height": 60}],
        "annotations": [
            {"image_id": 1, "category_id": k, "bbox": [20 * k, 1, 10, 10], "keypoints": points} for k in range(2)
        ],
        "categories": [{"id": k, "name": name, "keypoints": keypoints} for k, name in enumerate(names)],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    image_files.write(tmp_path / "a.png", np.zeros((60, 90, 3), np.uint8))
    for k, name in enumerate(names):
        task = protocol(name="coco", directory=str(tmp_path), split="train", class_name=name)
        first = getattr(task.annotations[0], "annotation", task.annotations[0])  # breakdown has views of annotations
        assert first.boxes[:, 0].tolist() == [20 * k]
    with pytest.raises(ValueError, match="cat"):
        protocol(name="coco", directory=str(tmp_path), split="train", class_name="cat")
