"""What the second stage of FSA trains on: the confusing classes of a network, and batches of tail and head images."""

import numpy as np
import tensorflow as tf

from cmo_tf import augment as augmentation
from cmo_tf.pipeline import eval_batches
from cmo_tf.pipeline.fetch import Fetch
from cmo_tf.pipeline.plan import Draw, stateless_seed
from cmo_tf.sampling import class_table


def confusing_classes(scores, heads, top) -> np.ndarray:
    """The `top` head classes that each class is most confused with, most confusing first.

    Args:
        scores: (C, C), row h the mean probabilities of the images of class h.
        heads: the head classes.
        top: N_f; all of them where there are fewer.

    Returns:
        int32 (C, min(N_f, heads)); that of a head class itself means nothing.
    """
    received = scores[heads].T  # (C, heads)
    order = np.argsort(-received, axis=1, kind="stable")[:, :top]
    return np.asarray(heads)[order].astype(np.int32)


def mean_scores(network, data, batch_size) -> np.ndarray:
    """float32 (C, C), row k the mean probabilities of the training images of class k, by a network on raw pixels."""
    batches = eval_batches(data.train.images, data.train.labels, batch_size=batch_size, size=data.size,
                           decode=data.decode)

    @tf.function(reduce_retracing=True)
    def probabilities(images):
        return tf.nn.softmax(network(images, training=False))
    total = np.zeros((data.num_classes, data.num_classes), np.float32)
    for images, labels in batches:
        np.add.at(total, labels.numpy(), probabilities(images).numpy())
    return total / np.maximum(data.counts, 1)[:, None].astype(np.float32)


def fusion_stream(images, labels, *, heads, confusing, fused, size, batch_size, seed, start_step, augment, decode=None):
    """Endless stream of batches for `FusionTraining`; element i is a pure function of `(seed, start_step + i)`.

    Args:
        images, labels, augment, decode: as those of `pipeline.train_stream`.
        heads: the head classes.
        confusing: (C, N_f), see `confusing_classes`.
        fused: N_a, new images for each tail image.
        size: (h, w) of the fused map.
        batch_size: room for B rows; there are `T = B // (2 + 2 N_a)` tail images, at least one.

    Returns:
        tf.data.Dataset of dicts with rows of T tail images, T N_a of confusing classes (those of the first tail image
        first) and T (1 + N_a) head images: `image`; `own_label`, of each image; `label`, which for a confusing row is
        that of its tail image; `index`, int64; and `take`, bool (T N_a, h, w): U > gamma with a U for each cell and
        a gamma for each new image, both uniform.
    """
    is_head = np.isin(labels, heads)
    tails = batch_size // (2 * (1 + fused))
    rows = 2 * tails * (1 + fused)
    # No run has a negative seed: the order of the head images is another one.
    batches = tf.data.Dataset.zip(
        tf.data.Dataset.counter(start_step),
        _cycles(np.flatnonzero(~is_head), tails, seed, start_step),
        _cycles(np.flatnonzero(is_head), tails * (1 + fused), -1 - seed, start_step))
    counts = np.bincount(labels, minlength=len(confusing))
    fetch = Fetch(images, decode, augmentation.resolve(augment, class_counts=counts), seed, labels)
    table = class_table(labels, counts)
    order, start, held = (tf.constant(column) for column in (table.order, table.start, table.size))
    label_of, rivals = tf.constant(labels, tf.int32), tf.constant(confusing)

    def confusing_images(tail, first_turn, uniform):
        """One image of each of `fused` confusing classes, which take turns, for every tail image in turn."""
        rival = tf.gather(tf.gather(rivals, tf.gather(label_of, tail)),
                          (first_turn + tf.range(fused)) % rivals.shape[1], batch_dims=1)
        rival = tf.reshape(rival, [-1])
        number = tf.gather(held, rival)
        place = tf.minimum(tf.cast(uniform * tf.cast(number, tf.float64), tf.int64), number - 1)
        return tf.gather(order, tf.gather(start, rival) + place)

    def make_batch(step, tail, head):
        seeds = tf.random.experimental.stateless_split(stateless_seed(seed, Draw.FOREGROUND, step), 4)
        other = confusing_images(
            tail, tf.random.stateless_uniform([tails, 1], seeds[0], 0, rivals.shape[1], tf.int32),
            tf.random.stateless_uniform([tails * fused], seeds[1], dtype=tf.float64))
        index = tf.concat([tail, other, head], 0)
        own = tf.gather(label_of, index)
        gamma = tf.random.stateless_uniform([tails * fused, 1, 1], seeds[2])
        take = tf.random.stateless_uniform([tails * fused, *size], seeds[3]) > gamma
        label = tf.concat([own[:tails], tf.repeat(own[:tails], fused), own[tails * (1 + fused):]], 0)
        image = fetch(index, tf.cast(step, tf.int64), rows, tf.range(rows), Draw.AUGMENT)
        return {"image": image, "label": label, "own_label": own, "index": index, "take": take}
    return batches.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _cycles(rows, size, seed, start_step):
    """Endless dataset of int64 (size,) from one permutation of `rows` after another, from a step on."""
    begun, inside = divmod(start_step * size, len(rows))

    def cycle(number):
        key = stateless_seed(seed, Draw.ORDER, number)
        return tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(tf.constant(rows), key))
    return tf.data.Dataset.counter(begun).flat_map(cycle).skip(inside).batch(size, drop_remainder=True)
