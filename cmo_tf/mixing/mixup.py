"""Mixup (Zhang et al., ICLR 2018)."""

import keras

from cmo_tf.mixing.blend import Blend


@keras.saving.register_keras_serializable(package="cmo_tf")
class Mixup(Blend):
    """Each row blended with another row of the same batch; applied to every batch by default.

    Source: facebookresearch/mixup-cifar10, one lam a batch.
    """

    partner = "permuted"
