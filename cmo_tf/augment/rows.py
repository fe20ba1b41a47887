"""Work on some rows of a batch: each branch gets the rows that chose it, and the results return to their places."""

import tensorflow as tf

from cmo_tf.core.errors import UserError


def by_row(images, choice, branches):
    """Sends every row through the branch that it chose.

    Args:
        images: (B,H,W,C).
        choice: (B,) int32 in [0, len(branches)).
        branches: functions `f(images (b,H,W,C), rows (b,) int32) -> (b,H',W',C)`; all results have one shape and dtype.
            A branch that nothing chose is called with no rows.

    Returns:
        (B,H',W',C). No branch does work for the rows of another, so that the cost is that of the ops chosen.
    """
    rows = tf.dynamic_partition(tf.range(tf.shape(images)[0]), choice, len(branches))
    done = [branch(tf.gather(images, mine), mine) for branch, mine in zip(branches, rows, strict=True)]
    result = tf.dynamic_stitch(rows, done)
    return tf.ensure_shape(result, [images.shape[0], *done[0].shape[1:]])


class OpTable:
    """A table of ops, one of which each row goes through.

    Args:
        ops: functions `op(images (b,H,W,C) uint8, value (b,) float64)` that keep shape and dtype; None does nothing.
    """

    def __init__(self, *ops):
        self.ops = ops
        self._traced = {}

    def __len__(self):
        return len(self.ops)

    def __call__(self, images, choice, value):
        """Row i through `ops[choice[i]]` with `value[i]`: images (B,H,W,C) uint8, choice (B,) int32, value (B,)."""
        shape = tuple(images.shape[1:])
        if shape not in self._traced:
            # Traced once a shape, for all places and streams that use the table: tracing is what building one costs.
            signature = [tf.TensorSpec([None, *shape], tf.uint8), tf.TensorSpec([None], tf.int32),
                         tf.TensorSpec([None], tf.float64)]
            self._traced[shape] = tf.function(self._apply, input_signature=signature, autograph=False)
        return tf.ensure_shape(self._traced[shape](images, choice, value), images.shape)

    def _apply(self, images, choice, value):
        return by_row(images, choice, [_branch(op, value) for op in self.ops])


def _branch(op, value):
    if op is None:
        return lambda mine, rows: mine
    # An op on no rows would still launch all its kernels.
    return lambda mine, rows: tf.ensure_shape(
        tf.cond(tf.size(rows) > 0, lambda: op(mine, tf.gather(value, rows)), lambda: mine), mine.shape)


def check_pixels(images, name):
    """Colour ops are defined on raw pixels: refuses anything but uint8 of 1 (grey) or 3 (RGB) channels."""
    if images.dtype != tf.uint8 or images.shape[-1] not in (1, 3):
        raise UserError(f"--augment={name}: grey or RGB images of uint8 are needed, not {images.shape[-1]} channels of "
                        f"{images.dtype.name}; --augment=pad4_flip takes any")
