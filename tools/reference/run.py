"""A row from its first epoch, or its last checkpoint, to the files that a run of the program leaves."""

import os
import platform
import sys
import time
from typing import NamedTuple

import numpy as np
import torch

from cmo_tf import long_tail
from cmo_tf.core.errors import UserError
from cmo_tf.evaluation import calibration
from cmo_tf.report import results
from cmo_tf.run.checkpoint import CheckpointStore
from tools.reference.losses import LDAM_SCALE
from tools.reference.training import BATCH, Trainer

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Row(NamedTuple):
    """What makes a row what it is; `max_steps` of every epoch where it is not None."""

    method: str
    mix: str = "none"
    epochs: int = 200
    seed: int = 0
    eval_every: int = 5
    max_steps: int | None = None
    depth: int = 32

    @property
    def loss(self):
        return self.method.removesuffix("_drw")

    @property
    def drw(self):
        return self.method.endswith("_drw")

    @property
    def cmo(self):
        return self.mix == "cmo"


class Run:
    """A row on its way.

    Args:
        row: a Row.
        train, test: (images, labels) each.
        folder: of the run; None for one that leaves no files.
        device: of PyTorch.
        trainer: the kind of Trainer.
    """

    def __init__(self, row, train, test, folder, device="cpu", trainer=Trainer):
        self.row, self.test, self.folder, self.device = row, test, folder, device
        self.trainer, self.counts = trainer(row, *train, device), np.bincount(train[1])
        self.steps = min(-(-len(train[1]) // BATCH), row.max_steps or sys.maxsize)
        self.store = None if folder is None else CheckpointStore(os.path.join(folder, "checkpoints"))
        self.history, self.epoch, self.seconds, self.resumed, self.log = [], 0, 0.0, [], []

    def restore(self):
        """Goes on from the newest checkpoint, if there is one; another run's is refused."""
        self.store.sweep()
        saved = self.store.load()
        if saved is None:
            return
        arrays, meta, skipped = saved
        if meta["row"] != self.row._asdict():
            raise UserError(f"--run_dir={self.folder}: holds another run, {meta['row']}; name another folder")
        load_arrays(self.trainer, arrays)
        self.history, self.epoch, self.seconds, self.log = (meta[k] for k in ("history", "epoch", "seconds", "log"))
        self.resumed = [*meta["resumed"], meta["step"]]
        for line in [*skipped, f"resumed after epoch {self.epoch}"]:
            self.say(line)

    def save(self):
        """Writes a checkpoint of the epochs that are over."""
        meta = {"row": self.row._asdict(), "history": self.history, "epoch": self.epoch, "seconds": self.seconds,
                "log": self.log, "resumed": self.resumed}
        self.store.save(self.epoch * self.steps, arrays_of(self.trainer), meta)

    def go(self, checkpoint_every=5, deadline=None):
        """Trains what is left and writes the files; False if `deadline` (of time.monotonic) came first."""
        while self.epoch < self.row.epochs:
            if deadline is not None and time.monotonic() > deadline:
                return False
            began = time.monotonic()
            self.train_epoch()
            self.seconds += time.monotonic() - began
            if self.store and (self.epoch % checkpoint_every == 0 or self.epoch == self.row.epochs):
                self.save()
        if self.folder is not None:
            self.write()
        return True

    def train_epoch(self):
        """The next epoch and, where one is due, a look at the test set."""
        loss = self.trainer.epoch(self.epoch, self.row.max_steps)
        self.epoch += 1
        row = {"epoch": self.epoch, "step": self.epoch * self.steps, "loss": loss,
               "lr": self.trainer.optimizer.param_groups[0]["lr"]}
        if self.epoch % self.row.eval_every == 0 or self.epoch == self.row.epochs:
            row |= self.figures(self.predictions())["accuracy"]
        self.history.append(row)
        self.say(" ".join(f"{name}={value:.6g}" for name, value in row.items() if value is not None))

    def predictions(self):
        """Of the test set, by the network as it is."""
        scale = LDAM_SCALE if self.row.loss == "ldam" else 1.0
        return calibration.predictions_from_logits(self.test[1], self.trainer.logits(self.test[0]), scale)

    def figures(self, predictions):
        """What results.json says of predictions."""
        return results.evaluate(predictions, self.counts, NAMES, long_tail.shot_groups(self.counts))

    def write(self):
        """flags.cfg, log.txt, metrics.csv, predictions.npz and, last of all, results.json."""
        predictions = self.predictions()
        last, best = self.figures(predictions), max((r for r in self.history if "all" in r), key=lambda r: r["all"])
        os.makedirs(self.folder, exist_ok=True)
        results.write_predictions(self.folder, predictions)
        lines = [f"--{name}={value}" for name, value in self.row._asdict().items() if value is not None]
        results.write_atomically(os.path.join(self.folder, "flags.cfg"), "\n".join(lines) + "\n")
        results.write_atomically(os.path.join(self.folder, "log.txt"), "\n".join(self.log) + "\n")
        results.write_history(self.folder, self.history)
        results.write_results(self.folder, last | {
            "best": {"accuracy": {name: best[name] for name in last["accuracy"]}, "epoch": best["epoch"],
                     "split": "test"},
            "epochs": self.row.epochs, "steps": self.epoch * self.steps, "seed": self.row.seed,
            "resumed_from_steps": self.resumed, "seconds": round(self.seconds, 3), "flags": self.row._asdict(),
            "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version(),
                         "device": device_name(self.device)}})

    def say(self, line):
        """A line of the log, on the screen too."""
        self.log.append(line)
        print(line, flush=True)


def arrays_of(trainer):
    """Everything that training changes, name -> array."""
    arrays = {f"network/{name}": tensor.cpu().numpy() for name, tensor in trainer.network.state_dict().items()}
    for place, parameter in enumerate(trainer.network.parameters()):
        buffer = trainer.optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            arrays[f"momentum/{place:04d}"] = buffer.cpu().numpy()
    return arrays


def load_arrays(trainer, arrays):
    """Puts back what `arrays_of` gave."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    trainer.network.load_state_dict({name.removeprefix("network/"): tensor for name, tensor in tensors.items()
                                     if name.startswith("network/")})
    for place, parameter in enumerate(trainer.network.parameters()):
        if f"momentum/{place:04d}" in tensors:
            buffer = torch.empty_like(parameter).copy_(tensors[f"momentum/{place:04d}"])
            trainer.optimizer.state[parameter]["momentum_buffer"] = buffer.detach()


def device_name(device):
    """The card's name, or the kind of processor."""
    return torch.cuda.get_device_name(device) if str(device).startswith("cuda") else platform.machine()
