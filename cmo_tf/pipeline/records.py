"""Q for sets without random access: rejection_resample or weighted interleave over a stream of (record, label).

Rebuilt each epoch from (seed, epoch) and skipped to the step, so that resuming stays exact. Cost an image drawn, with
A = the share that P's images are accepted with (1 / (C * pi_min) at power 1, 1/22 at CIFAR-100-LT ratio 100):
rejection reads 1/A undecoded records; interleave one, but keeps one reader a class, each of which scans the whole set
for its class, and cycles through a class before it repeats an image. In rejection each pass over the set offers every
image once, so the rarest class is taken whole; index draws (`train_stream`) are with replacement.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cmo_tf.core.class_counts import check_counts, check_size
from cmo_tf.core.errors import UserError
from cmo_tf.core.types import ArrayLike
from cmo_tf.pipeline.plan import Planner
from cmo_tf.sampling import class_distribution

MAX_INTERLEAVED = 256


def minority_stream(dataset: tf.data.Dataset, class_counts: ArrayLike, power: float = 1.0, method: str = "rejection",
                    seed: int = 0, epoch: int = 0, start: int = 0, decode: Callable | None = None, *,
                    distribution: ArrayLike | None = None, shuffle_buffer: int = 10_000,
                    readers: Callable[[int], tf.data.Dataset] | None = None) -> tf.data.Dataset:
    """Endless stream of (record, label) whose labels follow Q. Make it anew for every pass: iterating the same object
    again draws differently.

    Args:
        dataset: finite tf.data.Dataset of (record, label), label an integer scalar; records stay undecoded.
        class_counts: (C,) images a class in `dataset`.
        power: r of Q, see `sampling.class_distribution`.
        method: "rejection" (`rejection_resample` on labels) or "interleave" (weighted `sample_from_datasets`).
        seed, epoch: name the stream: equal ones give equal streams.
        start: elements to skip, before any decoding.
        decode: record -> image, after selection and skipping.
        distribution: (C,) class marginal of Q in place of `power`.
        shuffle_buffer: undecoded records that are shuffled together.
        readers: label -> tf.data.Dataset of that class's records, where one is at hand; interleave otherwise filters
            the whole set once for every class.

    Raises:
        UserError: a batched set, labels that are no integers, an unknown method, interleave over more than 256 classes.
        tf.errors.InvalidArgumentError: while it is read, a label outside 0..C-1.

    Examples:
        >>> labels = np.repeat([0, 1], [90, 10])
        >>> stream = minority_stream(tf.data.Dataset.from_tensor_slices((np.arange(100), labels)), [90, 10])
        >>> drawn = [int(label) for _, label in stream.take(400)]
        >>> round(sum(drawn) / 400, 1)  # of the images 0.1
        0.5
    """
    counts = check_counts(class_counts)
    target = class_distribution(counts, power) if distribution is None else np.asarray(distribution)
    check_size("minority_stream: shuffle_buffer", shuffle_buffer)
    check_size("minority_stream: start", start, least=0)
    if readers is None or method == "rejection":
        dataset = _checked(dataset, len(counts))
    key = int(np.random.SeedSequence([seed % 2**63, epoch]).generate_state(1, np.uint32)[0]) >> 1
    if method == "rejection":
        stream = _rejection(dataset, counts / counts.sum(), target, key, shuffle_buffer)
    elif method == "interleave":
        stream = _interleave(readers or _class_filter(dataset), target, key, shuffle_buffer)
    else:
        raise UserError(f"--q_source={method}: a record stream is drawn from by rejection or interleave")
    stream = stream.skip(start)
    if decode is not None:
        stream = stream.map(lambda record, label: (decode(record), label),
                            num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    # tf.data cannot know it, and Keras would warn of data that ran out at the end of the first epoch.
    return stream.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def _checked(dataset, num_classes):
    """The data set, stopped at a label that is no class; a UserError unless it has (record, integer scalar)."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise UserError("minority_stream: the data set is not of pairs (record, label); map it to pairs")
    if spec[1].shape.rank not in (0, None) or not spec[1].dtype.is_integer:
        raise UserError(f"minority_stream: labels are {spec[1].dtype.name} of shape {tuple(spec[1].shape)}, not single "
                        "integers; call .unbatch() on a batched set, and make one-hot labels integers by tf.argmax")

    def check(record, label):
        right = (tf.cast(label, tf.int64) >= 0) & (tf.cast(label, tf.int64) < num_classes)
        message = f"minority_stream: a label is not in 0..{num_classes - 1}; class_counts needs one number a class"
        with tf.control_dependencies([tf.debugging.Assert(right, [message, label])]):
            return record, tf.identity(label)
    return dataset.map(check)


