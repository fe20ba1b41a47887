"""Running mean and covariance of the features of each class, and what they add to logits (ISDA, MetaSAug).

A covariance is full, (C, A, A), or its diagonal alone, (C, A). Everything is float32 and a pure function; who keeps the
state assigns what comes out.
"""

from typing import NamedTuple

from keras import ops


class ClassCovariance(NamedTuple):
    """covariance (C, A, A) or (C, A), mean (C, A), and amount (C,), the rows of each class seen so far."""

    covariance: object
    mean: object
    amount: object


def class_sums(state, features, labels, rows=None) -> dict:
    """What a batch adds, as sums over its rows, which replicas add up: `amount` (C,), and of h less the running mean of
    its class `shift` (C, A) and `square`, (C, A, A) or (C, A).

    Args:
        state: the ClassCovariance so far.
        features: h, float32 (B, A).
        labels: int32 (B,).
        rows: float32 (B,), 0 for rows that do not count; None: all count.
    """
    classes = state.mean.shape[0]
    rows = ops.ones_like(features[:, 0]) if rows is None else rows
    away = features - ops.take(state.mean, labels, axis=0)
    weighted = away * rows[:, None]
    square = weighted * away if len(state.covariance.shape) == 2 else weighted[:, :, None] * away[:, None, :]

    def total(values):
        return ops.segment_sum(values, labels, num_segments=classes)
    return {"amount": total(rows), "shift": total(weighted), "square": total(square)}


def merged(state, sums) -> ClassCovariance:
    """The state after a batch, from its `class_sums`; classes without rows stay.

    With m rows, batch mean mu, biased batch covariance V and `a = m / (m + amount)`:
    `S <- (1 - a) S + a V + a (1 - a) (mean - mu)(mean - mu)^T`, `mean <- (1 - a) mean + a mu`.
    Source: ISDA's code, `EstimatorCV`.
    """
    number = sums["amount"]
    amount = state.amount + number
    share = ops.divide_no_nan(number, amount)
    step = sums["shift"] / ops.maximum(number, 1.0)[:, None]  # mu - mean
    full = len(state.covariance.shape) == 3
    outer = step[:, :, None] * step[:, None, :] if full else step * step

    def each(values):
        return ops.reshape(values, (-1, 1, 1) if full else (-1, 1))
    # V = E - outer, with E the mean square of h less the running mean.
    mean_square = sums["square"] / each(ops.maximum(number, 1.0))
    covariance = each(1.0 - share) * state.covariance + each(share) * (mean_square - each(share) * outer)
    return ClassCovariance(covariance, state.mean + share[:, None] * step, amount)


def spread(kernel, covariance, labels):
    """`(w_j - w_y)^T S_y (w_j - w_y)` of each row and class, float32 (B, C), exactly 0 at j = y.

    Args:
        kernel: (A, C), columns w_j of the linear head.
        covariance: (C, A, A) or (C, A).
        labels: int32 (B,).
    """
    weights = ops.transpose(kernel)
    away = weights[None] - ops.take(weights, labels, axis=0)[:, None]
    own = ops.take(covariance, labels, axis=0)
    turned = ops.matmul(away, own) if len(own.shape) == 3 else away * own[:, None]
    return ops.sum(turned * away, axis=-1)
