"""Sub-benchmarks that other tools have the sides of: decoding large JPEGs, and building the split of a large set."""

import tempfile

from tools.maintain import benchmark_decode, scaling
from tools.maintain.benchmarks.rounds import Bench, Stopwatch


def make_decode(options) -> Bench:
    """Random resized crops of large JPEGs against plain tf.data pipelines, see tools/maintain/benchmark_decode.py."""
    bench, batch, number = Bench("images", {}), min(options.batch_size, 64), 16 * options.steps
    if options.data_dir:
        paths = benchmark_decode.find_files(options.data_dir, number)
    else:
        paths = benchmark_decode.make_files(bench.close.enter_context(tempfile.TemporaryDirectory()), number)
    batch = min(batch, number)
    bench.sides = {name: reader(stream, batch, options.steps)
                   for name, stream in benchmark_decode.make_sides(paths, batch).items()}
    bench.ratios = {"ours over plain": (benchmark_decode.OURS, benchmark_decode.PLAIN)}
    return bench


def reader(stream, batch, batches):
    """A side that reads batches of an endless stream, each time from a new iterator."""
    def run():
        rows = iter(stream)
        next(rows)
        with Stopwatch() as watch:
            for _ in range(batches):
                next(rows)
        return watch.stretch(batches * batch)
    return run


def make_split(options) -> Bench:
    """Counts, split, groups, fingerprint and Q of a set as large as iNaturalist 2018, see tools/maintain/scaling.py."""
    images, classes = scaling.INATURALIST
    labels = scaling.labels_of(images, classes)

    def run():
        with Stopwatch() as watch:
            scaling.split_and_q(labels, classes)
        return watch.stretch(1)
    return Bench("sets", {f"{images:,} images, {classes:,} classes": run})
