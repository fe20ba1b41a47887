"""Dynamic scaling of the loss for `--precision=float16`, on several replicas too."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="cmo_tf")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' LossScaleOptimizer whose replicas leave a step out together.

    Keras looks at the gradients of one replica, before they are summed: an overflow on another one would reach the
    weights. Gradients are divided by the scale before the inner optimizer adds its L2 term, which is never scaled. The
    scale and its counter are among the optimizer's variables, so that checkpoints hold them.
    """

    def check_finite(self, grads):
        """Whether all gradients of all replicas are finite, a scalar."""
        finite = super().check_finite(grads)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return finite
        bad = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(tf.logical_not(finite), tf.float32))
        return tf.equal(bad, 0.0)
