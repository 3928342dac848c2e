"""A problem that is learnt in seconds: faces are bright, and boxes and points lie as far off as the crop is red."""

import numpy as np
import pytest
import tensorflow as tf

from mtcnn_tf import stages

BATCH_SIZE = 32


def toy_examples(num_examples: int, seed: int, size: int = stages.PNET.size) -> dict:
    """Examples of all kinds as a dict of arrays, like one large batch."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(4, num_examples, p=[0.4, 0.2, 0.2, 0.2]).astype(np.int32)
    images = rng.uniform(0, 60, (num_examples, size, size, 3)) + np.where(kind == 0, 20, 150)[:, None, None, None]
    redness = rng.uniform(-0.2, 0.2, num_examples)
    images[..., 0] += 200 * redness[:, None, None]
    return {
        "image": images.clip(0, 255).astype(np.float32),
        "kind": kind,
        "offsets": np.repeat(redness[:, None], 4, axis=1).astype(np.float32),
        "landmarks": (np.array([0.3, 0.3, 0.7, 0.3, 0.5, 0.5, 0.3, 0.7, 0.7, 0.7]) + redness[:, None]).astype(
            np.float32
        ),
    }


@pytest.fixture(scope="session")
def train():
    """Endless batches that depend on the seed alone."""

    def batches(seed: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(toy_examples(BATCH_SIZE * 8, seed)).batch(BATCH_SIZE).repeat()

    return batches


@pytest.fixture(scope="session")
def validation():
    """A finite set."""
    return lambda: tf.data.Dataset.from_tensor_slices(toy_examples(100, seed=12345)).batch(BATCH_SIZE)
