"""Rows of examples/cifar10lt_any_backend.py on JAX with an epoch as one program on the device.

    KERAS_BACKEND=jax python tools/gpu/ours.py --data=DIR --out=rows.jsonl [--rows=ce,ce_cmo] [--limit_s=400]

The model, the batches, the rate and the weights are the example's; only its `fit` is replaced: 96 full steps are one
`lax.scan`, the short one follows. CE and CE-DRW are the same run up to the epoch of the weights, so that the second
goes on from the state of the first there.
"""

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

os.environ["KERAS_BACKEND"] = "jax"
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from cmo_tf.mixing.cmo import CMO  # noqa: E402
from cmo_tf.optim.schedules import epoch_at  # noqa: E402
from tools.gpu import pack, rows  # noqa: E402

COLUMNS = ("index", "index_q", "corner", "corner_q", "flip", "flip_q", "box")
CHUNK = 500


def load_example():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples/cifar10lt_any_backend.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = load_example()


class Program:
    """The compiled epoch and evaluation of one kind of loss.

    A state is (trainable variables, other variables, optimiser's variables).
    """

    def __init__(self, options, train, test):
        self.counts = np.bincount(train[1])
        self.model = example.build(self.counts, options)
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.loss.build(len(self.counts))  # its weights would be born inside of the program otherwise
        self.data, self.test = example.on_device(*train), jnp.asarray(test[0])
        self.cmo = CMO()
        self.rate = next(i for i, v in enumerate(self.model.optimizer.variables) if v.path.endswith("learning_rate"))
        self._compiled_epoch, self._compiled_logits = jax.jit(self._epoch), jax.jit(self._logits)

    def start(self):
        """The state of the model as it was built."""
        model = self.model
        kinds = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
        return tuple([variable.value for variable in kind] for kind in kinds)

    def _objective(self, trainable, other, weights, image, targets):
        with keras.StatelessScope(state_mapping=[(self.model.loss.class_weights, weights)]):
            logits, other = self.model.stateless_call(trainable, other, image, training=True)
            return self.model.loss(targets[0], logits, *targets[1:]), other

    def epoch(self, state, full, last, rate, weights):
        """State and mean loss after the full batches (S, B, ...) and the short one, which is None if there is none."""
        return self._compiled_epoch(self.data, state, full, last, rate, weights)

    def logits(self, state):
        """Of the test set (N, C)."""
        return self._compiled_logits(self.test, state)

    # The pictures are arguments of what is compiled: closed over, they would be written into the program.

    def _step(self, data, state, plan, weights):
        trainable, other, optimizer = state
        image, *targets = example.mixed_batch(data, self.cmo, plan)
        gradient = jax.value_and_grad(self._objective, has_aux=True)
        (loss, other), gradients = gradient(trainable, other, weights, image, targets)
        trainable, optimizer = self.model.optimizer.stateless_apply(optimizer, gradients, trainable)
        return (trainable, other, optimizer), loss

    def _epoch(self, data, state, full, last, rate, weights):
        optimizer = list(state[2])
        optimizer[self.rate] = rate
        state = (*state[:2], optimizer)
        state, losses = jax.lax.scan(lambda state, plan: self._step(data, state, plan, weights), state, full)
        if last is not None:
            state, loss = self._step(data, state, last, weights)
            losses = jnp.append(losses, loss)
        return state, losses.mean()

    def _logits(self, test, state):
        def one(images):
            return self.model.stateless_call(state[0], state[1], images, training=False)[0]
        size = next(size for size in (CHUNK, len(test)) if len(test) % size == 0)
        return jax.lax.map(one, test.reshape(-1, size, *test.shape[1:])).reshape(len(test), -1)


