"""Temperature scaling: one number that logits are divided by, so that confidences mean what they say (numpy only).

Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2, Eq. 9. The predicted class
never changes.
"""

import numpy as np

# Temperatures outside are no calibration: all images right, or logits that know nothing.
LOWEST, HIGHEST = 1e-3, 1e3
TOLERANCE = 1e-12
CHUNK = 8192  # images at once: float64 copies of all logits of a large split would not fit everywhere


def nll(labels, logits, temperature: float = 1.0) -> float:
    """Mean of `-log softmax(logits / temperature)[label]`.

    Args:
        labels: ints (N,) in [0, C).
        logits: (N, C) of any float type, as they go into the softmax.
        temperature: above 0.
    """
    total = 0.0
    for rows, own in _chunks(labels, logits):
        scaled = rows / temperature
        top = scaled.max(axis=1)
        total += np.sum(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - own / temperature)
    return float(total / len(labels))


def fit(labels, logits) -> float | None:
    """The temperature with the least `nll`, or None where there is none between LOWEST and HIGHEST.

    The loss is convex in 1 / temperature. Newton's steps inside a shrinking bracket find its only minimum to the last
    digits, always the same: no learning rate, no random start. There is no minimum if every image is right (the loss
    falls for ever as the temperature goes to 0) or if the logits of the labels are no larger than others.

    Args:
        labels, logits: as in `nll`, of images that the network was not trained on; N of at least 1.
    """
    low, high = 1.0 / HIGHEST, 1.0 / LOWEST
    if not len(labels) or _slope(labels, logits, low)[0] >= 0 or _slope(labels, logits, high)[0] <= 0:
        return None
    inverse = 1.0
    for _ in range(200):
        slope, curvature = _slope(labels, logits, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else low
        # Outside of the bracket a step of Newton's says nothing: halve the bracket on its logarithmic scale.
        step = step if low < step < high else float(np.sqrt(low * high))
        if abs(step - inverse) <= TOLERANCE * inverse:
            break
        inverse = step
    return float(1.0 / step)


def _slope(labels, logits, inverse: float) -> tuple[float, float]:
    """First and second derivative of `nll` with respect to 1 / temperature: mean minus own logit, and variance."""
    first = second = 0.0
    for rows, own in _chunks(labels, logits):
        share = np.exp(inverse * (rows - rows.max(axis=1, keepdims=True)))
        share /= share.sum(axis=1, keepdims=True)
        mean = np.sum(share * rows, axis=1)
        first += np.sum(mean - own)
        second += np.sum(share * (rows - mean[:, None]) ** 2)
    return float(first / len(labels)), float(second / len(labels))


def _chunks(labels, logits):
    """(logits (n, C), logits of the labels (n,)) in float64, some rows at a time."""
    labels = np.asarray(labels)
    for start in range(0, len(labels), CHUNK):
        rows = np.asarray(logits[start:start + CHUNK], np.float64)
        yield rows, rows[np.arange(len(rows)), labels[start:start + CHUNK]]
