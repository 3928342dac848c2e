import numpy as np
import tensorflow as tf

from mtcnn_tf import faces
from mtcnn_tf.geometry import boxes
from mtcnn_tf.images import colours
from mtcnn_tf.records import augment


def some_batch(num=64, size=12, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": tf.constant(rng.integers(0, 256, (num, size, size, 3), dtype=np.uint8)),
        "kind": tf.constant(rng.integers(0, 4, num), tf.int32),
        "offsets": tf.constant(rng.normal(0, 0.2, (num, 4)), tf.float32),
        "landmarks": tf.constant(rng.uniform(0, 1, (num, 10)), tf.float32),
    }


SEED = tf.constant([3, 4], tf.int64)


def test_mirror_mirrors_only_the_rows_of_the_mask():
    batch = some_batch()
    mask = np.arange(64) % 3 == 0
    mirrored = augment.mirror(batch, tf.constant(mask))
    np.testing.assert_array_equal(mirrored["image"][mask], batch["image"].numpy()[mask, :, ::-1])
    for name in ("image", "offsets", "landmarks"):
        np.testing.assert_array_equal(mirrored[name][~mask], batch[name][~mask])


def test_mirrored_targets_lead_to_the_mirrored_face():
    batch = some_batch()
    mirrored = augment.mirror(batch, tf.ones(64, bool))
    crop = np.tile(np.array([[0, 0, 12, 12]], np.float32), (64, 1))
    face = boxes.decode(crop, batch["offsets"].numpy())
    expected = np.stack([12 - face[:, 2], face[:, 1], 12 - face[:, 0], face[:, 3]], axis=1)
    np.testing.assert_allclose(boxes.decode(crop, mirrored["offsets"].numpy()), expected, atol=1e-5)
    points = boxes.decode_points(crop, batch["landmarks"].numpy().reshape(-1, 5, 2))
    mirrored_points = boxes.decode_points(crop, mirrored["landmarks"].numpy().reshape(-1, 5, 2))
    for place, name in enumerate(faces.LANDMARK_NAMES):
        twin = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        np.testing.assert_allclose(
            mirrored_points[:, place], [12, 0] + points[:, faces.LANDMARK_NAMES.index(twin)] * [-1, 1], atol=1e-5
        )


def test_mirroring_twice_changes_nothing():
    batch = some_batch()
    mask = tf.constant(np.arange(64) % 2 == 0)
    twice = augment.mirror(augment.mirror(batch, mask), mask)
    for name, value in batch.items():
        np.testing.assert_allclose(twice[name], value, atol=1e-6)


def test_augment_is_repeatable_stays_in_range_and_leaves_kinds_alone():
    batch = some_batch()
    once, again, other = (augment.augment(batch, seed) for seed in (SEED, SEED, SEED + 1))
    for name in batch:
        np.testing.assert_array_equal(once[name], again[name])
    assert np.abs(once["image"].numpy() - other["image"].numpy()).mean() > 1
    assert once["image"].dtype == tf.float32
    assert once["image"].numpy().min() >= 0 and once["image"].numpy().max() <= 255
    np.testing.assert_array_equal(once["kind"], batch["kind"])


def test_augment_inside_tf_data_equals_eager():
    batch = some_batch()
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(64).map(lambda b: augment.augment(b, SEED))
    np.testing.assert_allclose(next(iter(dataset))["image"], augment.augment(batch, SEED)["image"], atol=1e-2)


def test_colour_keeps_grey_grey():
    grey = tf.tile(tf.random.stateless_uniform([32, 12, 12, 1], [1, 2], 60.0, 190.0), [1, 1, 1, 3])
    changed = augment.colour(grey, SEED).numpy()
    np.testing.assert_allclose(changed[..., 0], changed[..., 1], atol=0.1)
    np.testing.assert_allclose(changed[..., 1], changed[..., 2], atol=0.1)
    assert np.abs(changed - grey.numpy()).max() > 5


def test_colour_changes_differ_between_crops_and_touch_no_position():
    flat = tf.tile(tf.constant([[[[100.0, 150.0, 90.0]]]]), [32, 12, 12, 1])
    changed = augment.colour(flat, SEED).numpy()
    np.testing.assert_allclose(changed, np.broadcast_to(changed[:, :1, :1], changed.shape), atol=1e-2)
    assert len(np.unique(np.round(changed[:, 0, 0]), axis=0)) > 25


def test_soften_keeps_the_mean_and_lowers_the_contrast():
    image = tf.cast(some_batch()["image"], tf.float32)
    soft = augment.soften(image).numpy()
    np.testing.assert_allclose(soft.mean(axis=(1, 2)), image.numpy().mean(axis=(1, 2)), rtol=0.05)
    assert (soft.std(axis=(1, 2)) < image.numpy().std(axis=(1, 2))).all()
    np.testing.assert_allclose(augment.soften(tf.fill([1, 5, 5, 3], 7.0)), 7.0)


def test_noise_is_centred_and_bounded():
    flat = tf.fill([64, 24, 24, 3], 128.0)
    noise = augment.add_noise(flat, SEED).numpy() - 128
    assert abs(noise.mean()) < 0.2
    assert noise.std(axis=(1, 2, 3)).max() < 1.2 * colours.MAX_NOISE
