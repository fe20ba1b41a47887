"""What `LongTailClassifier.fit` trains on, made of what its caller has."""

import contextlib
import sys

import numpy as np
import tensorflow as tf

from cmo_tf.callbacks import Reweight
from cmo_tf.classifier.labels import integer_labels, labels_in_step
from cmo_tf.core.class_counts import check_size
from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import minority_stream, steps_per_epoch, train_stream


def fit_arguments(model, *, x, y, batch_size, steps_per_epoch, validation_data=None, validation_split=0.0, **others):
    """What keras.Model.fit gets in place of what `LongTailClassifier.fit` got: labels checked, foregrounds added."""
    for name, number in (("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
        check_size(f"fit: {name}", number)
    if y is not None:
        y = integer_labels(y, model.num_classes, "fit: y")
        _check_split(validation_split, y)
    validation_data = checked_validation(validation_data, model.num_classes)
    if model.mixer is not None and y is not None:
        if others.get("sample_weight") is not None:
            raise UserError("fit: sample_weight does not go with a mixer on arrays; give class_weight, or weights "
                            "to the loss")
        images, first = np.asarray(x), others.get("initial_epoch", 0)
        if validation_split and validation_data is None:
            stop = _split_at(validation_split, y)
            validation_data, images, y = (images[stop:], y[stop:]), images[:stop], y[:stop]
        x, steps_per_epoch = array_stream(model.mixer, images, y, batch_size, steps_per_epoch, first)
        y, batch_size, validation_split = None, None, 0.0
    elif _lacks_foregrounds(model.mixer, x):
        counts = getattr(model.loss, "class_counts", None)
        x, batch_size = pair_stream(model.mixer, x, model.num_classes, counts, batch_size), None
    if isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
        others["shuffle"] = False  # Keras warns otherwise: a stream brings its own order.
    return {"x": x, "y": y, "batch_size": batch_size, "steps_per_epoch": steps_per_epoch,
            "validation_data": validation_data, "validation_split": validation_split, **others}


def _lacks_foregrounds(mixer, x):
    pairs = isinstance(x, tf.data.Dataset) and isinstance(x.element_spec, tuple)
    return pairs and mixer is not None and mixer.needs_q and not isinstance(x.element_spec[0], dict)


def array_stream(mixer, images, labels, batch_size=None, steps=None, first_epoch=0):
    """(stream, steps an epoch): a `train_stream` of arrays for a mixer, by whose seed, probability and alpha it goes.

    Args:
        images, labels: (N,H,W,C) and (N,).
        batch_size: None: 32, as in Keras.
        steps: of an epoch; None: all images once.
        first_epoch: where training begins.
    """
    batch_size = 32 if batch_size is None else batch_size
    steps = steps_per_epoch(len(labels), batch_size) if steps is None else steps
    stream = train_stream(np.asarray(images), labels, batch_size=batch_size, seed=_seed(mixer),
                          start_step=first_epoch * steps, **_plan(mixer))
    return stream, steps


def _seed(mixer):
    seed = getattr(mixer, "seed", None)
    return int(np.random.randint(2**31)) if seed is None else seed


def _plan(mixer):
    names = ("probability", "alpha", "per_image", "canvas", "partner", "plan")
    plan = {name: getattr(mixer, name) for name in names if getattr(mixer, name, None) is not None}
    return {"probability": 0.0, **plan}


def pair_stream(mixer, pairs, num_classes, class_counts=None, batch_size=None):
    """Batches with foregrounds from a tf.data.Dataset of (image, label): Q by `minority_stream`, the plan by the mixer.

    Args:
        pairs: single pictures, or batches, whose size stays; labels are integers or one-hot rows.
        class_counts: (C,) of the set, or None: it is read once for its labels, which is said in a line.
        batch_size: for single pictures; None: 32.
    """
    if mixer.canvas != "p" or mixer.partner != "q":
        raise UserError(f"fit: the mixer {type(mixer).__name__} takes arrays x and y or a train_stream, no data set of "
                        "pairs")
    if len(pairs.element_spec) != 2:
        raise UserError("fit: a data set for a mixer is of pairs (image, label), without sample weights")
    pairs = pairs.map(lambda image, label: (image, labels_in_step(label, num_classes)))
    shape = pairs.element_spec[0].shape
    if shape.rank == 4:
        if batch_size is not None:
            raise UserError(f"fit: batch_size={batch_size}: the data set is batched already; leave batch_size out")
        batch_size = next((len(label) for _, label in pairs.take(1)), 1) if shape[0] is None else shape[0]
        batches, pairs, shape = pairs, pairs.unbatch(), shape[1:]
    else:
        batch_size = 32 if batch_size is None else batch_size
        batches = pairs.batch(batch_size)
    if shape.rank != 3 or None in tuple(shape):
        raise UserError(f"fit: a mixer needs pictures of one known size (height, width, channels), not {shape}; "
                        "resize them in the data set")
    counts = _count(pairs, num_classes) if class_counts is None else class_counts
    foregrounds = minority_stream(pairs, counts, seed=_seed(mixer))
    # The set's own batches stay, so that their number is known: Keras counts a step more where it is not.
    return tf.data.Dataset.zip(batches, foregrounds.batch(batch_size)).map(_with_foregrounds, tf.data.AUTOTUNE)


def _with_foregrounds(background, foreground):
    rows = tf.shape(background[1])[0]
    return {"image": background[0], "label": background[1], "image_q": foreground[0][:rows],
            "label_q": foreground[1][:rows]}


def _count(pairs, num_classes):
    if pairs.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise UserError("fit: the data set is endless, so that its classes cannot be counted; leave .repeat() out, or "
                        "take a loss made from class_counts")
    counts = np.zeros(num_classes, np.int64)
    for labels in pairs.map(lambda _, label: label).batch(1024):
        counts += np.bincount(labels, minlength=num_classes)
    print(f"fit: {counts.sum()} labels counted in a pass over the data set; a loss made from class_counts saves it",
          file=sys.stderr)
    return counts


def _split_at(share, labels):
    """The first row of the validation images, as Keras' validation_split has it: the last share is split off."""
    return int(np.floor(len(labels) * (1.0 - share)))


def _check_split(share, labels):
    """A UserError for a share that leaves a side empty, or takes all images of a class: labels are often sorted."""
    if not share:
        return
    stop = _split_at(share, labels) if 0 < share < 1 else 0
    if not 0 < stop < len(labels):
        raise UserError(f"fit: validation_split={share}: leaves no picture of {len(labels)} on one of the two sides")
    if lost := sorted(set(labels[stop:].tolist()) - set(labels[:stop].tolist())):
        raise UserError(f"fit: validation_split={share}: takes the last images, among them all of class {lost[0]}; "
                        "shuffle images and labels alike before, or give validation_data")


def checked_validation(data, num_classes):
    """`validation_data` with labels checked, where it is a tuple of arrays."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        return data
    return data[0], integer_labels(data[1], num_classes, "fit: validation_data"), *data[2:]


@contextlib.contextmanager
def class_weight_in(loss, class_weight, callbacks=()):
    """Multiplies a loss's class weights by Keras' `class_weight`, a dict of label -> weight, while training goes on."""
    if class_weight is None:
        yield
        return
    if any(isinstance(callback, Reweight) for callback in callbacks or ()):
        raise UserError("fit: class_weight and a callback DRW or Reweight both set the class weights of the loss; "
                        "leave one of them out")
    wrong = [label for label in class_weight if label not in range(loss.num_classes)]
    if wrong:
        raise UserError(f"fit: class_weight: {wrong[0]!r} is no label; they are 0..{loss.num_classes - 1}")
    before = np.array(loss.class_weights)
    factors = np.array([class_weight.get(label, 1.0) for label in range(loss.num_classes)], np.float32)
    if not np.isfinite(factors).all() or (factors < 0).any():
        raise UserError("fit: class_weight: weights are finite numbers of at least 0")
    loss.class_weights.assign(before * factors)
    try:
        yield
    finally:
        loss.class_weights.assign(before)
