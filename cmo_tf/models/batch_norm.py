"""Batch normalisation in one pass over the images where TensorFlow has a kernel for it."""

import keras


@keras.saving.register_keras_serializable(package="cmo_tf")
class BatchNorm(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization: same arguments, same weights, same result but for rounding.

    Keras makes it of some ten operations, each of which reads or writes the whole feature map. In training on float32
    maps this layer takes TensorFlow's fused kernel, which the graph optimiser also joins with a ReLU behind it; the
    figures are in docs/performance.md. Everything else (inference, other dtypes, `synchronized`, `renorm`, other
    backends) is left to Keras.
    """

    def call(self, inputs, training=None, mask=None):
        if not training or not self.trainable or not self._can_fuse(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf
        gamma, beta = (keras.ops.convert_to_tensor(variable) for variable in (self.gamma, self.beta))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=gamma, offset=beta, mean=[], variance=[], epsilon=self.epsilon, is_training=True)
        # The kernel divides by n - 1; Keras' running variance is that of n.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        variance *= (count - 1.0) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _can_fuse(self, inputs, mask):
        plain = mask is None and self.scale and self.center and not self.renorm and not self.synchronized
        return (plain and keras.backend.backend() == "tensorflow" and len(inputs.shape) == 4
                and self.axis in (-1, 3) and keras.backend.standardize_dtype(inputs.dtype) == "float32")
