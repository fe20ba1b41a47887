"""Inside a step on several replicas: what they add up, and the rows that count."""

import tensorflow as tf


def over_replicas(value, how="sum"):
    """The sum of a value over all replicas, or the logarithm of the sum of exponentials (`how="logsumexp"`)."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    if how == "logsumexp":
        return tf.reduce_logsumexp(context.all_gather(value[None], axis=0), axis=0)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def real_rows(mixed, outputs, sample_weight):
    """The same without rows that only fill an empty replica (`real` 0, all of them or none)."""
    if "real" not in mixed:
        return mixed, outputs, sample_weight
    number = tf.cast(tf.reduce_sum(mixed["real"]), tf.int32)
    mixed = {name: column[:number] for name, column in mixed.items() if name != "real"}
    outputs = tf.nest.map_structure(lambda rows: rows[:number], outputs)
    return mixed, outputs, None if sample_weight is None else sample_weight[:number]
