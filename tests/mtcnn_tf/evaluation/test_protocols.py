import json

import numpy as np
import PIL.Image
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


@pytest.mark.parametrize("protocol", [protocols.landmarks, protocols.proposals, protocols.breakdown])
def test_boxes_are_turned_with_an_image_that_its_file_says_to_turn(tmp_path, protocol):
    keypoints = ["right_eye", "left_eye", "nose", "right_lip", "left_lip"]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 90, "height": 60}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [20, 1, 10, 12], "keypoints": [22, 3, 2] * 5},
        ],
        "categories": [{"id": 1, "name": "face", "keypoints": keypoints}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: it is 60 × 90 then
    PIL.Image.new("RGB", (90, 60)).save(tmp_path / "a.png", exif=exif)
    task = protocol(name="coco", directory=str(tmp_path), split="train")
    first = getattr(task.annotations[0], "annotation", task.annotations[0])
    assert first.boxes.tolist() == [[60 - 13, 20, 60 - 1, 30]]
    assert any("turned with it" in note for note in task.notes)
