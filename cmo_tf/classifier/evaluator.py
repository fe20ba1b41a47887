"""Predictions of a network on raw images, and the accuracy line of a run."""

import numpy as np
import tensorflow as tf

from cmo_tf.evaluation.calibration import predictions_from_logits
from cmo_tf.evaluation.metrics import accuracy_by_group
from cmo_tf.pipeline import eval_batches


class Evaluator:
    """Evaluates one network again and again, the last partial batch included, with one graph for all batch sizes.

    Args:
        network: keras.Model from raw pixels to logits, or to a dict with `logits`.
        scale: what logits are multiplied by before the softmax (30 for LDAM's cosines); the accuracy ignores it.
        batch_size: images at once.
        offset: (C,) that is added to the scaled logits (`evaluation.prior.logit_offset`), or None.
    """

    def __init__(self, network, scale=1.0, batch_size=500, offset=None):
        self.scale, self.batch_size, self.traces = scale, batch_size, 0
        self.offset = 0.0 if offset is None else np.asarray(offset, np.float32) / np.float32(scale)

        @tf.function
        def logits(images):
            self.traces += 1
            outputs = network(images, training=False)
            return outputs["logits"] if isinstance(outputs, dict) else outputs

        self._logits = logits

    def logits(self, split, size, decode=None):
        """float32 (N, C) of a datasets.Split, as the network gives them; images are centre-cropped to `size`."""
        batches = eval_batches(split.images, batch_size=self.batch_size, size=size, decode=decode)
        # Traced for batches of any size: the first one alone would be followed by a second graph for the short last.
        logits = self._logits.get_concrete_function(batches.element_spec)
        return np.concatenate([logits(images).numpy() for images in batches])

    def predict(self, split, size, decode=None):
        """Predictions of a datasets.Split, whose images are centre-cropped to `size` (height, width)."""
        return self.from_logits(split.labels, self.logits(split, size, decode))

    def scaled(self, logits):
        """What goes into the softmax, float64 (N, C), from what `logits` gives."""
        return np.asarray(logits + self.offset, np.float64) * self.scale

    def from_logits(self, labels, logits):
        """Predictions from what `logits` gives."""
        return predictions_from_logits(labels, logits + self.offset, self.scale)


def accuracy(predictions, data):
    """{all, many, medium, few} in percent; an empty group is None."""
    return accuracy_by_group(predictions.labels, predictions.predicted, data.groups, data.num_classes)


def accuracy_line(values) -> str:
    """`accuracy: all=87.31 many=... medium=... few=...`, n/a for an empty group."""
    shown = (f"{k}={'n/a' if v is None else format(v, '.2f')}" for k, v in values.items())
    return "accuracy: " + " ".join(shown)
