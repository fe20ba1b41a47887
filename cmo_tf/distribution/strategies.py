"""Several devices: the strategy of a run, and which rows of a global batch each replica gets.

One step on N replicas is the step of one device on the same global batch: the classifier divides each replica's
numerators by the denominators of all of them, and gradients are summed. BatchNorm alone sees the rows of its replica,
as published (DataParallel), unless `--sync_bn`.
"""

import functools

import keras
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.distribution import workers


def strategy(config):
    """The tf.distribute strategy of a run; the default one without `--strategy`."""
    if config.strategy == "none":
        return tf.distribute.get_strategy()
    if config.strategy == "multiworker":
        return workers.strategy(config)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    wanted = config.num_devices or len(devices)
    if wanted > len(devices):
        raise UserError(f"--num_devices={wanted}: this machine has {len(devices)}")
    return _mirrored(*(device.name for device in devices[:wanted]))


def replicas(config) -> int:
    """Devices that a batch is cut up for."""
    return strategy(config).num_replicas_in_sync


@functools.cache
def _mirrored(*devices):
    """The one strategy over these devices: variables of one stage cannot be read under another object of its kind."""
    return tf.distribute.MirroredStrategy(devices)


def check(config, num_images) -> None:
    """Refuses batches that leave a replica without a row where that cannot be made good.

    A replica without rows works on a row that counts for nothing (`per_replica`). Statistics of BatchNorm over all
    replicas would still see it.
    """
    if config.strategy == "none" or config.mode != "train":
        return
    number = replicas(config)
    short = 0 if config.drop_remainder else num_images % config.batch_size
    if config.batch_size < number * config.gradient_accumulation:
        raise UserError(f"--batch_size={config.batch_size}: is less than a row for each of {number} replicas and "
                        f"{config.gradient_accumulation} micro-batches; raise it")
    if config.sync_bn and 0 < short < number:
        raise UserError(f"--sync_bn: the last batch of an epoch has {short} images for {number} replicas and "
                        "BatchNorm over all of them needs a row on each; add --drop_remainder or take another "
                        "--batch_size")


def stream_options(config) -> dict:
    """Arguments of `train_stream` for the rows of this worker."""
    if config.strategy != "multiworker" or config.mode != "train":
        return {}
    return {"shard": workers.place(config), "fill": not config.drop_remainder}


def per_replica(config, stream):
    """A stream of this worker's batches as what `fit` takes under the strategy: each local replica its rows.

    Rows are cut as workers cut them, `[b * r // R, b * (r + 1) // R)` of b rows to replica r of R. A replica that gets
    none has the row before its place, with `real` 0: it runs through the network (TensorFlow's convolutions on CPU
    fail without rows), counts in no loss, and gives BatchNorm statistics of a true image.
    """
    if config.strategy == "none":
        return stream
    place = strategy(config)
    local = len(place.extended.worker_devices)
    fixed = config.drop_remainder and stream.element_spec["label"].shape[0]
    size = fixed // local if fixed and fixed % local == 0 else None

    def piece(batch, number):
        rows = tf.shape(batch["label"], tf.int64)[0]
        first, stop = rows * number // local, rows * (number + 1) // local
        cut = {k: v[first:tf.maximum(stop, first + 1)] for k, v in batch.items()}
        if not config.drop_remainder:
            cut["real"] = cut.get("real", tf.ones_like(cut["lam"])) * tf.cast(stop > first, tf.float32)
        return {k: tf.ensure_shape(v, [size, *v.shape[1:]]) for k, v in cut.items()}

    pieces = stream.flat_map(
        lambda batch: tf.data.Dataset.range(local).map(lambda number: piece(batch, number)))
    pieces = pieces.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    pieces = pieces.prefetch(2 * local)
    return place.distribute_datasets_from_function(lambda context: pieces)


def settle(config, network) -> None:
    """All replicas of all workers take what the first one has in variables that no gradient changes.

    BatchNorm's running statistics are each replica's own; those of the first are saved and evaluated (as PyTorch's
    DataParallel does), and a later stage that trains on them starts from them everywhere.
    """
    if config.strategy == "none":
        return

    @tf.function
    def everywhere():
        def replica():
            context = tf.distribute.get_replica_context()
            for variable in network.non_trainable_variables:
                if "float" in variable.dtype:
                    value = variable.value if context.replica_id_in_sync_group == 0 else tf.zeros_like(variable.value)
                    variable.assign(context.all_reduce(tf.distribute.ReduceOp.SUM, value))
        strategy(config).run(replica)
    everywhere()


def synchronise(network):
    """The network with its BatchNorm layers taking their statistics over all replicas (`--sync_bn`), in place."""
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return network
