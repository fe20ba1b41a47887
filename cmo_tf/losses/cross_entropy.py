"""Cross-entropy, plain or with class weights."""

import keras

from cmo_tf.losses.base import LongTailLoss, cross_entropy


@keras.saving.register_keras_serializable(package="cmo_tf")
class CrossEntropy(LongTailLoss):
    """`-log softmax(z)_y`, averaged with the weights of the labels' classes: PyTorch's `cross_entropy(weight=w)`.

    Args:
        class_weights: (C,) finite and not negative, or None for ones.
        num_classes: C, or None to take it from the first batch of logits.

    With effective-number weights this is the class-balanced loss (Cui et al., CVPR 2019); with `callbacks.DRW`, CE-DRW.
    """

    def __init__(self, class_weights=None, num_classes=None, name=None):
        super().__init__(num_classes, class_weights, name)

    def values(self, labels, logits):
        return cross_entropy(labels, logits)
