"""Image records of an easy problem: faces are bright squares with two dark eyes on a dark ground."""

import dataclasses

import numpy as np

from data_prep import recipes, shards
from mtcnn_tf.images import image_files
from mtcnn_tf.records import image_records, manifests


def some_image(seed, sizes=(24, 32, 44), width=160, height=128, ignored=(), is_complete=True):
    """An image with a face of each of the sizes, side by side, as a record."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 70, (height, width, 3), dtype=np.uint8)
    boxes, left = [], 2
    for size in rng.permutation(sizes):
        top = int(rng.integers(0, height - size + 1))
        pixels[top : top + size, left : left + size] = rng.integers(190, 250, 3)
        for eye in (size // 4, size - size // 3):
            pixels[top + size // 4 : top + size // 2, left + eye : left + eye + size // 8] = 20
        boxes.append((left, top, left + size, top + size))
        left += size + 4
    return of_pixels(pixels, boxes, ignored, is_complete)


def with_proposals(image, seed=0, num_proposals=60):
    """The image with squares that lie anywhere in it as what was proposed."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, (image.width - 30, image.height - 30), (num_proposals, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(12, 30, (num_proposals, 1))], axis=1).astype(np.float32)
    return dataclasses.replace(image, proposals=boxes, proposal_scores=np.ones(num_proposals, np.float32))


def of_pixels(pixels, boxes, ignored=(), is_complete=True):
    boxes = np.float32(boxes).reshape(-1, 4)
    return image_records.ImageRecord(
        encoded=image_files.encode_jpeg(pixels),
        height=pixels.shape[0],
        width=pixels.shape[1],
        path="easy/image.jpg",
        boxes=boxes,
        landmarks=np.full((len(boxes), 5, 2), np.nan, np.float32),
        ignored=np.float32(ignored).reshape(-1, 4),
        is_complete=is_complete,
    )


def write(records_dir, train, validation=(), stage="rpn"):
    """Records as a build leaves them; returns the folder."""
    entries = [
        shards.write_images(records_dir / stage, split, 0, 1, map(image_records.serialize, images))
        for split, images in (("train", train), ("validation", validation))
    ]
    manifest = {
        "stage": stage,
        "records": manifests.IMAGES,
        "images": {"train": len(train), "validation": len(validation)},
        "settings": {"recipe": dataclasses.asdict(recipes.Recipe())},
        "shards": entries,
    }
    shards.write_json(records_dir / stage / manifests.MANIFEST, manifest)
    return records_dir