def plans(labels, options, epoch):
    """(full, last) of an epoch: columns (S, B, ...), and (b, ...) of the short batch or None."""
    plan, size = example.plan_of(labels, options, epoch), example.BATCH
    steps = min(len(labels) // size, options.steps or sys.maxsize)
    full = {name: plan[name][:steps * size].reshape(steps, size, *plan[name].shape[1:]) for name in COLUMNS}
    rest = len(labels) % size and (not options.steps or options.steps > steps)
    return full, {name: plan[name][steps * size:] for name in COLUMNS} if rest else None


class Row:
    """A row on its way.

    Args:
        name: of the row; options: of the example; program, data: what trains it.
        state, history: what it goes on from, those of another row for a branch of it.
    """

    def __init__(self, name, options, program, data, state=None, history=()):
        self.name, self.options, self.program, (self.train_set, self.test) = name, options, program, data
        self.state, self.history = state or program.start(), list(history)
        self.first, self.figures, self.right = len(self.history), None, None
        self.drw = example.drw(program.counts, options)

    def train(self, book, stop):
        """Trains up to epoch `stop`; False if the time was over before."""
        began, timed = time.monotonic(), len(self.history)
        for epoch in range(len(self.history), stop):
            if book.late():
                return False
            weights = jnp.asarray(self.drw.weights(epoch), "float32")
            self.state, loss = self.program.epoch(self.state, *plans(self.train_set[1], self.options, epoch),
                                                  jnp.float32(example.rate(self.options, epoch)), weights)
            self.history.append({"epoch": epoch + 1, "loss": loss})
            if (epoch + 1) % self.options.eval_every == 0 or epoch + 1 == self.options.epochs:
                self.look()
                if timed:  # not those in which the program was compiled
                    book.pace = (time.monotonic() - began) / (epoch + 1 - timed)
                began, timed = time.monotonic(), epoch + 1
        return True

    def look(self):
        """Figures of the test set; the losses so far come from the device with them."""
        logits, labels = np.asarray(self.program.logits(self.state)), self.test[1]
        self.figures = example.figures(logits, labels, self.program.counts, self.program.model.loss.logit_scale)
        self.right = logits.argmax(1) == labels
        self.history[-1]["all"] = self.figures["accuracy"]["all"]
        for row in self.history:
            row["loss"] = float(row["loss"])

    def run(self, book, branch_at=None):
        """Trains and writes the row; (state, history) at epoch `branch_at`, or None."""
        left, began, branch = self.options.epochs - self.first, time.monotonic(), None
        if not book.fits(left):
            book.say(self.name, left_out=f"{left} epochs at {book.pace:.2f} s do not fit")
            return None
        if branch_at is not None and self.train(book, branch_at):
            branch = self.state, [dict(row) for row in self.history]
        if not self.train(book, self.options.epochs):
            book.say(self.name, stopped_at=len(self.history), accuracy=self.figures and self.figures["accuracy"])
            return None
        steps = example.steps_per_epoch(self.train_set[1], self.options) * self.options.epochs
        book.write(self.name, self.options, self.figures, self.right, self.history, from_epoch=self.first, steps=steps,
                   seconds=time.monotonic() - began, versions=versions())
        return branch


def run(name, options, programs, data, book):
    """The row `name` and, from a row of cross-entropy, its DRW branch; each is written when it is done."""
    options = SimpleNamespace(**vars(options), mix="cmo" if name.endswith("_cmo") else "none", eval_every=5,
                              model=f"resnet{options.depth}", method=name.removesuffix("_cmo"))
    branches, deferred = options.method == "ce", name.replace("ce", "ce_drw", 1)
    if not book.missing(name, options) and not (branches and book.missing(deferred, options)):
        return
    loss = options.method.removesuffix("_drw")
    if loss not in programs:
        programs[loss] = Program(options, *data)
    branch = Row(name, options, programs[loss], data).run(book, epoch_at(0.8, options.epochs) if branches else None)
    if branch is not None:
        options.method = "ce_drw"
        Row(deferred, options, programs[loss], data, *branch).run(book)


def versions():
    """Of what computed, and the card."""
    return {"jax": jax.__version__, "keras": keras.__version__, "device": jax.devices()[0].device_kind}


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description="Our rows on JAX")
    rows.add_arguments(parser)
    options = parser.parse_args(arguments)
    example.BATCH = options.batch_size
    book, data, programs = rows.Book(options.out, options.have, options.limit_s), pack.load(options.data), {}
    for name in options.rows.split(","):
        if not book.late():
            run(name, options, programs, data, book)


if __name__ == "__main__":
    main()
