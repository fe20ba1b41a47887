"""The training step of MetaSAug: covariances of classes that a balanced batch corrects. `metasaug` has the method."""

import keras
import tensorflow as tf

from cmo_tf.core.class_counts import effective_number_weights
from cmo_tf.losses.base import cross_entropy
from cmo_tf.losses.class_covariance import ClassCovariance, class_sums, merged, spread
from cmo_tf.losses.ldam import ldam_margins
from cmo_tf.methods.inner_step import call_with, inner_step, tensors_of
from cmo_tf.models import two_stage


class AugmentedTraining:
    """What MetaSAug changes in a LongTailClassifier; batches bring `meta_image` and `meta_label`.

    Args:
        counts: (C,) training images a class.
        meta_lr: rate of the covariances' step by the balanced batch.
        head_only: the linear head alone learns, on the features of a trunk in evaluation mode; diagonals, no margins.

    Variables: `covariance`, `mean`, `amount`; set at the beginning of epochs: `ratio`, the strength r, `virtual_lr`,
    the rate of the tried step, and `active`, 0 while training is plain cross-entropy.
    """

    def __init__(self, network, *, counts, meta_lr, head_only, **options):
        super().__init__(network, **options)
        head = two_stage.linear_head(network, len(counts))
        self.meta_lr, self.head_only = meta_lr, head_only
        self._kernel, self._head = head.kernel, head
        self._both = keras.Model(network.input, {"logits": head.output, "features": head.input})
        self._place = [v is head.kernel for v in self._both.trainable_variables].index(True)
        width, classes = head.kernel.shape
        self._margins = tf.constant(0.0 * counts if head_only else ldam_margins(counts, 0.5), tf.float32)
        self._class_weights = tf.constant(effective_number_weights(counts), tf.float32)

        def state(name, *shape):
            return self.add_weight(shape=shape, initializer="zeros", dtype="float32", trainable=False, autocast=False,
                                   name=name)
        self.covariance = state("covariance", classes, width, *(() if head_only else (width,)))
        self.mean, self.amount = state("mean", classes, width), state("amount", classes)
        self.ratio, self.active, self.virtual_lr = state("ratio"), state("active"), state("virtual_lr")

    def train_step(self, batch):
        if self.head_only:
            return self._augmented_step(batch)
        plain = super().train_step
        return tf.cond(self.active > 0.0, lambda: self._augmented_step(batch), lambda: plain(batch))

    def _augmented_step(self, batch):
        mixed = self._mix(batch)
        inputs, meta = self._inputs(mixed["image"]), self._inputs(batch["meta_image"])
        covariance = self.corrected(mixed, inputs, meta, batch["meta_label"])
        with tf.GradientTape() as tape:
            outputs = self._outputs(inputs)
            loss = self.augmented_loss(mixed, outputs, self._kernel, covariance)
        self._observe_features(mixed, tf.stop_gradient(outputs["features"]))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights,
                                           strict=True))
        return self._logs(batch, outputs, loss, None)

    def corrected(self, mixed, inputs, meta, meta_labels):
        """The running covariances less `meta_lr` times their gradient of the balanced batch's cross-entropy, which the
        network has behind a plain step with them."""
        weights, call = self._functional()
        covariance = tf.convert_to_tensor(self.covariance)

        def virtual_loss(tensors):
            outputs, kernel = call(tensors, inputs)
            return self.augmented_loss(mixed, outputs, kernel, covariance), None
        with tf.GradientTape() as tape:
            tape.watch(covariance)
            tried, self.virtual_loss, _ = inner_step(virtual_loss, weights, lambda i, v, g: v - self.virtual_lr * g)
            value = tf.reduce_mean(cross_entropy(meta_labels, call(tried, meta)[0]["logits"]))
        # Rows of classes that are not in the batch come as slices.
        return covariance - self.meta_lr * tf.convert_to_tensor(tape.gradient(value, covariance))

    def augmented_loss(self, mixed, outputs, kernel, covariance):
        """`CE(z_j + r/2 spread_j - m_y [j = y], y)`, a mean weighted by class, for each label set by its share."""
        total = 0.0
        for name, share in (("label", mixed["lam"]), ("label_q", 1.0 - mixed["lam"])):
            labels = tf.cast(mixed[name], tf.int32)
            margins = tf.gather(self._margins, labels)[:, None] * tf.one_hot(labels, self._margins.shape[0])
            logits = outputs["logits"] + 0.5 * self.ratio * spread(kernel, covariance, labels) - margins
            weights = tf.gather(self._class_weights, labels)
            total += tf.reduce_sum(share * weights * cross_entropy(labels, logits)) / tf.reduce_sum(weights)
        return total

    def _observe_features(self, mixed, features):
        """Moves the running covariances by the rows that are not mixed."""
        variables = ClassCovariance(self.covariance, self.mean, self.amount)
        state = ClassCovariance(*map(tf.convert_to_tensor, variables))
        rows = tf.cast(mixed["lam"] >= 1.0, tf.float32) * tf.ones_like(features[:, 0])
        sums = class_sums(state, features, tf.cast(mixed["label"], tf.int32), rows)
        for variable, value in zip(variables, merged(state, sums), strict=True):
            variable.assign(value)

    def _inputs(self, images):
        """What learning begins with: normalised images, or features where the head alone learns."""
        images = self.prepared(images)
        return tf.stop_gradient(self._both(images, training=False)["features"]) if self.head_only else images

    def _outputs(self, inputs):
        if self.head_only:
            return {"logits": self._head(inputs), "features": inputs}
        return self._both(inputs, training=True)

    def _functional(self):
        """(weights as tensors, function of such tensors and inputs -> (outputs, kernel))."""
        if self.head_only:
            weights = [tf.convert_to_tensor(v) for v in self._head.trainable_variables]
            return weights, lambda w, x: ({"logits": x @ w[0] + w[1], "features": x}, w[0])
        weights, others = tensors_of(self._both)
        return weights, lambda w, x: (call_with(self._both, w, others, x), w[self._place])
