"""CMO on CIFAR-10-LT on any backend of Keras: a layer, a loss, two callbacks and a plain keras.Model.

    KERAS_BACKEND=jax python examples/cifar10lt_any_backend.py --method=ce_drw --mix=cmo --epochs=200 --out=runs/any

KERAS_BACKEND is jax, torch or tensorflow; TensorFlow is needed for the last one only (pip install jax keras, or torch
keras; for a GPU their CUDA builds). The published recipe: ratio 100, ResNet-32, SGD, rate x0.01 at 80 % and 90 % of the
epochs, deferred re-weighting from 80 %, CMO on half of the batches from the fifth epoch to the fourth before the end.

The training set lies on the device as uint8. Batch k is a function of (seed, k): the same pictures, crops and boxes on
every backend, and in `python -m cmo_tf.main --flagfile=flags/cifar10lt_recipe.cfg` with the same seed.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout that is not installed

from cmo_tf import CMO, callbacks, long_tail, losses, models, optim  # noqa: E402
from cmo_tf.evaluation import calibration  # noqa: E402
from cmo_tf.optim.schedules import epoch_at, step_schedule  # noqa: E402
from cmo_tf.report import results  # noqa: E402
from cmo_tf.sampling.epoch_plan import epoch_plan  # noqa: E402

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])
SIZE, PAD, BATCH = 32, 4, 128
LOSSES = {"ce": losses.CrossEntropy.for_counts, "bs": losses.BalancedSoftmax, "ldam": losses.LDAM}


def parse(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description="CMO on CIFAR-10-LT on any backend of Keras")
    parser.add_argument("--method", default="ce", choices=[f"{loss}{drw}" for loss in LOSSES for drw in ("", "_drw")])
    parser.add_argument("--mix", default="none", choices=["none", "cmo"])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/any_backend", help="folder for results.json and metrics.csv")
    parser.add_argument("--data", help="x_train, y_train, x_test, y_test in an .npz file; default keras.datasets")
    parser.add_argument("--model", default="resnet32", help="resnet20, resnet32, resnet44, ...")
    parser.add_argument("--eval_every", type=int, default=5, help="epochs between two looks at the test set")
    parser.add_argument("--steps", type=int, help="at most so many steps an epoch, to try it out")
    return parser.parse_args(arguments)


# 1. The data: 12,406 of the 50,000 pictures, 5000 of the first class and 50 of the last.

def load(path):
    """((images, labels) for training, long-tailed, and for the test), from an .npz file or as Keras fetches them."""
    if path:
        with np.load(path) as file:
            train, test = ((file[f"x_{split}"], file[f"y_{split}"]) for split in ("train", "test"))
    else:
        train, test = keras.datasets.cifar10.load_data()
    train, test = ((images, labels.reshape(-1).astype("int32")) for images, labels in (train, test))
    available = long_tail.count_labels(train[1], len(NAMES))
    chosen = long_tail.select_indices(train[1], long_tail.long_tailed_counts(available, imbalance_ratio=100), seed=0)
    return (train[0][chosen], train[1][chosen]), test


# 2. The batches: a plan (numpy, a few kilobytes) says what each holds; pixels are made where they are used.

def mixes(options, epoch):
    """Whether the published window lets CMO mix in an epoch."""
    return options.mix == "cmo" and 4 <= epoch < options.epochs - 3


def plan_of(labels, options, epoch):
    """The plan of an epoch: order, crops, flips and, with CMO, foregrounds from Q and boxes."""
    return epoch_plan(labels, epoch, batch_size=BATCH, seed=options.seed, probability=0.5 * mixes(options, epoch))


def on_device(images, labels):
    """The training set as two tensors: the padded pictures, a row a pixel, and the labels."""
    padded = np.pad(images, [(0, 0), (PAD, PAD), (PAD, PAD), (0, 0)])
    return ops.convert_to_tensor(padded.reshape(-1, 3)), ops.convert_to_tensor(labels, "int32")


def crop(pixels, index, corner, flip):
    """Images (B, 32, 32, 3) uint8: rows `index` of the set, each cropped at its corner and mirrored where `flip`."""
    side, padded = ops.arange(SIZE, dtype="int32"), SIZE + 2 * PAD
    rows = corner[:, :1] + side
    columns = corner[:, 1:] + ops.where(flip[:, None], SIZE - 1 - side, side)
    place = (index[:, None] * padded + rows)[:, :, None] * padded + columns[:, None, :]
    return ops.take(pixels, place, axis=0)


def mixed_batch(data, cmo, plan):
    """(image, label, pair) for a model with `losses.Mixed`: what a plan of B rows stands for, the patches pasted."""
    pixels, labels = data
    batch = {"image": crop(pixels, plan["index"], plan["corner"], plan["flip"]),
             "label": ops.take(labels, plan["index"]),
             "image_q": crop(pixels, plan["index_q"], plan["corner_q"], plan["flip_q"]),
             "label_q": ops.take(labels, plan["index_q"]), "box": plan["box"]}
    return CMO.pack(cmo(batch, training=True))


def batches(images, labels, options):
    """Every batch of the run, in order."""
    data, cmo = on_device(images, labels), CMO()
    for epoch in range(options.epochs):
        plan = plan_of(labels, options, epoch)
        for step in range(steps_per_epoch(labels, options)):
            rows = slice(step * BATCH, (step + 1) * BATCH)
            yield mixed_batch(data, cmo, {name: ops.convert_to_tensor(column[rows]) for name, column in plan.items()})


def steps_per_epoch(labels, options):
    """Batches of an epoch, the short last one included."""
    return min(-(-len(labels) // BATCH), options.steps or sys.maxsize)


# 3. The model: pixels 0..255 in, logits (for LDAM cosines) out, and a loss that takes both labels of a mixed image.

def build(counts, options):
    """The compiled keras.Model."""
    loss = LOSSES[options.method.removesuffix("_drw")](counts)
    keras.utils.set_random_seed(options.seed)
    network = models.create(options.model, len(counts), (SIZE, SIZE, 3), head=loss.head, seed=options.seed)
    normalize = keras.layers.Rescaling((1 / 255 / STD).tolist(), (-MEAN / STD).tolist())
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3), dtype="uint8"), normalize, network])
    model.compile(optim.SGD(0.1, momentum=0.9, l2=2e-4), losses.Mixed(loss))
    return model


def rate(options, epoch):
    """The published learning rate of an epoch."""
    return step_schedule(epoch, base_lr=0.1, epochs=options.epochs, warmup_epochs=min(5, options.epochs))


def drw(counts, options):
    """Deferred re-weighting: class weights in the last fifth, for the methods that have it."""
    start = epoch_at(0.8, options.epochs) if options.method.endswith("_drw") else options.epochs
    return callbacks.DRW(counts, start)


# 4. The figures: the last epoch's, and the best of those that were looked at.

class Evaluate(keras.callbacks.Callback):
    """Predicts the test set every `eval_every` epochs and after the last one."""

    def __init__(self, test, counts, options):
        super().__init__()
        self.test, self.counts, self.options, self.history = test, counts, options, []

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, "loss": float(logs["loss"]), "lr": rate(self.options, epoch)}
        if (epoch + 1) % self.options.eval_every == 0 or epoch + 1 == self.options.epochs:
            logits = self.model.predict(self.test[0], batch_size=500, verbose=0)
            self.figures = figures(logits, self.test[1], self.counts, self.model.loss.logit_scale)
            row |= self.figures["accuracy"]
        self.history.append(row)
        print(*(f"{name}={value:.6g}" for name, value in row.items() if value is not None), flush=True)


def figures(logits, labels, counts, logit_scale):
    """Accuracy of all and by group and class, and calibration, as results.json of the program has them."""
    predictions = calibration.predictions_from_logits(labels, logits, logit_scale)
    return results.evaluate(predictions, counts, NAMES, long_tail.shot_groups(counts))


def write(options, steps, history, last, seconds):
    """results.json and metrics.csv in the folder `--out`, in the form of the program's."""
    best = max((row for row in history if "all" in row), key=lambda row: row["all"])
    accuracy = {name: best[name] for name in last["accuracy"]}
    Path(options.out).mkdir(parents=True, exist_ok=True)
    results.write_history(options.out, history)
    results.write_results(options.out, last | {
        "best": {"accuracy": accuracy, "epoch": best["epoch"], "split": "test"}, "epochs": options.epochs,
        "steps": options.epochs * steps, "seed": options.seed, "seconds": seconds,
        "flags": {name: value for name, value in vars(options).items() if name not in ("data", "out")},
        "versions": {"keras": keras.__version__, "backend": keras.backend.backend()}})


def main(arguments=None):
    """Trains one row and writes its figures."""
    options = parse(arguments)
    (images, labels), test = load(options.data)
    counts = long_tail.count_labels(labels, len(NAMES))
    model, evaluate, began = build(counts, options), Evaluate(test, counts, options), time.monotonic()
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: rate(options, epoch))
    steps = steps_per_epoch(labels, options)
    model.fit(batches(images, labels, options), epochs=options.epochs, steps_per_epoch=steps, shuffle=False, verbose=0,
              callbacks=[schedule, drw(counts, options), evaluate])
    write(options, steps, evaluate.history, evaluate.figures, time.monotonic() - began)


if __name__ == "__main__":
    main()
