"""`--mode=predict`: the classes of picture files, as CSV."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import deep
from cmo_tf.datasets.decode import Progress
from cmo_tf.run import folder, split_file
from cmo_tf.serving import model, pictures, table
from cmo_tf.serving.interrupt import ending

# Pictures at once: enough to keep the processor busy, few enough for large ones.
CHUNK = 64


def run(config, files, arguments) -> int:
    """Writes a row a picture, in the order in which they were found; returns the exit code.

    A picture that cannot be read is named on stderr, a line each, and has no row.

    Raises:
        UserError: no finished run, no pictures, none of them readable.
    """
    own = folder.read_config(config.run_dir, arguments)
    paths = pictures.find(config.input)
    served = model.load(config.run_dir, own)
    read = pictures.reader(own.dataset, served.image_shape, _bits(config.run_dir, paths))
    top = min(config.top, len(served.class_names))
    try:
        with ending(), table.writing(config.output) as writer:
            bad = good = 0
            for path, found in predictions(served, read, paths, own.eval_batch_size):
                if isinstance(found, UserError):
                    print(f"cmo_tf: {table.one_line(str(found))}", file=sys.stderr)
                    bad += 1
                    continue
                if not good:  # a table of nothing has no header either
                    writer.writerow(table.header(top))
                good += 1
                best = np.argsort(-found, kind="stable")[:top]
                writer.writerow(table.row(path, [served.class_names[k] for k in best], found[best]))
            if not good:
                raise UserError(f"--input={config.input}: none of {bad} pictures could be read")
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if bad:
        print(f"cmo_tf: {bad} of {len(paths)} pictures could not be read", file=sys.stderr)
    return 0


def _bits(run_dir, paths):
    """What 16-bit pictures hold: as in the run's set, or, where that had none, as the pictures themselves say."""
    bits = split_file.bits(run_dir)
    if bits is not None:
        return bits
    scale = deep.scale_of(paths)
    if scale:
        print(f"cmo_tf: the run had no such pictures: {scale}", file=sys.stderr)
    return scale and scale.bits


def predictions(served, read, paths, batch_size=CHUNK):
    """(path, float32 (C,) probabilities) of each picture, or (path, UserError) of one that cannot be read, in order.

    Args:
        served: a model.Served.
        read: function path -> uint8 image.
        batch_size: pictures at once, at most.
    """
    classify = tf.function(served.classifier(), reduce_retracing=True)
    size, progress = min(batch_size, CHUNK), Progress("predict", len(paths))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for first in range(0, len(paths), size):
            some = paths[first:first + size]
            found = list(pool.map(lambda path: _read(read, path), some))
            images = [image for image in found if not isinstance(image, UserError)]
            rows = iter(classify(tf.cast(np.stack(images), tf.float32))["probabilities"].numpy() if images else ())
            for path, image in zip(some, found, strict=True):
                yield path, image if isinstance(image, UserError) else next(rows)
            progress(first + len(some))


def _read(read, path):
    try:
        return read(path)
    except UserError as error:
        return error
