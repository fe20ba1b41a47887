"""What a training step does for a loss that looks at the head's weights, or that learns as it goes (ISDA)."""

import tensorflow as tf

from cmo_tf.classifier.replicas import over_replicas
from cmo_tf.models.two_stage import linear_head


def with_kernel(model, outputs):
    """Outputs with the weights of the head, for a loss that looks at them."""
    if not model.loss.needs_kernel:
        return outputs
    return {**outputs, "kernel": linear_head(model.inner, model.num_classes).kernel}


def observe(model, mixed, outputs):
    """Lets a loss with state learn from the rows that are not mixed."""
    rows = tf.cast(mixed["lam"] >= 1.0, tf.float32) * tf.ones_like(mixed["label"], tf.float32)
    sums = model.loss.observed(mixed["label"], with_kernel(model, outputs), rows)
    if sums:
        model.loss.absorb({name: over_replicas(value) for name, value in sums.items()})


def build(loss, network, num_classes):
    """Creates a loss's class weights, and what depends on the number of features where the network tells it."""
    loss.build(num_classes)
    shape = network.compute_output_shape(network.input_shape)
    if isinstance(shape, dict) and "features" in shape:
        loss.build_features(shape["features"][-1])
