"""Keras's settings belong to the whole process, and others in it may have set them to what our networks do not take."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def ours(policy: str | None = None) -> Iterator[None]:
    """A context, or a decorator, within which layers take RGB last and numbers are float32; then all is as before.

    Args:
        policy: What new layers compute in; None leaves this as it is.
    """
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    if policy:
        keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_image_data_format(before[0])
        keras.config.set_floatx(before[1])
        if policy:
            keras.config.set_dtype_policy(before[2])
