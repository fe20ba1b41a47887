"""The weight net of Meta-Weight-Net and the training step that moves it; `meta_weighting` has the method."""

import keras
import tensorflow as tf
from keras import ops

from cmo_tf.methods.inner_step import call_with, inner_step, tensors_of
from cmo_tf.models.heads import layer_seed
from cmo_tf.optim import SGD


class WeightNet(keras.layers.Layer):
    """Weight in (0, 1) of each loss: 1 -> `hidden` with ReLU -> 1 with a sigmoid. float32 (B,) or (B, 1) to the same.

    Kernels and biases start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as PyTorch's `nn.Linear`.
    """

    def __init__(self, hidden: int = 100, seed: int | None = None, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.hidden, self.seed = hidden, seed

    def build(self, input_shape):
        shapes = {"hidden.weight": (1, self.hidden), "hidden.bias": (self.hidden,), "out.weight": (self.hidden, 1),
                  "out.bias": (1,)}
        for name, shape in shapes.items():
            bound = 1.0 if name.startswith("hidden") else self.hidden**-0.5
            start = keras.initializers.RandomUniform(-bound, bound, layer_seed(self.seed, f"weight_net.{name}"))
            self.add_weight(shape=shape, initializer=start, name=name.replace(".", "_"))

    def call(self, losses):
        return self.weigh(losses, self.variables)

    @staticmethod
    def weigh(losses, parameters):
        """The weights that a network with these four tensors gives."""
        kernel, bias, out, out_bias = parameters
        rows = ops.reshape(losses, (-1, 1))
        return ops.reshape(ops.sigmoid(ops.relu(rows @ kernel + bias) @ out + out_bias), ops.shape(losses))


class MetaWeightTraining:
    """What Meta-Weight-Net changes in a LongTailClassifier; batches bring `meta_image` and `meta_label`.

    Args:
        weight_lr: rate of the weight net, whose optimiser is SGD with momentum 0.9, Nesterov and L2 5e-4.
        seed: of the weight net.

    `virtual_lr` is the rate of the tried step, a non-trainable variable.
    """

    def __init__(self, network, *, weight_lr, seed, **options):
        super().__init__(network, **options)
        self.weight_net = WeightNet(seed=seed)
        self.weight_net.build((None,))
        self.weight_net.trainable = False  # by this step's hand alone
        self.outer = SGD(weight_lr, momentum=0.9, l2=5e-4, nesterov=True)
        self.outer.build(self.weight_net.variables)
        self.virtual_lr = self.add_weight(shape=(), initializer="zeros", trainable=False, autocast=False,
                                          dtype="float32", name="virtual_lr")

    @property
    def outer_variables(self):
        return self.outer.variables

    def train_step(self, batch):
        mixed = self._mix(batch)
        gradients = self.weight_gradients(mixed, batch["meta_image"], batch["meta_label"])
        self.outer.apply(gradients, self.weight_net.variables)
        with tf.GradientTape() as tape:
            outputs = self._forward(mixed)
            losses = self._row_losses(mixed, outputs)
            loss = _weighted(losses, tf.stop_gradient(self.weight_net(losses)))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights,
                                           strict=True))
        return self._logs(batch, outputs, loss, None)

    def weight_gradients(self, mixed, meta_images, meta_labels):
        """Gradients of the balanced batch's cross-entropy, behind a tried step, by the weight net's variables."""
        weights, others = tensors_of(self.inner)
        weigher = [tf.convert_to_tensor(v) for v in self.weight_net.variables]
        images, meta_images = self.prepared(mixed["image"]), self.prepared(meta_images)

        def virtual_loss(tensors):
            losses = self._row_losses(mixed, call_with(self.inner, tensors, others, images))
            return _weighted(losses, WeightNet.weigh(losses, weigher)), None
        with tf.GradientTape() as tape:
            tape.watch(weigher)
            tried, _, _ = inner_step(virtual_loss, weights, lambda i, v, g: v - self.virtual_lr * g)
            outputs = call_with(self.inner, tried, others, meta_images)
            value = tf.reduce_mean(self.loss.terms(meta_labels, outputs)[0])
        return tape.gradient(value, weigher)

    def _row_losses(self, mixed, outputs):
        """`lam l(y) + (1 - lam) l(y_q)` of each row, (B,)."""
        first, second = (self.loss.terms(mixed[name], outputs)[0] for name in ("label", "label_q"))
        return mixed["lam"] * first + (1.0 - mixed["lam"]) * second


def _weighted(losses, weights):
    """`sum w l / sum w`; 0 where all weights are 0."""
    total = ops.sum(weights)
    return ops.sum(losses * weights) / ops.where(total == 0.0, 1.0, total)
