"""M2m's images and the training step around them. Pixels are in [0, 1] here; shapes are static, rows are masked."""

import tensorflow as tf

from cmo_tf.losses.base import cross_entropy
from cmo_tf.methods.inner_step import inner_step
from cmo_tf.models import two_stage
from cmo_tf.pipeline.plan import stateless_seed


def acceptance(counts, labels, targets, beta):
    """`1 - beta^max(n_j - n_i, 0)`, float32 (G, B): how likely batch row j, of a larger class, may become target i.

    Args:
        counts: float32 (C,).
        labels: int32 (B,) of the batch.
        targets: int32 (G,).
    """
    more = tf.gather(counts, labels)[None] - tf.gather(counts, targets)[:, None]
    return 1.0 - tf.pow(tf.cast(beta, tf.float32), tf.maximum(more, 0.0))


def capped_noise(noise, rows, cap=0.5):
    """Noise (B, H, W, C), its L2 norm in each channel over the rows that count (`rows` (B,), 0 or 1) at most `cap`."""
    noise = noise * rows[:, None, None, None]
    norm = tf.sqrt(tf.reduce_sum(noise**2, axis=(0, 1, 2)))
    return noise * tf.where(norm > cap, cap / (norm + 1e-7), 1.0)


def ascend(images, loss_of, steps, size):
    """Images (B, H, W, C) after steps down `loss_of(images)`, each of length `size` in the L2 norm, within [0, 1].

    The gradient of a row must depend on that row alone. Nothing flows back through the result.
    """
    def update(_, pixels, gradient):
        norm = tf.sqrt(tf.reduce_sum(gradient**2, axis=(1, 2, 3), keepdims=True))
        return tf.clip_by_value(pixels - size * gradient / (norm + 1e-10), 0.0, 1.0)

    def body(pixels):
        moved, _, _ = inner_step(lambda tensors: (loss_of(tensors[0]), None), [pixels], update)
        return moved
    start = tf.convert_to_tensor(images)
    return tf.stop_gradient(tf.while_loop(lambda pixels: True, body, [start], maximum_iterations=steps)[0]
                            if steps else start)


class TranslatingTraining:
    """What M2m changes in a LongTailClassifier: from the start of the second phase on, rows become minority images.

    Args:
        known: g, the trained network whose answers decide; frozen, in evaluation mode.
        counts: (C,) training images a class.
        beta, lam, gamma, size, steps: of the generation.
        seed: of its draws, which follow from it and the number of steps taken.

    `active` is 0 while training is ordinary.
    """

    def __init__(self, network, *, known, counts, beta, lam, gamma, size, steps, seed, **options):
        super().__init__(network, **options)
        self.known = two_stage.copy(known)
        self.known.trainable = False
        self._counts = tf.constant(counts, tf.float32)
        self.beta, self.lam, self.gamma, self.size, self.steps_up, self.draws = beta, lam, gamma, size, steps, seed
        self.active = self.add_weight(shape=(), initializer="zeros", dtype="float32", trainable=False, autocast=False,
                                      name="active")

    def train_step(self, batch):
        plain = super().train_step
        return tf.cond(self.active > 0.0, lambda: plain(self.translated(batch)), lambda: plain({**batch}))

    def translated(self, batch):
        """The batch with accepted rows in place of their own images, labels as they were."""
        images, labels = tf.cast(batch["image"], tf.float32) / 255.0, tf.cast(batch["label"], tf.int32)
        rows = tf.shape(labels)[0]
        seeds = tf.random.experimental.stateless_split(
            stateless_seed(-1 - self.draws, 0, tf.cast(self.optimizer.iterations, tf.int64)), 4)
        small = tf.gather(self._counts, labels) / tf.reduce_max(self._counts)
        wanted = tf.random.stateless_uniform([rows], seeds[0]) >= small
        chances = acceptance(self._counts, labels, labels, self.beta)
        wanted &= tf.reduce_sum(chances, axis=1) > 0.0
        # Rows without a larger class draw any, and are masked.
        source = tf.random.stateless_categorical(tf.math.log(tf.maximum(chances, 1e-30)), 1, seeds[1])[:, 0]
        chance = tf.gather(chances, source, batch_dims=1)
        noise = tf.random.stateless_uniform(tf.shape(images), seeds[2], -0.5, 0.5)
        start = tf.clip_by_value(tf.gather(images, source) + capped_noise(noise, tf.cast(wanted, tf.float32)), 0.0, 1.0)
        made, probability = self.generated(start, tf.gather(labels, source), labels)
        taken = wanted & (probability >= self.gamma) & (tf.random.stateless_uniform([rows], seeds[3]) < chance)
        image = tf.where(taken[:, None, None, None], made * 255.0, images * 255.0)
        return {**batch, "image": image}

    def generated(self, start, source_labels, targets):
        """(images, probability of the target by g): `size` times `steps` down `CE(g, target) + lam f_source`."""
        def loss_of(pixels):
            inputs = self.prepared(pixels * 255.0)
            known, own = (network(inputs, training=False) for network in (self.known, self.inner))
            source = tf.gather(own, source_labels, batch_dims=1)
            return tf.reduce_sum(cross_entropy(targets, known) + self.lam * source)
        made = ascend(start, loss_of, self.steps_up, self.size)
        answers = tf.nn.softmax(self.known(self.prepared(made * 255.0), training=False))
        return made, tf.gather(answers, targets, batch_dims=1)