def _rejection(dataset, initial, target, key, shuffle_buffer):
    """A plain thinning to within 1.5 of the acceptance, then `rejection_resample`.

    Alone `rejection_resample` prints a line an element once it rejects more than half of them; after the thinning it
    rejects at most a third, and the labels come out the same. One more class, which no record has and the target
    does not want, keeps it from reading the set twice to blend in unfiltered records.
    """
    ratio = np.divide(target, initial, out=np.zeros_like(target), where=initial > 0)
    keep = np.minimum(1.0, 1.5 * ratio / ratio.max())
    thinned = initial * keep / np.sum(initial * keep)
    stream = dataset.shuffle(shuffle_buffer, seed=key, reshuffle_each_iteration=True).repeat()
    table = tf.constant(keep, tf.float32)
    coins = tf.data.Dataset.random(seed=key, rerandomize_each_iteration=False)
    stream = tf.data.Dataset.zip(stream, coins)
    stream = stream.filter(
        lambda pair, coin: tf.cast(coin, tf.float32) / 2.0**32 < tf.gather(table, tf.cast(pair[1], tf.int32)))
    stream = stream.map(lambda pair, _: pair)
    with np.errstate(invalid="ignore"):  # it divides 0 by 0 for a class without images
        stream = stream.rejection_resample(
            lambda _, label: tf.cast(label, tf.int32), target_dist=_with_phantom(target, 0.0),
            initial_dist=_with_phantom(thinned, 1e-3), seed=key)
    return stream.map(lambda _, pair: pair)


def _with_phantom(distribution, share):
    return np.append(distribution * (1.0 - share), share).astype(np.float32)


def _class_filter(dataset):
    return lambda label: dataset.filter(lambda _, other: tf.equal(tf.cast(other, tf.int64), int(label)))


def _interleave(readers, target, key, shuffle_buffer):
    """One shuffled, repeated reader a class, drawn from by weight."""
    classes = np.flatnonzero(target)
    if len(classes) > MAX_INTERLEAVED:
        raise UserError(f"--q_source=interleave: {len(classes)} classes mean as many readers of the whole set, "
                        f"at most {MAX_INTERLEAVED} are allowed; use --q_source=rejection or index")
    streams = [readers(label).shuffle(shuffle_buffer, seed=key + int(label), reshuffle_each_iteration=True).repeat()
               for label in classes]
    return tf.data.Dataset.sample_from_datasets(streams, weights=target[classes], seed=key,
                                                rerandomize_each_iteration=False)


def zip_streams(p: tf.data.Dataset, q: tf.data.Dataset, batch_size: int, *, seed: int | None = None,
                probability: float = 0.5, alpha: float = 1.0, start_step: int = 0,
                mix_steps: tuple[int, int] | None = None) -> tf.data.Dataset:
    """Zips a P and a Q stream of (image, label) into batches.

    Args:
        p, q: tf.data.Datasets of (image, label), images of one static shape. Q is cut to the rows of P.
        batch_size: rows of a batch; the last one of a finite P is short.
        seed: None leaves the plan to the CMO layer; an int adds the columns `lam` and `box`, the same that
            `train_stream` draws for this seed and step.
        probability, alpha, mix_steps: of the plan.
        start_step: global step of the first batch (p and q are taken to have been skipped to it).

    Returns:
        tf.data.Dataset of dicts `image, label, image_q, label_q` and, with a seed, `lam, box`; then an unmixed batch
        has zeros for image_q and its own labels for label_q, as in `train_stream`.

    Examples:
        >>> pictures = tf.data.Dataset.from_tensor_slices((np.zeros((8, 4, 4, 1)), np.arange(8)))
        >>> batch = next(iter(zip_streams(pictures, pictures.repeat(), batch_size=4, seed=0)))
        >>> sorted(batch)
        ['box', 'image', 'image_q', 'label', 'label_q', 'lam']
    """
    check_size("zip_streams: batch_size", batch_size)

    def plain(pair_p, pair_q):
        rows = tf.shape(pair_p[1])[0]
        return {"image": pair_p[0], "label": tf.cast(pair_p[1], tf.int32), "image_q": pair_q[0][:rows],
                "label_q": tf.cast(pair_q[1][:rows], tf.int32)}

    zipped = tf.data.Dataset.zip(p.batch(batch_size), q.batch(batch_size))
    if seed is None:
        return zipped.map(plain, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    planner = Planner(seed, tuple(p.element_spec[0].shape[:2]), probability, alpha, mix_steps)

    def planned(step, pairs):
        batch = plain(*pairs)
        mixed, lam, box = planner(step, tf.shape(batch["label"], tf.int64)[0])
        pixels = tf.cond(tf.reduce_any(mixed), lambda: batch["image_q"], lambda: tf.zeros_like(batch["image_q"]))
        return {**batch, "image_q": pixels, "label_q": tf.where(mixed, batch["label_q"], batch["label"]),
                "lam": lam, "box": box}

    return zipped.enumerate(start_step).map(planned, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
