"""Labels as callers have them, integers or exact one-hot rows, made integers (B,) and checked: arrays and in a step."""

import contextlib
import re

import numpy as np
import tensorflow as tf

from cmo_tf.core.class_counts import check_labels
from cmo_tf.core.errors import UserError

SOFT = "no one-hot row; soft labels cannot be used: give integers, a mixer makes the mixed labels"
MARK = "wrong labels:"


def integer_labels(labels, num_classes, where):
    """int (N,) from labels (N,), (N, 1) or one-hot rows (N, C), arrays or tensors; a UserError names the first row that
    is none of these. `where` leads the message."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == num_classes > 1:
        largest = labels.max(axis=1, initial=0)
        soft = np.flatnonzero((largest != 1) | (np.count_nonzero(labels, axis=1) != 1))
        if soft.size:
            raise UserError(f"{where}: row {soft[0]} is {labels[soft[0]].tolist()[:10]}, {SOFT}")
        return labels.argmax(axis=1)
    if labels.ndim == 2 and labels.shape[1] != 1:
        raise UserError(f"{where}: labels of shape {labels.shape} are neither integers (N,) nor one-hot rows of "
                        f"{num_classes} classes")
    labels = labels.reshape(-1)
    check_labels(labels, num_classes, where)
    return labels


def labels_in_step(labels, num_classes):
    """int32 (B,) from what a data set yields: (B,), (B, 1), one-hot rows (B, C), or () and (C,) of a single picture.

    Wrong ones stop a graph on CPU with a line that `in_one_line` finds; XLA leaves the check out.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.dtype == tf.bool:
        labels = tf.cast(labels, tf.int32)
    if labels.shape.rank is None:  # of a graph that saw integers and one-hot rows
        return tf.cond((tf.rank(labels) == 2) & (tf.shape(labels)[-1] == num_classes),
                       lambda: labels_in_step(tf.ensure_shape(labels, [None, num_classes]), num_classes),
                       lambda: labels_in_step(tf.reshape(labels, [-1]), num_classes))
    if labels.shape.rank and labels.shape[-1] == num_classes > 1:
        exact = tf.reduce_all(tf.reduce_sum(tf.cast(labels == 1, tf.int32), -1) == 1) & tf.reduce_all(
            tf.reduce_sum(tf.cast(labels != 0, tf.int32), -1) == 1)
        with tf.control_dependencies([tf.debugging.Assert(exact, [f"{MARK} a row is {SOFT}"])]):
            return tf.argmax(labels, -1, tf.int32)
    if labels.shape.rank == 2:
        if labels.shape[-1] != 1:
            raise UserError(f"labels of shape {tuple(labels.shape)} are neither integers (B,) nor one-hot rows of "
                            f"{num_classes} classes")
        labels = labels[:, 0]
    whole = tf.cast(labels, tf.int32)
    low, high = tf.reduce_min(whole), tf.reduce_max(whole)
    right = (low >= 0) & (high < num_classes) & tf.reduce_all(tf.cast(whole, labels.dtype) == labels)
    told = [f"{MARK} from", low, "to", high, f"of the kind {labels.dtype.name}; they are whole numbers 0.."
            f"{num_classes - 1} with {num_classes} classes: where they begin at 1, take 1 from each"]
    with tf.control_dependencies([tf.debugging.Assert(right, told)]):
        return tf.identity(whole)


@contextlib.contextmanager
def in_one_line(where):
    """Makes the error of a graph that `labels_in_step` has stopped a UserError of one line."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if told := re.search(rf"\[({MARK}[^\n]*?)\](?! \[)", str(error)):
            raise UserError(f"{where}: {told[1].replace('] [', ' ')}") from None
        raise
