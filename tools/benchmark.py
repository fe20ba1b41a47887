"""Measures images per second: the streams alone, and the training step without and with CMO, in alternating rounds.

    python tools/benchmark.py [--model=resnet32 --batch_size=128 --rounds=5 --steps=20] [--json=FILE]

Images are random pixels of CIFAR-10-LT's shape and class counts (ratio 100): the work is the same, and no data set is
needed. Every round takes each side once, in turn, so that a noisy machine hits both alike; the ratio is the median of
the rounds' ratios.
"""

import json
import os
import platform
import statistics
import sys
import time

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cmo_tf.errors import UserError  # noqa: E402
from cmo_tf.training import memory  # noqa: E402


def make_sides(model, batch_size, steps):
    """Name -> function that runs one measured stretch and returns images per second."""
    import keras
    import numpy as np

    from cmo_tf import CMO, LongTailClassifier, long_tail, models
    from cmo_tf.losses import CrossEntropy
    from cmo_tf.optim import SGD
    from cmo_tf.pipeline import train_stream
    counts = long_tail.class_counts(10, 5000, 100)
    labels = np.repeat(np.arange(10), counts)
    images = np.random.RandomState(0).randint(0, 256, (len(labels), 32, 32, 3), np.uint8)

    def stream(probability):
        return train_stream(images, labels, batch_size=batch_size, seed=0, augment="pad4_flip", drop_remainder=True,
                            probability=probability)

    def read(probability, stretch):
        batches = iter(stream(probability))

        def run():
            began = time.perf_counter()
            for _ in range(stretch):
                next(batches)
            return stretch * batch_size / (time.perf_counter() - began)
        return run

    def train(probability, mixer):
        network = models.create(model, 10, (32, 32, 3), seed=0)
        classifier = LongTailClassifier(network, mixer=mixer, preprocess=keras.layers.Rescaling(1 / 127.5, -1.0))
        classifier.compile(SGD(0.01, l2=2e-4), CrossEntropy())
        data = stream(probability)

        def run():
            timer = _StepTimer()
            classifier.fit(data, steps_per_epoch=steps + timer.skipped, verbose=0, callbacks=[timer.callback()])
            return steps * batch_size / timer.seconds
        return run

    return {"P stream": read(0.0, 20 * steps), "P+Q stream": read(1.0, 20 * steps),
            "step": train(0.0, None), "step + CMO": train(0.5, CMO(seed=0)),
            "step + CMO, every batch": train(1.0, CMO(seed=0))}


class _StepTimer:
    """Times the steps of one fit, without its first ones, in which the stream starts."""

    def __init__(self, skipped=3):
        self.skipped, self.seen, self.seconds = skipped, 0, 0.0

    def callback(self):
        import keras
        return keras.callbacks.LambdaCallback(on_train_batch_end=self._step)

    def _step(self, batch, logs):
        now = time.perf_counter()
        if self.seen == self.skipped - 1:
            self.began = now
        self.seen += 1
        if self.seen >= self.skipped:
            self.seconds = now - self.began


def measure(sides, rounds):
    """{name: [images per second of each round]} after a warm-up round."""
    found = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            value = run()
            if number:
                found[name].append(value)
        print(f"round {number}/{rounds}" if number else "warm-up done", file=sys.stderr, flush=True)
    return found


def summary(found):
    """Medians, spreads, ratios and memory as a plain dict."""
    rows = {name: {"median": round(statistics.median(v), 1), "low": round(min(v), 1), "high": round(max(v), 1)}
            for name, v in found.items()}
    added = {name: 100 * (statistics.median(a / b for a, b in zip(found["step"], found[name], strict=True)) - 1)
             for name in found if name.startswith("step +")}
    return {"images_per_second": rows, "cmo_adds_percent": {k: round(v, 2) for k, v in added.items()},
            "stream_over_step": round(rows["P+Q stream"]["median"] / rows["step"]["median"], 1),
            "peak_rss_bytes": memory.peak_rss(),
            "machine": {"cores": os.cpu_count(), "processor": platform.machine()}}


def show(result):
    """The table for people."""
    print(f"{'images/s':<26}{'median':>10}{'low':>10}{'high':>10}")
    for name, row in result["images_per_second"].items():
        print(f"{name:<26}{row['median']:>10}{row['low']:>10}{row['high']:>10}")
    for name, percent in result["cmo_adds_percent"].items():
        print(f"{name}: {percent:+.2f} % time a step over the plain one (median of the rounds' ratios)")
    print(f"P+Q stream over training step: {result['stream_over_step']} times")
    print(f"peak memory: {result['peak_rss_bytes'] / 2**20:.0f} MiB")


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_string("model", "resnet32", "network", flag_values=values)
    flags.DEFINE_integer("batch_size", 128, "images a step", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("rounds", 5, "measured rounds", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("steps", 20, "measured steps a round", lower_bound=1, flag_values=values)
    flags.DEFINE_string("json", None, "also write the figures to this file", flag_values=values)
    try:
        values([__file__, *(sys.argv[1:] if arguments is None else arguments)])
        from cmo_tf.main import import_tensorflow
        import_tensorflow()
        result = summary(measure(make_sides(values.model, values.batch_size, values.steps), values.rounds))
    except (UserError, flags.Error) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    show(result)
    if values.json:
        with open(values.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
