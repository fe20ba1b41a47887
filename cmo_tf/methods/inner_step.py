"""One step that a later gradient looks through: what Meta-Weight-Net, MetaSAug, the meta sampler, M2m and BLT share."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def inner_step(loss_of: Callable, variables: list, update: Callable) -> tuple[list, Any, Any]:
    """(updated tensors, loss, aux) of one step on tensors; inside an outer GradientTape it is differentiable.

    Args:
        loss_of: function of the list of tensors -> (scalar loss, anything else worth keeping).
        variables: tensors, not variables: weights of a network, or images.
        update: function (place in the list, tensor, its gradient) -> the tensor after the step.

    Source: the virtual step of Shu et al. (NeurIPS 2019), Eq. 3; the pixel step of M2m (Kim et al., CVPR 2020), Eq. 1.

    Examples:
        >>> w = tf.constant([3.0])
        >>> after, loss, _ = inner_step(lambda v: (tf.reduce_sum(v[0] ** 2), None), [w], lambda i, v, g: v - 0.5 * g)
        >>> float(after[0][0]), float(loss)
        (0.0, 9.0)
    """
    with tf.GradientTape() as tape:
        tape.watch(variables)
        loss, aux = loss_of(variables)
    gradients = tape.gradient(loss, variables)
    return [update(i, v, g) for i, (v, g) in enumerate(zip(variables, gradients, strict=True))], loss, aux


def tensors_of(network) -> tuple[list, list]:
    """(trainable, other) variables of a network as tensors, for `stateless_call`."""
    return ([tf.convert_to_tensor(v) for v in network.trainable_variables],
            [tf.convert_to_tensor(v) for v in network.non_trainable_variables])


def call_with(network, trainable, other, inputs):
    """Outputs in training mode of a network that has these tensors for weights; its running statistics stay."""
    return network.stateless_call(trainable, other, inputs, training=True)[0]
