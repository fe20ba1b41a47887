"""The draws of the meta sampler and the gradient of its weights, in closed form, and the training step around them.

Notation: theta (C,), psi = sigmoid(theta) the weight of each image of a class; a batch's row i is image n_i, the
largest of `log psi + Gumbel noise` over all N training images, and s_i the softmax of these sums.
"""

import keras
import numpy as np
import tensorflow as tf

from cmo_tf.methods.inner_step import call_with, tensors_of
from cmo_tf.models import two_stage
from cmo_tf.pipeline.plan import Draw, stateless_seed


def initial_theta(counts, power: float):
    """theta at the start, float64 (C,): `log q - log(1 - q)` with q = n^-power, divided by its smallest plus largest.

    Source: `MetaSampler` of BALMS' code. Power 0 gives 0, all classes alike.
    """
    log_q = -power * np.log(np.maximum(np.asarray(counts, np.float64), 1.0))
    q = np.exp(log_q - log_q.max())
    q /= q.min() + q.max()
    return np.log(q) - np.log1p(-q)


def draw(theta, labels, gumbel):
    """(n, s, S): images drawn int64 (B,), each one's share of its row's softmax (B,), mass of each class (B, C).

    Args:
        theta: float32 (C,).
        labels: int32 (N,) of the training images.
        gumbel: noise, float32 (B, N).
    """
    scores = tf.gather(tf.math.log_sigmoid(theta), labels)[None] + gumbel
    drawn, share = tf.argmax(scores, axis=1), tf.nn.softmax(scores)
    return drawn, tf.gather(share, drawn, batch_dims=1), share @ tf.one_hot(labels, theta.shape[0])


def gumbel_noise(shape, seed):
    """float32 standard Gumbel draws, finite."""
    uniform = tf.random.stateless_uniform(shape, seed, minval=1e-20)
    return -tf.math.log(-tf.math.log(tf.minimum(uniform, 1.0 - 6e-8)))


def theta_gradient(theta, labels, share, mass, influence):
    """Gradient of the balanced batch's loss by theta, (C,), without a graph over B x N numbers.

    `(1 - psi_c) sum_i D_i s_i (1[y_i = c] - S_ic)`: row i counts 1 + s_i - constant(s_i) times in the inner loss.

    Args:
        labels: int32 (B,) of the images drawn.
        share, mass: s (B,) and S (B, C) of `draw`.
        influence: D (B,), by how much the balanced loss changes with the weight of each row.
    """
    away = tf.one_hot(labels, theta.shape[0]) - mass
    return tf.sigmoid(-theta) * tf.linalg.matvec(away, influence * share, transpose_a=True)


class MetaSampling:
    """What the second stage changes in a LongTailClassifier; batches are `step`, `meta_image` and `meta_label`.

    Its head learns on the images that it draws itself. The step that theta looks through is the real one, momentum and
    decay included: the rows' weights are 1 in value, so one forward and backward pass does for both.

    Args:
        theta: (C,) at the start.
        theta_lr: rate of theta's Adam.
        rows: B.

    `attach` names the images before the first step.
    """

    def __init__(self, network, *, theta, theta_lr, rows, **options):
        super().__init__(network, **options)
        self._head = two_stage.head(network)
        self._trunk = keras.Model(network.input, self._head.input)
        self.theta_lr, self.rows = theta_lr, rows

        def state(name, initial, shape, dtype="float32"):
            return self.add_weight(shape=shape, initializer=lambda shape, dtype=None: tf.cast(initial, dtype),
                                   dtype=dtype, trainable=False, autocast=False, name=name)
        classes = (len(theta),)
        self.theta = state("theta", theta, classes)
        self.first, self.second = (state(f"theta_{name}", tf.zeros(classes), classes) for name in ("first", "second"))
        self.steps = state("theta_steps", 0, (), "int32")
        self._fetch = self._labels = None

    def attach(self, fetch, labels, seed):
        """Names the training images: a `pipeline.fetch.Fetch`, their labels (N,), and the seed of all draws."""
        if self._fetch is None:
            self._fetch, self._labels, self._draws = fetch, tf.constant(labels, tf.int32), seed

    def train_step(self, data):
        step = tf.cast(data["step"], tf.int64)
        noise = gumbel_noise([self.rows, self._labels.shape[0]], stateless_seed(self._draws, Draw.FOREGROUND, step))
        drawn, share, mass = draw(tf.convert_to_tensor(self.theta), self._labels, noise)
        places = tf.range(self.rows, dtype=tf.int64)
        batch = {"label": tf.gather(self._labels, drawn),
                 "image": self._fetch(drawn, step, tf.constant(self.rows, tf.int64), places, Draw.AUGMENT)}
        features = self._trunk(self.prepared(batch["image"]), training=self.shift_bn)
        meta = call_with(self._trunk, *tensors_of(self._trunk), self.prepared(data["meta_image"]))
        loss, logits = self.learn(features, batch["label"], share, mass, meta, data["meta_label"])
        return self._logs(batch, logits, loss, None)

    def learn(self, features, labels, share, mass, meta_features, meta_labels):
        """The real step of the head and Adam's of theta, from features; returns the loss and the logits."""
        with tf.GradientTape(persistent=True) as tape:
            logits = self._head(features)
            tape.watch(logits)
            values = self.loss.terms(labels, logits)[0]
            total, loss = tf.reduce_sum(values), tf.reduce_mean(values)
        row_slopes = tape.gradient(total, logits)
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights,
                                           strict=True))
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(
                meta_labels, self._head(meta_features), from_logits=True))
        slopes = dict(zip(("kernel", "bias"), tape.gradient(value, [self._head.kernel, self._head.bias]), strict=True))
        # The product of <meta gradient, gradient of row i>, both by kernel and bias, and how far the step goes.
        along = tf.reduce_sum((features @ slopes["kernel"] + slopes["bias"]) * row_slopes, axis=1)
        ahead = 1.0 + self.optimizer.momentum if self.optimizer.nesterov else 1.0
        influence = -ahead * tf.cast(self.optimizer.learning_rate, tf.float32) / self.rows * along
        self.gradient = theta_gradient(tf.convert_to_tensor(self.theta), labels, share, mass, influence)
        self._adam(self.gradient)
        return loss, logits

    def _adam(self, gradient):
        """Adam as PyTorch has it, betas 0.9 and 0.999, epsilon 1e-8 behind the corrected root."""
        self.steps.assign_add(1)
        count = tf.cast(self.steps, tf.float32)
        self.first.assign(0.9 * self.first + 0.1 * gradient)
        self.second.assign(0.999 * self.second + 0.001 * gradient**2)
        mean, square = self.first / (1.0 - 0.9**count), self.second / (1.0 - 0.999**count)
        self.theta.assign(self.theta - self.theta_lr * mean / (tf.sqrt(square) + 1e-8))
