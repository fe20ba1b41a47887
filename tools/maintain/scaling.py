"""Measures what splits, Q and evaluation cost as a set grows: the tables of docs/scaling.md.

    python tools/maintain/scaling.py [--largest=10000000] [--rounds=3]

Labels are synthetic with the long tail of iNaturalist 2018 (ratio 500). Time is the least of the rounds in processor
time, memory what the step allocates at its peak beyond the labels it is given.
"""

import os
import sys
import time
import tracemalloc
from pathlib import Path

from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a checkout that is not installed
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from cmo_tf import long_tail, sampling  # noqa: E402
from cmo_tf.core.errors import UserError  # noqa: E402
from cmo_tf.evaluation import metrics  # noqa: E402
from cmo_tf.report import results  # noqa: E402

INATURALIST = (437_513, 8_142)
IMAGES = (10_000, 100_000, 1_000_000, 10_000_000)
CLASSES = (10, 1_000, 10_000, 100_000)
REPLICAS = (1, 4, 16, 64)
RATIO = 500


def labels_of(images: int, classes: int) -> np.ndarray:
    """Shuffled labels int64 (about `images`,) of a long-tailed set, every class with an image."""
    shape = np.asarray(long_tail.class_counts(classes, 10**6, RATIO), np.float64)
    counts = np.maximum(np.round(shape / shape.sum() * images), 1).astype(int)
    labels = np.repeat(np.arange(classes), counts)
    np.random.default_rng(0).shuffle(labels)
    return labels


def split_and_q(labels: np.ndarray, classes: int):
    """What a run builds before its first batch: counts, split, groups, fingerprint, Q and the table it draws from."""
    counts = long_tail.count_labels(labels, classes)
    kept = long_tail.select_indices(labels, counts)
    long_tail.shot_groups(counts)
    long_tail.fingerprint(kept)
    return sampling.class_table(labels[kept], sampling.class_distribution(counts))


def evaluation(labels: np.ndarray, classes: int):
    """Everything in results.json that follows from predictions, and the most frequent confusions."""
    rng = np.random.default_rng(1)
    wrong = rng.random(len(labels)) < 0.3
    predicted = np.where(wrong, rng.integers(0, classes, len(labels)), labels)
    counts = long_tail.count_labels(labels, classes)
    predictions = metrics.Predictions(labels, predicted, rng.random(len(labels), np.float32))
    names = [str(k) for k in range(classes)]
    return results.evaluate(predictions, counts, names, long_tail.shot_groups(counts)), \
        metrics.confusion_pairs(labels, predicted)[:10]


def cost(function, *arguments, rounds: int = 3) -> tuple[float, float]:
    """(processor seconds, peak MiB beyond what was there before) of a call."""
    least = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        function(*arguments)
        least = min(least, time.process_time() - began)
    tracemalloc.start()
    function(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return least, peak / 2**20


def draw_cost(labels: np.ndarray, classes: int, batch: int = 1024, batches: int = 20) -> float:
    """Microseconds of an image drawn from Q, in batches, in the graph that the stream runs."""
    import tensorflow as tf

    from cmo_tf.pipeline.order import index_draw
    from cmo_tf.pipeline.plan import Draw
    counts = long_tail.count_labels(labels, classes)
    draw = index_draw(sampling.class_table(labels, sampling.class_distribution(counts)), seed=0)
    step = tf.function(lambda i: draw(i, tf.constant(batch, tf.int64), Draw.FOREGROUND))
    step(tf.constant(0, tf.int64))
    began = time.process_time()
    for number in range(batches):
        step(tf.constant(number, tf.int64))
    return (time.process_time() - began) / (batch * batches) * 1e6


def step_cost(replicas: int, rows: int = 64, steps: int = 50) -> float:
    """Milliseconds that one of `replicas` workers takes for its `rows` rows of a batch: order, plan and draws of the
    whole batch, pixels (1x1 here, so that nothing else counts) of its own rows."""
    from cmo_tf.pipeline import train_stream
    labels = labels_of(115_846, 1_000)
    stream = train_stream(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, batch_size=rows * replicas, seed=0,
                          shard=(0, replicas), probability=1.0)
    batches = iter(stream)
    next(batches)
    began = time.process_time()
    for _ in range(steps):
        next(batches)
    return (time.process_time() - began) / steps * 1e3


def table(header, rows):
    """Prints Markdown."""
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def rows(sizes, rounds):
    """A row of cells a size (images, classes)."""
    for images, classes in sizes:
        labels = labels_of(images, classes)
        split, q = cost(split_and_q, labels, classes, rounds=rounds), draw_cost(labels, classes)
        tested = labels[: 100_000]
        judged = cost(evaluation, tested, classes, rounds=rounds)
        yield [f"{len(labels):,}", f"{classes:,}", f"{split[0]:.2f}", f"{split[1]:.0f}", f"{q:.2f}",
               f"{judged[0]:.2f}", f"{judged[1]:.0f}"]


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_integer("largest", IMAGES[-1], "most images", lower_bound=1000, flag_values=values)
    flags.DEFINE_integer("rounds", 3, "repeats of each measurement", lower_bound=1, flag_values=values)
    try:
        stray = values([__file__, *(sys.argv[1:] if arguments is None else arguments)])[1:]
        if stray:
            raise UserError(f"{stray[0]!r} is no flag; write --name=value")
    except (UserError, flags.Error) as error:
        print(f"scaling: {error}", file=sys.stderr)
        return 2
    header = ["images", "classes", "split and Q, s", "MiB", "a draw of Q, µs", "evaluation of up to 100,000, s", "MiB"]
    table(header, rows([INATURALIST] if INATURALIST[0] <= values.largest else [], values.rounds))
    table(header, rows([(n, 1_000) for n in IMAGES if n <= values.largest], values.rounds))
    table(["replicas", "batch", "a worker's share of a batch, ms"],
          ([str(n), f"{64 * n:,}", f"{step_cost(n):.2f}"] for n in REPLICAS))
    table(header, rows([(min(1_000_000, values.largest), c) for c in CLASSES], values.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
