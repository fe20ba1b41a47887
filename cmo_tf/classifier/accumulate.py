"""`--gradient_accumulation`: one step over a batch that is worked through in micro-batches.

Each micro-batch has its own forward and backward pass, one after another, so that memory is that of one; the result is
the gradient of the whole batch, because every numerator is divided by the denominators of the whole batch (of all
replicas). These depend on labels and weights alone. BatchNorm works on micro-batches, and its running statistics move
once for each, as in PyTorch. Mixing comes before: it has the whole batch's partners.
"""

import tensorflow as tf

from cmo_tf.classifier.replicas import over_replicas, real_rows


def gradients(model, mixed, sample_weight, parts):
    """(gradients, logits, this replica's share of the loss) of a mixed batch, as `LongTailClassifier._gradients`.

    Args:
        model: a compiled LongTailClassifier, its loss one that does not couple rows.
        mixed: mixed batch of b rows; micro-batch i of n has rows `[b * i // n, b * (i + 1) // n)`.
        sample_weight: (b,) or None.
        parts: n.
    """
    whole, blank, weights = real_rows(mixed, blank_outputs(model, tf.shape(mixed["label"])[0]), sample_weight)
    denominators = [over_replicas(den) for _, den in model._terms(whole, blank, weights)]
    known = []

    def body(number, total, share, logits):
        piece, weights = micro_batch(mixed, sample_weight, number, parts)
        found, outputs, part = model._gradients(piece, weights, denominators, parts)
        known[:] = [gradient is not None for gradient in found]
        total = [one if more is None else one + more for one, more in zip(total, found, strict=True)]
        outputs = outputs["logits"] if isinstance(outputs, dict) else outputs
        return number + 1, total, share + part, logits.write(number, outputs)

    logits = tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=[None, model.num_classes])
    start = 0, [tf.zeros_like(w.value) for w in model.trainable_weights], 0.0, logits
    # A loop of the graph: unrolled, the forward passes would run side by side and hold the memory of the whole batch.
    _, total, share, logits = tf.while_loop(lambda number, *_: number < parts, body, start, parallel_iterations=1)
    total = [gradient if one else None for gradient, one in zip(total, known, strict=True)]
    return total, logits.concat(), share


def micro_batch(mixed, sample_weight, number, parts):
    """(mixed, sample_weight) of a micro-batch. One that gets no row of a short batch has a row with `real` 0."""
    columns = mixed if sample_weight is None else {**mixed, "": sample_weight}
    rows = mixed["label"].shape[0]
    if rows is not None and rows % parts == 0:  # sizes stay known, for XLA
        piece = {name: tf.reshape(v, [parts, rows // parts, *v.shape[1:]])[number] for name, v in columns.items()}
    else:
        rows = tf.shape(mixed["label"])[0]
        first, end = rows * number // parts, rows * (number + 1) // parts
        stop = tf.maximum(end, first + 1)
        piece = {name: v[first:stop] for name, v in columns.items()}
        real = tf.cast(tf.range(first, stop) < end, tf.float32)
        piece["real"] = real * piece.get("real", tf.ones_like(real))
    return piece, piece.pop("", None)


def blank_outputs(model, rows):
    """Zeros in place of the network's outputs, for what does not depend on them."""
    shape = model.network.compute_output_shape(model.network.input_shape)

    def zeros(shape):
        return tf.zeros([rows, *shape[1:]])
    if isinstance(shape, dict):
        return {name: zeros(one) for name, one in shape.items()}
    return zeros(shape)
