"""Sharpness-aware minimisation (Foret et al., ICLR 2021) inside the training step, on long tails as by Rangwani et al.
(NeurIPS 2022).

The gradient is taken at `w + rho g / ||g||` and applied at w, so that a step goes where the whole neighbourhood of w is
low; with re-weighted losses this leaves the saddle points that tail classes end in. Both passes see one mixed batch.
The norm is that of all trained weights together, of gradients that are summed over replicas, without any decay.
Statistics of BatchNorm move in both passes, as in val-iisc/Saddle-LongTail.
"""

import contextlib

import tensorflow as tf

from cmo_tf.classifier.replicas import over_replicas


def gradients(model, compute):
    """(gradients, outputs, this replica's share of the loss) at the climbed weights; the weights are as they were.

    Args:
        model: a LongTailClassifier with `rho`, a scalar variable, and `sam_adaptive`.
        compute: function without arguments to (gradients, outputs, share) at the present weights.

    Where the norm is not finite nothing is climbed and the gradients are not finite either: a loss scale then leaves
    the step out, and a run with `--on_nan` notices.
    """
    first, _, _ = compute()
    scale = tf.cast(model.optimizer.scale_loss(tf.ones(())), tf.float32)
    first = [None if g is None else over_replicas(tf.cast(tf.convert_to_tensor(g), tf.float32)) / scale for g in first]
    weights = [w.value for w in model.trainable_weights]
    steps, finite = climb(first, weights, tf.cast(model.rho.value, tf.float32), model.sam_adaptive)
    with climbed(model, weights, steps):
        second, outputs, share = compute()
    keep = tf.where(finite, 1.0, float("nan"))
    return [None if g is None else g * tf.cast(keep, g.dtype) for g in second], outputs, share


def climb(gradients, weights, rho, adaptive=False):
    """(steps to the climbed weights, whether the norm is finite): `rho g / (||g|| + 1e-12)`.

    The adaptive form (Kwon et al., ICML 2021) has the norm of `|w| g` and steps of `rho w^2 g`. A weight without
    gradient has None in place of a step.
    """
    pairs = [(g, tf.cast(w, tf.float32)) for g, w in zip(gradients, weights, strict=True) if g is not None]
    norm = tf.linalg.global_norm([tf.abs(w) * g if adaptive else g for g, w in pairs])
    finite = tf.math.is_finite(norm)
    factor = tf.where(finite, rho / (norm + 1e-12), 0.0)

    def step(gradient, weight):
        direction = tf.square(tf.cast(weight, tf.float32)) * gradient if adaptive else gradient
        return tf.cast(tf.where(finite, factor * direction, 0.0), weight.dtype)

    return [None if g is None else step(g, w) for g, w in zip(gradients, weights, strict=True)], finite


@contextlib.contextmanager
def climbed(model, weights, steps):
    """The weights with the steps added inside the block; back to the same bits after it, also if the block fails."""
    moving = [(w, s) for w, s in zip(weights, steps, strict=True) if s is not None]
    variables, steps = [w for w, _ in moving], [s for _, s in moving]
    before = [tf.identity(w) for w in variables]
    _assign(model, variables, [b + s for b, s in zip(before, steps, strict=True)])
    try:
        yield
    finally:
        _assign(model, variables, before)


def _assign(model, variables, values):
    """Assigns to trained variables, on every replica its own value (which are all the same)."""
    def update(strategy, variables, values):
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(variable, lambda one, new: one.assign(new), args=(value,), group=False)

    context = tf.distribute.get_replica_context()
    if context is None or not tf.distribute.has_strategy():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    else:
        context.merge_call(update, args=(variables, values))
