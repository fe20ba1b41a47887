"""The mix plan: coin, lam and box of a batch, drawn with stateless ops from (seed, step)."""

import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.mixing.boxes import cut_box
from cmo_tf.sampling.distribution import Draw


def stateless_seed(seed, draw: Draw, step):
    """Stateless seed (2,) int64 of one kind of draw at one step (or epoch)."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.constant(int(draw), tf.int64)])
    return tf.random.experimental.stateless_fold_in(key, tf.cast(step, tf.int64))


def symmetric_beta(shape, seed, alpha: float):
    """Beta(alpha, alpha) draws, float64 in [0, 1], also for small alpha where gamma variates underflow."""
    if alpha == 1.0:
        return tf.random.stateless_uniform(shape, seed, dtype=tf.float64)
    # Gamma(a) = Gamma(a + 1) * U^(1/a), kept in logarithms.
    gammas = tf.random.stateless_gamma([2, *shape], seed, alpha=alpha + 1.0, dtype=tf.float64)
    other = tf.random.experimental.stateless_fold_in(seed, 1)
    uniforms = tf.random.stateless_uniform([2, *shape], other, dtype=tf.float64)
    logs = tf.math.log(gammas) + tf.math.log(tf.maximum(uniforms, 1e-300)) / alpha
    return tf.sigmoid(logs[0] - logs[1])


class Planner:
    """Draws plans.

    Args:
        seed: of the run.
        size: (height, width) of the mixed images.
        probability: of mixing a batch (with `per_image`, a row).
        alpha: of Beta(alpha, alpha).
        mix_steps: (first, stop) limits mixing to these steps; None does not.
        per_image: a plan a row instead of one for the batch.
        plan: "box", a box whose pixels make lam; "blend", lam as drawn and no box.
    """

    def __init__(self, seed, size, probability=0.5, alpha=1.0, mix_steps=None, per_image=False, plan="box"):
        if not 0 <= probability <= 1:
            raise UserError(f"--probability={probability} is not in [0, 1]")
        if not alpha > 0:
            raise UserError(f"--alpha={alpha}: the Beta distribution needs a positive parameter")
        self.seed, self.size, self.probability, self.alpha = seed, size, probability, float(alpha)
        self.mix_steps, self.per_image, self.plan = mix_steps, per_image, plan

    def __call__(self, step, rows):
        """Plan of a global batch of `rows` rows.

        Returns:
            mixed (rows,) bool: the coin and the window said so; lam (rows,) float32, the exact share kept;
            box (rows, 4) int32 of y0, x0, y1, x1. An unmixed row has lam 1 and an empty box at the origin.
        """
        height, width = self.size
        shape = [rows] if self.per_image else [1]
        seeds = tf.random.experimental.stateless_split(stateless_seed(self.seed, Draw.PLAN, step), 3)
        mixed = tf.random.stateless_uniform(shape, seeds[0], dtype=tf.float64) < self.probability
        if self.mix_steps is not None:
            first, stop = self.mix_steps
            mixed &= (step >= first) & (step < stop)
        lam = symmetric_beta(shape, seeds[1], self.alpha)
        if self.plan == "blend":
            lam = tf.cast(tf.where(mixed, lam, 1.0), tf.float32)
            return tf.broadcast_to(mixed, [rows]), tf.broadcast_to(lam, [rows]), tf.zeros([rows, 4], tf.int32)
        center = tf.random.stateless_uniform([2, *shape], seeds[2], dtype=tf.float64)
        center_y, center_x = (tf.cast(center[i] * side, tf.int32) for i, side in enumerate((height, width)))
        box = tf.stack(cut_box(lam, center_y, center_x, height, width), axis=-1)
        box = tf.where(mixed[:, None], tf.cast(box, tf.int32), 0)
        area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
        lam = tf.cast(1.0 - tf.cast(area, tf.float64) / (height * width), tf.float32)
        return tf.broadcast_to(mixed, [rows]), tf.broadcast_to(lam, [rows]), tf.broadcast_to(box, [rows, 4])
