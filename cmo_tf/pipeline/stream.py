"""The training stream over sets with random access: P order, Q draws, augmentation and the mix plan in one map."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from cmo_tf import augment as augmentation
from cmo_tf.core.class_counts import check_labels
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike, Tensor
from cmo_tf.pipeline.fetch import Fetch
from cmo_tf.pipeline.order import index_draw, order_batches, record_draws
from cmo_tf.pipeline.plan import Draw, Planner, stateless_seed
from cmo_tf.pipeline.recorded import recorded_batches, recorded_draws, streams
from cmo_tf.sampling import class_distribution, class_table
from cmo_tf.sampling.samplers import epoch_order

Q_SOURCES = ("index", "rejection", "interleave")


def train_stream(images: Tensor, labels: ArrayLike, *, batch_size: int, seed: int, start_step: int = 0,
                 q_power: float = 1.0, probability: float = 0.5, alpha: float = 1.0,
                 augment: str | Callable | None = None, mix_steps: tuple[int, int] | None = None,
                 shard: tuple[int, int] = (0, 1), drop_remainder: bool = False, q_kind: str = "inverse",
                 q_level: str = "image", q_source: str = "index", per_image: bool = False,
                 class_counts: ArrayLike | None = None, decode: Any = None, canvas: str = "p",
                 partner: str = "q", unmixed: str = "canvas", plan: str = "box", sampler: str = "instance",
                 sampler_options: dict | None = None,
                 epochs: int | None = None, view2: str | Callable | None = None, fill: bool = False,
                 turn: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
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
        decode: path -> image of static shape, for images given as paths; or a `pictures.Pictures`, for files and
            records that augmentations read at their own size. Records in TFRecord files are streamed with a `q_source`
            other than "index", P too: it is then shuffled as far as `recorded.SHUFFLED` goes.
        canvas: what `image` is drawn from, "p" or "q"; partner: what `image_q` is, "q", "p" or "permuted", another
            row of the same batch. Mixers name theirs; CMO has canvas "p" and partner "q".
        plan: "box" for pasted patches, "blend" for the mixup family, whose lam is not rounded to pixels.
        unmixed: where unmixed batches come from, "canvas" or "p" (they differ where the canvas is "q").
        sampler: what an epoch of P is made of, see `cmo_tf.sampling.samplers`; epochs: length of the run, for those
            that change; sampler_options: of a sampler that has some, such as `undersampling.Undersample`.
        view2: augmentation, given as `augment`, of a second view of each image, with draws of its own; None: no view.
        fill: give a shard that has no rows of a short batch one row of it, and all batches a column `real` float32
            (b,), 0 for such a row.
        turn: (k, n): only every n-th element from the k-th on, as for one of n processes that take turns.

    Returns:
        tf.data.Dataset of dicts: `image`, `image_q` (b,H,W,C); `label`, `label_q` int32 (b,); `index`, `index_q`
        int64 (b,), row numbers in `images`; `lam` float32 (b,); `box` int32 (b,4). An unmixed batch has lam 1, an
        empty box, `image_q` of zeros, `label_q` and `index_q` equal to label and index; the coin is tossed before
        Q is read, so that no foreground is fetched for it. With `view2` also `image_view2`, of the rows of `image`.

    Raises:
        UserError: sizes that do not fit, a batch larger than the set with `drop_remainder`, an unknown `q_source`.

    Examples:
        >>> images, labels = np.zeros((6, 4, 4, 1), "uint8"), np.array([0, 0, 0, 0, 1, 2])
        >>> batch = next(iter(train_stream(images, labels, batch_size=4, seed=0, probability=1.0)))
        >>> batch["image"].shape, batch["label_q"].shape, batch["lam"].dtype.name
        (TensorShape([4, 4, 4, 1]), TensorShape([4]), 'float32')
    """
    labels = np.asarray(labels)
    _check(images, labels, batch_size, shard, drop_remainder, start_step, class_counts)
    _check_sources(q_source, canvas, partner, unmixed)
    counts = np.bincount(labels) if class_counts is None else np.asarray(class_counts)
    distribution = class_distribution(counts, q_power, q_kind, q_level)
    fetch = Fetch(images, decode, augmentation.resolve(augment, class_counts=counts), seed, labels)
    second = None if view2 is None else Fetch(fetch.images, decode, augmentation.resolve(view2, class_counts=counts),
                                              seed, labels)
    planner = Planner(seed, fetch.size, probability, alpha, mix_steps, per_image, plan)
    label_table = tf.constant(labels, tf.int32)
    draw = index_draw(class_table(labels, distribution), seed)
    order = None if sampler == "instance" else epoch_order(sampler, labels, counts, seed, epochs,
                                                                   **(sampler_options or {}))
    places = (batch_size, seed, start_step, drop_remainder)
    if streams(decode, q_source, sampler):
        batches = recorded_batches(decode.store, images, labels, *places)
        foregrounds = recorded_draws(decode.store, images, labels, counts, distribution, q_source, *places)
    else:
        batches = order_batches(len(labels), *places, order)
        foregrounds = None if q_source == "index" else record_draws(labels, counts, distribution, q_source, *places)
    if foregrounds is not None:
        batches = tf.data.Dataset.zip(batches, foregrounds).map(lambda numbered, drawn: (*numbered, drawn))
    batches = batches.shard(turn[1], turn[0])

    def make_batch(step, p, q=None):
        # p and q are (index,) or, of streamed records, (index, encoded picture) of the rows of the global batch.
        rows = tf.shape(p[0], tf.int64)[0]
        first, stop = (rows * i // shard[1] for i in (shard[0], shard[0] + 1))
        real, stop = stop - first, tf.maximum(stop, first + 1) if fill else stop
        here = tf.range(first, stop)
        mixed, lam, box = planner(step, rows)
        background = p
        if canvas == "q":
            from_q = draw(step, rows, Draw.CANVAS)
            p = (from_q if unmixed == "canvas" else tf.where(mixed, from_q, *p),)
        # Rows of the global batch that this worker's foregrounds are; only a permuted partner is another row.
        there, kind = here, Draw.AUGMENT_FOREGROUND
        if partner == "permuted":
            order = tf.random.experimental.stateless_shuffle(tf.range(rows), stateless_seed(seed, Draw.PARTNER, step))
            q, there, kind = [tf.gather(column, order) for column in p], order[first:stop], Draw.AUGMENT
        elif partner == "p":
            q = background
        elif q is None:
            q = (draw(step, rows, Draw.FOREGROUND),)
        else:
            q = [column[:rows] for column in q]
        mixed, lam, box = (column[first:stop] for column in (mixed, lam, box))
        p = [column[first:stop] for column in p]
        q = [tf.where(mixed, column[first:stop], own) for column, own in zip(q, p, strict=True)]
        index, index_q = p[0], q[0]
        image = fetch(index, step, rows, here, Draw.AUGMENT, *p[1:])
        image_q = tf.cond(tf.reduce_any(mixed), lambda: fetch(index_q, step, rows, there, kind, *q[1:]),
                          lambda: tf.zeros_like(image))
        image_q = tf.ensure_shape(image_q, image.shape)
        if per_image:
            image_q = tf.where(mixed[:, None, None, None], image_q, tf.zeros_like(image_q))
        batch = {"image": image, "label": tf.gather(label_table, index), "index": index, "image_q": image_q,
                 "label_q": tf.gather(label_table, index_q), "index_q": index_q, "lam": lam, "box": box}
        if fill:
            batch["real"] = tf.cast(tf.range(stop - first) < real, tf.float32)
        if second is not None:
            batch["image_view2"] = second(index, step, rows, here, Draw.AUGMENT_VIEW, *p[1:])
        if drop_remainder:
            static = (shard[0] + 1) * batch_size // shard[1] - shard[0] * batch_size // shard[1]
            batch = {k: tf.ensure_shape(v, [static, *v.shape[1:]]) for k, v in batch.items()}
        return batch

    made = batches.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
    if hasattr(decode, "encoded"):
        # Rows and batches keep all cores busy; threads inside small ops would only wake each other.
        options = tf.data.Options()
        options.threading.max_intra_op_parallelism = 1
        made = made.with_options(options)
    return made


def _check(images, labels, batch_size, shard, drop_remainder, start_step, class_counts):
    if len(labels) == 0 or len(images) != len(labels):
        raise UserError(f"train_stream: {len(images)} images and {len(labels)} labels; one label an image is needed")
    check_labels(labels, None if class_counts is None else len(class_counts),
                 "train_stream: labels are one non-negative integer an image")
    if batch_size < 1 or (drop_remainder and batch_size > len(labels)):
        raise UserError(f"--batch_size={batch_size}: there are {len(labels)} training images "
                        "and a batch holds at least one and, with drop_remainder, at most all of them")
    if not 0 <= shard[0] < shard[1]:
        raise UserError(f"shard={shard}: (i, n) with 0 <= i < n is needed")
    if start_step < 0:
        raise UserError(f"start_step={start_step} is negative")


def _check_sources(q_source, canvas, partner, unmixed):
    checks = (("--q_source", q_source, Q_SOURCES), ("canvas", canvas, ("p", "q")),
              ("partner", partner, ("q", "p", "permuted")), ("--mix_unmixed", unmixed, ("canvas", "p")))
    for name, value, allowed in checks:
        if value not in allowed:
            raise UserError(f"{name}={value}: there are {', '.join(allowed)}")
    if q_source != "index" and canvas == "q":
        raise UserError(f"--q_source={q_source}: gives foregrounds only, and this mixer draws canvases from Q too; "
                        "use --q_source=index")
