"""What tools/reference computes in PyTorch, as arrays: losses on given logits, batches, and a run in two parts.

    python tests/tools/reference_steps.py IN.npz OUT.npz
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.reference.losses import LOSSES, drw_weights, mixed  # noqa: E402
from tools.reference.run import Row, Run, arrays_of  # noqa: E402
from tools.reference.training import BATCH, Trainer  # noqa: E402


def losses(given):
    """Every loss on the logits, alone and mixed, without and with class weights."""
    counts, logits, labels, labels_q = (torch.from_numpy(given[k]) for k in ("counts", "logits", "labels", "labels_q"))
    weights = {"": torch.ones(len(counts)), "_drw": drw_weights(counts)}
    for name, make in LOSSES.items():
        for suffix, weight in weights.items():
            loss = make(counts.float())
            yield f"loss/{name}{suffix}", loss(logits, labels, weight)
            yield f"loss/{name}{suffix}_mixed", mixed(loss, logits, labels, labels_q, 0.7, weight)


def batches(given):
    """The normalised images, labels and shares of the batches of an epoch with CMO."""
    trainer = Trainer(Row("ce", "cmo", depth=8), given["images"], given["set_labels"])
    plan = trainer.begin(int(given["epoch"]))
    for step, start in enumerate(range(0, len(given["set_labels"]), BATCH)):
        columns = trainer.batch({name: column[start:start + BATCH] for name, column in plan.items()})
        for name, column in zip(("image", "label", "label_q", "lam"), columns, strict=True):
            yield f"batch{step}/{name}", column


def runs(given):
    """Weights and momentum after a run, and after the same run that was stopped on its way and went on."""
    train = test = (given["images"], np.arange(len(given["images"])) % 10)
    row = Row("ldam_drw", "cmo", epochs=10, max_steps=1, depth=8, eval_every=5)
    with tempfile.TemporaryDirectory() as folder:
        for name, parts in (("straight", [10]), ("parts", [3, 6, 10])):
            for stop in parts:
                run = Run(row, train, test, f"{folder}/{name}")
                run.restore()
                while run.epoch < stop:
                    run.train_epoch()
                run.save()
            yield from ((f"{name}/{key}", array) for key, array in arrays_of(run.trainer).items())
            yield f"{name}/history", np.array([entry["loss"] for entry in run.history])


def main(path, out):
    with np.load(path) as file:
        given = dict(file)
    torch.set_num_threads(1)
    pairs = [*losses(given), *batches(given), *runs(given)]
    np.savez(out, **{name: np.asarray(value) for name, value in pairs})


if __name__ == "__main__":
    main(*sys.argv[1:])
