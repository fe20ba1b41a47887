"""The training stream over sets with random access: P order, Q draws, augmentation and the mix plan in one map."""

import itertools

import numpy as np
import tensorflow as tf

from cmo_tf import augment as augmentation
from cmo_tf.augment.policies import center_crop
from cmo_tf.errors import UserError
from cmo_tf.pipeline.plan import Draw, Planner, stateless_seed
from cmo_tf.pipeline.records import minority_stream
from cmo_tf.sampling import class_distribution, class_table

Q_SOURCES = ("index", "rejection", "interleave")


def train_stream(images, labels, *, batch_size, seed, start_step=0, q_power=1.0, probability=0.5, alpha=1.0,
                 augment=None, mix_steps=None, shard=(0, 1), drop_remainder=False, q_kind="inverse", q_level="image",
                 q_source="index", per_image=False, class_counts=None, decode=None):
    """Endless stream of training batches; element i is a pure function of `(seed, start_step + i)`.

    Args:
        images: (N,H,W,C) uint8 or float array or tensor (a tensor is used without a copy), or (N,) paths with `decode`.
        labels: (N,) integers.
        batch_size: B, the global one. ceil(N/B) batches an epoch, the last one short unless `drop_remainder`.
        seed: of the run; every draw follows from it and the step.
        start_step: global step of the first element.
        q_power, q_kind, q_level: of Q, see `sampling.class_distribution`.
        probability, alpha, per_image: of the mix plan, see `plan.Planner`.
        augment: None (pixels and dtype stay as they are), a name, a policy or a function, see `augment.resolve`.
        mix_steps: (first, stop) global steps that may mix; None: all.
        shard: (i, n): only rows `[i*b//n, (i+1)*b//n)` of each global batch of b rows, with the same pixels.
        q_source: "index", a stateless draw in O(log C); "rejection" or "interleave", see `records.minority_stream`.
        class_counts: (C,) training images a class, counted from `labels` by default.
        decode: path -> image of static shape, for images given as paths.

    Returns:
        tf.data.Dataset of dicts: `image`, `image_q` (b,H,W,C); `label`, `label_q` int32 (b,); `index`, `index_q`
        int64 (b,), row numbers in `images`; `lam` float32 (b,); `box` int32 (b,4). An unmixed batch has lam 1, an
        empty box, `image_q` of zeros, `label_q` and `index_q` equal to label and index; the coin is tossed before
        Q is read, so that no foreground is fetched for it.

    Raises:
        UserError: sizes that do not fit, a batch larger than the set with `drop_remainder`, an unknown `q_source`.
    """
    labels = np.asarray(labels)
    _check(images, labels, batch_size, shard, drop_remainder, q_source, start_step)
    counts = np.bincount(labels) if class_counts is None else np.asarray(class_counts)
    distribution = class_distribution(counts, q_power, q_kind, q_level)
    fetch = Fetch(images, decode, augmentation.resolve(augment), seed)
    planner = Planner(seed, fetch.size, probability, alpha, mix_steps, per_image)
    label_table = tf.constant(labels, tf.int32)
    batches = order_batches(len(labels), batch_size, seed, start_step, drop_remainder)
    if q_source == "index":
        draw_q = index_draw(class_table(labels, distribution), seed)
    else:
        foregrounds = _record_draws(labels, counts, distribution, q_source, batch_size, seed, start_step, drop_remainder)
        batches = tf.data.Dataset.zip(batches, foregrounds).map(lambda numbered, drawn: (*numbered, drawn))

    def make_batch(step, index, drawn=None):
        rows = tf.shape(index, tf.int64)[0]
        first, stop = (rows * i // shard[1] for i in (shard[0], shard[0] + 1))
        mixed, lam, box = (column[first:stop] for column in planner(step, rows))
        index_q = draw_q(step, rows) if drawn is None else drawn[:rows]
        index, index_q = index[first:stop], tf.where(mixed, index_q[first:stop], index[first:stop])
        image = fetch(index, step, rows, first, Draw.AUGMENT)
        image_q = tf.cond(tf.reduce_any(mixed), lambda: fetch(index_q, step, rows, first, Draw.AUGMENT_FOREGROUND),
                          lambda: tf.zeros_like(image))
        image_q = tf.ensure_shape(image_q, image.shape)
        if per_image:
            image_q = tf.where(mixed[:, None, None, None], image_q, tf.zeros_like(image_q))
        batch = {"image": image, "label": tf.gather(label_table, index), "index": index, "image_q": image_q,
                 "label_q": tf.gather(label_table, index_q), "index_q": index_q, "lam": lam, "box": box}
        if drop_remainder:
            static = (shard[0] + 1) * batch_size // shard[1] - shard[0] * batch_size // shard[1]
            batch = {k: tf.ensure_shape(v, [static, *v.shape[1:]]) for k, v in batch.items()}
        return batch

    return batches.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(num_images: int, batch_size: int, drop_remainder: bool = False) -> int:
    """Batches of one epoch, the short last one included unless `drop_remainder`."""
    return num_images // batch_size if drop_remainder else -(-num_images // batch_size)


def order_batches(num_images, batch_size, seed, start_step=0, drop_remainder=False):
    """Endless dataset of (step, indices): each epoch one stateless permutation, cut into batches.

    `stateless_shuffle` of a table an epoch, not `index_shuffle`, which keeps 8 bits of each seed word for small sets.
    """
    per_epoch = steps_per_epoch(num_images, batch_size, drop_remainder)

    def epoch_batches(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(num_images, dtype=tf.int64), stateless_seed(seed, Draw.ORDER, epoch))

        def batch(i):
            return epoch * per_epoch + i, order[i * batch_size:(i + 1) * batch_size]
        return tf.data.Dataset.range(per_epoch).map(batch)

    epochs = tf.data.Dataset.counter(start_step // per_epoch)
    return epochs.flat_map(epoch_batches).skip(start_step % per_epoch)


def index_draw(table, seed):
    """Function (step, rows) -> int64 (rows,) image indices drawn from Q with replacement, O(log C) each."""
    cumulative, start = tf.constant(table.cumulative), tf.constant(table.start)
    size, order = tf.constant(table.size), tf.constant(table.order)

    def draw(step, rows):
        uniform = tf.random.stateless_uniform([2, rows], stateless_seed(seed, Draw.FOREGROUND, step), dtype=tf.float64)
        label = tf.searchsorted(cumulative, uniform[0], side="right")
        held = tf.gather(size, label)
        offset = tf.minimum(tf.cast(uniform[1] * tf.cast(held, tf.float64), tf.int64), held - 1)
        return tf.gather(order, tf.gather(start, label) + offset)
    return draw


class Fetch:
    """Reads and augments the rows of one worker."""

    def __init__(self, images, decode, augment, seed):
        self.images, self.decode, self.augment, self.seed = tf.convert_to_tensor(images), decode, augment, seed
        if decode is None and self.images.shape.rank != 4:
            raise UserError(f"images: (N, height, width, channels) is needed, got shape {tuple(self.images.shape)}; "
                            "paths need decode=")
        # The size that mixing sees is known before the first batch: boxes are drawn in it.
        spec = tf.data.Dataset.range(1).map(lambda i: self(i[None], i, tf.constant(1, tf.int64), 0, Draw.AUGMENT))
        self.size = tuple(spec.element_spec.shape[1:3])

    def __call__(self, index, step, rows, first, kind):
        """Images (b,H,W,C) of `index`, rows first..first+b of a global batch of `rows`."""
        images = tf.gather(self.images, index)
        if self.decode is not None:
            spec = tf.data.Dataset.from_tensors(self.images[0]).map(self.decode).element_spec
            images = tf.map_fn(self.decode, images, fn_output_signature=spec, parallel_iterations=16)
        if self.augment is None:
            return images
        drawn = self.augment.draw(stateless_seed(self.seed, kind, step), rows)
        count = tf.shape(index, tf.int64)[0]
        return self.augment.apply(images, {k: v[first:first + count] for k, v in drawn.items()})


def _record_draws(labels, counts, distribution, method, batch_size, seed, start_step, drop_remainder):
    """Q from a record stream of (index, label), rebuilt for every epoch from (seed, epoch)."""
    per_epoch = steps_per_epoch(len(labels), batch_size, drop_remainder)
    records = tf.data.Dataset.from_tensor_slices((np.arange(len(labels)), labels.astype(np.int64)))
    by_class = {int(c): np.flatnonzero(labels == c) for c in np.flatnonzero(counts)}

    def reader(label):
        mine = by_class[int(label)]
        return tf.data.Dataset.from_tensor_slices((mine, np.full(len(mine), label, np.int64)))

    def draws():
        for epoch in itertools.count(start_step // per_epoch):
            done = start_step % per_epoch if epoch == start_step // per_epoch else 0
            stream = minority_stream(records, counts, method=method, seed=seed, epoch=epoch, start=done * batch_size,
                                     distribution=distribution, shuffle_buffer=len(labels), readers=reader)
            yield from stream.map(lambda index, _: index).batch(batch_size).take(per_epoch - done)

    return tf.data.Dataset.from_generator(draws, output_signature=tf.TensorSpec([None], tf.int64))


def eval_batches(images, labels=None, *, batch_size=256, size=None, decode=None):
    """One pass in order: batches of raw images, centre-cropped to `size`, with labels where given."""
    def read(image):
        image = tf.map_fn(decode, image, fn_output_signature=tf.data.Dataset.from_tensors(
            images[0]).map(decode).element_spec, parallel_iterations=16) if decode is not None else image
        return center_crop(image, size)

    data = tf.data.Dataset.from_tensor_slices(images).batch(batch_size).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    if labels is not None:
        labels = tf.data.Dataset.from_tensor_slices(np.asarray(labels).astype(np.int32)).batch(batch_size)
        data = tf.data.Dataset.zip(data, labels)
    return data.prefetch(tf.data.AUTOTUNE)


def _check(images, labels, batch_size, shard, drop_remainder, q_source, start_step):
    if len(labels) == 0 or len(images) != len(labels):
        raise UserError(f"train_stream: {len(images)} images and {len(labels)} labels; one label an image is needed")
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1 or labels.min() < 0:
        raise UserError("train_stream: labels are one non-negative integer an image")
    if batch_size < 1 or (drop_remainder and batch_size > len(labels)):
        raise UserError(f"--batch_size={batch_size}: there are {len(labels)} training images "
                        "and a batch holds at least one and, with drop_remainder, at most all of them")
    if not 0 <= shard[0] < shard[1]:
        raise UserError(f"shard={shard}: (i, n) with 0 <= i < n is needed")
    if q_source not in Q_SOURCES:
        raise UserError(f"--q_source={q_source}: there are {', '.join(Q_SOURCES)}")
    if start_step < 0:
        raise UserError(f"start_step={start_step} is negative")
