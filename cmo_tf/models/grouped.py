"""Grouped convolution that can be trained on a CPU too."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="cmo_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """keras.layers.Conv2D with `groups`: same arguments, same kernel (k, k, channels / groups, filters), same result.

    Where there is nothing but CPUs the groups are convolved one by one. TensorFlow has no gradient of a grouped
    convolution there, and what Keras compiles in its place took 11 s for one of ResNeXt-50's on 8 images, against
    0.04 s in this form. GPUs run the grouped convolution as it is.
    """

    def convolution_op(self, inputs, kernel):
        if self.groups == 1 or not _only_cpus():
            return super().convolution_op(inputs, kernel)
        parts = zip(ops.split(inputs, self.groups, axis=-1), ops.split(kernel, self.groups, axis=-1), strict=True)
        return ops.concatenate([super(GroupedConv2D, self).convolution_op(*part) for part in parts], axis=-1)


def _only_cpus() -> bool:
    return len(keras.distribution.list_devices("cpu")) == len(keras.distribution.list_devices())
