"""Measures what an image drawn from Q costs in the three forms of `--q_source`, on labels alone (nothing is decoded).

    python tools/maintain/q_cost.py [--num_classes=100] [--max_count=500] [--imbalance_ratio=100] [--images=2000]

The defaults are the labels of CIFAR-100-LT at ratio 100. Prints the table of docs/q_sources.md: the start (until the
first batch of 128) and each image from then on in processor time, which other programs hardly change, and the records
that are read for an image.
"""

import os
import sys
import time
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a checkout that is not installed
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from cmo_tf.core.errors import UserError  # noqa: E402
from cmo_tf.long_tail import class_counts  # noqa: E402

BATCH = 128
FORMS = ("index", "rejection", "interleave, a reader a class", "interleave, filtering the set")


def draws(form, labels, counts, records, readers):
    """Endless dataset of batches of one form, each an int64 (BATCH,) of image indices."""
    import tensorflow as tf

    from cmo_tf.pipeline.order import index_draw
    from cmo_tf.pipeline.plan import Draw
    from cmo_tf.pipeline.records import minority_stream
    from cmo_tf.sampling import class_distribution, class_table
    if form == "index":
        draw = index_draw(class_table(labels, class_distribution(counts)), seed=0)
        return tf.data.Dataset.counter().map(lambda step: draw(step, tf.constant(BATCH, tf.int64), Draw.FOREGROUND))
    readers = readers if form.endswith("class") else None
    stream = minority_stream(records, counts, method=form.split(",")[0], readers=readers)
    return stream.map(lambda index, _: index).batch(BATCH)


def seconds(dataset, images):
    """Processor seconds (to the first batch, an image after it)."""
    began = time.process_time()
    batches = iter(dataset)
    next(batches)
    first = time.process_time()
    steps = max(images // BATCH, 1)
    for _ in range(steps):
        next(batches)
    return first - began, (time.process_time() - first) / (steps * BATCH)


def records_read(form, counts):
    """Records read for an image in the long run, from the class counts: exact, not measured."""
    if form == "rejection":
        return counts.sum() / (len(counts) * counts.min())
    return float(np.mean(counts.sum() / counts)) if form.endswith("set") else 1.0


def table(counts, images) -> list[str]:
    """Rows of the table in Markdown."""
    import tensorflow as tf
    labels = np.random.RandomState(0).permutation(np.repeat(np.arange(len(counts)), counts))
    records = tf.data.Dataset.from_tensor_slices((np.arange(len(labels)), labels.astype(np.int64)))

    def reader(label):
        mine = np.flatnonzero(labels == int(label))
        return tf.data.Dataset.from_tensor_slices((mine, np.full(len(mine), label, np.int64)))

    rows = ["| form | start, s | µs an image | records read an image |", "|---|---|---|---|"]
    for form in FORMS:
        start, each = seconds(draws(form, labels, counts, records, reader), images)
        rows.append(f"| {form} | {start:.2f} | {each * 1e6:.1f} | {records_read(form, counts):.0f} |")
    return rows


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_integer("num_classes", 100, "classes", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("max_count", 500, "images of the largest class", lower_bound=1, flag_values=values)
    flags.DEFINE_float("imbalance_ratio", 100, "largest over smallest class", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("images", 2_000, "images to draw in each form", lower_bound=1, flag_values=values)
    try:
        values([__file__, *(sys.argv[1:] if arguments is None else arguments)])
        counts = np.maximum(class_counts(values.num_classes, values.max_count, values.imbalance_ratio), 1)
        print("\n".join(table(counts, values.images)))
        return 0
    except (UserError, flags.Error) as error:
        print(f"q_cost: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
