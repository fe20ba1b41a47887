"""Evaluation of a test split whose last batch is short, as the program does it after an epoch."""

import numpy as np

from tools.maintain.benchmarks import material
from tools.maintain.benchmarks.rounds import Bench, Stopwatch


def make(options) -> Bench:
    """`Evaluator.predict` at its default batch, and Keras' own `predict`."""
    from cmo_tf.classifier.evaluator import Evaluator
    from cmo_tf.datasets import Split
    network = material.classifier(options).network
    size = 110 * options.steps
    split = Split(np.random.RandomState(1).randint(0, 256, (size, 32, 32, 3), np.uint8), np.arange(size) % 10)
    evaluator = Evaluator(network)

    def ours():
        with Stopwatch() as watch:
            found = evaluator.predict(split, (32, 32))
        if len(found.labels) != size:
            raise RuntimeError(f"{len(found.labels)} predictions for {size} images")
        return watch.stretch(size)

    def keras_predict():
        with Stopwatch() as watch:
            network.predict(split.images, batch_size=evaluator.batch_size, verbose=0)
        return watch.stretch(size)

    def notes(result):
        return [f"{size} images in batches of {evaluator.batch_size}; graphs traced: {evaluator.traces}"]
    return Bench("images", {"Evaluator": ours, "keras predict": keras_predict},
                 {"Evaluator over keras predict": ("Evaluator", "keras predict")}, notes)
