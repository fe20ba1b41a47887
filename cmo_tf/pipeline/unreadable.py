"""A picture that cannot be read stops TensorFlow with a page that does not name it; users get one line that does."""

import contextlib
import os
import re

import tensorflow as tf

from cmo_tf.augment import encoded as encoded_pictures
from cmo_tf.core.errors import UserError
from cmo_tf.pipeline.pictures import Pictures


@contextlib.contextmanager
def named(run):
    """Turns what reading pictures of `run.data` has raised inside it into a UserError; other errors pass."""
    try:
        yield
    except tf.errors.OpError as error:
        data = getattr(run, "data", None)
        line = None if data is None else explain(str(error.message), data)
        if line is None:
            raise
        raise UserError(line) from None


def explain(message: str, data) -> str | None:
    """One line about an error of a stream, None if it is of another kind.

    Args:
        message: of the tf.errors.OpError.
        data: a RunData.
    """
    told = re.search(r"UserError: ([^\n]+)", message) or re.search(r"(--data_service: [^\]]+)", message)
    if told:
        return told[1].strip()
    if not isinstance(data.decode, Pictures):
        return None
    missing = re.search(r"(/[^;\n]*); No such file or directory", message)
    if missing:
        return f"--data_dir: {missing[1]} is not there; tools/verify_data.py lists what is wrong"
    size = re.search(r"Invalid JPEG data or crop window, data size (\d+)", message)
    if not size and not re.search(r"image file format|Invalid (PNG|GIF|BMP|JPEG)|jpeg", message):
        return None
    for split in (data.train, data.test, data.validation):
        for image in () if split is None else split.images:
            if _is_bad(image, data.decode, int(size[1]) if size else None):
                what = f"record {image} of {data.decode.store.where}" if data.decode.store else os.fsdecode(image)
                return f"--data_dir: {what} is not a readable picture; tools/verify_data.py finds all that are not"
    return "--data_dir: a picture cannot be decoded; tools/verify_data.py finds it"


def _is_bad(image, decode, size):
    """Whether a picture, of `size` bytes if that is known, cannot be decoded. Sizes come first: they are quick."""
    if decode.in_memory:
        return False
    if decode.store is None and size is not None and os.path.getsize(image) != size:
        return False
    try:
        encoded = decode.encoded(tf.constant([image]))
        if size is None or len(encoded.numpy()[0]) == size:
            encoded_pictures.squares(encoded, 8)
    except tf.errors.OpError:
        return True
    return False
