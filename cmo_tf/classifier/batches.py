"""What `fit` and `evaluate` hand to a step, as a batch dict."""

import keras
import tensorflow as tf

from cmo_tf.classifier.labels import labels_in_step
from cmo_tf.core.errors import UserError


def unmixed(batch):
    """Columns of a batch without a second label set: `label_q` as `label`, lam 1."""
    return {"label_q": batch["label"], "lam": tf.ones(tf.shape(batch["label"])[:1])}


def batch_of(data, num_classes):
    """A batch dict and a sample weight from what fit passes: a dict, or (x, y[, sample_weight]), y checked."""
    if isinstance(data, dict):
        return data, None
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(x, dict):
        return x, sample_weight
    if y is None:
        raise UserError("fit: labels are missing; pass (x, y), or a stream of dicts with image and label")
    return {"image": x, "label": labels_in_step(y, num_classes)}, sample_weight
