"""P and Q from TFRecord files read in sequence, for storage on which random access is slow.

As for any stream each epoch is built anew from (seed, epoch) and skipped to its step; what is skipped, or rejected by
Q, is never decoded. Files are taken in a shuffled order, a few at a time, and records shuffled in blocks: P is not a
permutation as even as that of random access, but each image still comes once an epoch.
"""

import numpy as np
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.pipeline.order import draw_by_epoch, steps_per_epoch
from cmo_tf.pipeline.pictures import encoded_of
from cmo_tf.pipeline.plan import Draw, stateless_seed

# Undecoded records that are shuffled together (200 MB of ImageNet), files read at once and bytes a file buffers.
SHUFFLED, FILES, BUFFER = 2048, 4, 2**22


def streams(decode, q_source, sampler):
    """Whether images come as a stream of records: a store that has one, and `--q_source` asks for it."""
    store = getattr(decode, "store", None)
    if q_source == "index" or store is None or not store.streams:
        return False
    if sampler != "instance":
        raise UserError(f"--sampler={sampler}: records in a stream come as they are; use --q_source=index")
    return True


def recorded_batches(store, rows, labels, batch_size, seed, start_step, drop_remainder):
    """Endless dataset of (step, (index, encoded picture)): P.

    Args:
        store: of the records.
        rows: (N,) their row numbers in it. labels: (N,).
    """
    per_epoch = steps_per_epoch(len(rows), batch_size, drop_remainder)
    reader = _reader(store, rows, labels)

    def epoch_batches(epoch):
        key = stateless_seed(seed, Draw.ORDER, epoch)

        def shuffled(block, columns):
            # `Dataset.shuffle` takes no seed that is a tensor; this needs none but the block's number.
            own = tf.random.experimental.stateless_fold_in(key, block)
            order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(columns[0])[0]), own)
            return [tf.gather(column, order) for column in columns]

        data = reader(key).map(lambda index, record, label: (index, record))
        data = data.batch(SHUFFLED).enumerate().map(lambda block, columns: tuple(shuffled(block, columns))).unbatch()
        return data.batch(batch_size, drop_remainder).enumerate(epoch * per_epoch)

    epochs = tf.data.Dataset.counter(start_step // per_epoch)
    batches = epochs.flat_map(epoch_batches).skip(start_step % per_epoch)
    return batches.map(lambda step, p: (step, (p[0], encoded_of(p[1]))))


def recorded_draws(store, rows, labels, counts, distribution, method, batch_size, seed, start_step, drop_remainder):
    """Dataset of (index, encoded picture): Q by rejection or interleave over the records."""
    per_epoch = steps_per_epoch(len(rows), batch_size, drop_remainder)
    records = _reader(store, rows, labels)(None).map(lambda index, record, label: ((index, record), label))

    signature = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.string))
    drawn = draw_by_epoch(records, signature, per_epoch, batch_size, seed, start_step, counts, method=method,
                          distribution=distribution, shuffle_buffer=SHUFFLED)
    return drawn.map(lambda index, records: (index, encoded_of(records)))


def _reader(store, rows, labels):
    """Function seed -> finite dataset of (index, record, label) of those records of the store that `rows` names, still
    encoded. The stateless seed shuffles the files; None leaves them in order."""
    index_of = np.full(len(store), -1, np.int64)
    index_of[rows] = np.arange(len(rows))
    held = [k for k, first in enumerate(store.first) if np.any(index_of[first:first + store.count[k]] >= 0)]
    files, first = tf.constant([store.files[k] for k in held]), tf.constant([store.first[k] for k in held], tf.int64)
    index_of, labels = tf.constant(index_of), tf.constant(labels, tf.int64)

    def read(seed):
        order = tf.range(len(held))
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed)
        data = tf.data.Dataset.from_tensor_slices((tf.gather(files, order), tf.gather(first, order)))
        data = data.interleave(lambda file, row: tf.data.TFRecordDataset(file, buffer_size=BUFFER).enumerate(row),
                               cycle_length=FILES, block_length=16, num_parallel_calls=FILES, deterministic=True)
        data = data.map(lambda row, record: (tf.gather(index_of, row), record)).filter(lambda index, _: index >= 0)
        return data.map(lambda index, record: (index, record, tf.gather(labels, index)))
    return read
