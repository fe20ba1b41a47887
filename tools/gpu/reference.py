"""Rows of tools/reference on a card: a CUDA graph holds a step, as long as the rate stays.

    python tools/gpu/reference.py --data=DIR --out=rows.jsonl [--rows=ce,ce_cmo] [--limit_s=400]
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # noqa: E402

from tools.gpu import pack, rows  # noqa: E402
from tools.reference.run import Row, Run, device_name  # noqa: E402
from tools.reference.training import BATCH, Trainer  # noqa: E402

EAGER = 4  # steps that run as they are, in which libraries choose their kernels


class GraphTrainer(Trainer):
    """A Trainer whose full batches are replays of a recorded step."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.graph, self.rate, self.rows, self.result, self.eager = None, None, None, None, 0

    def step(self, rows):
        """One step, by the graph where the batch is a full one."""
        rate = self.optimizer.param_groups[0]["lr"]
        if not str(self.device).startswith("cuda") or len(rows["index"]) < BATCH or self.eager < EAGER:
            self.eager += 1
            return super().step(rows)
        if self.rate != rate:
            self.record(rows)
            self.rate = rate
        for name, column in rows.items():
            self.rows[name].copy_(column)
        self.graph.replay()
        return self.result.clone()

    def record(self, rows):
        """Records a step, which does nothing yet."""
        self.rows = {name: column.clone() for name, column in rows.items()}
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = super().step(self.rows)


def run(name, options, data, book, device):
    """Trains a row, unless it is done or does not fit, and writes it."""
    row = Row(name.removesuffix("_cmo"), "cmo" if name.endswith("_cmo") else "none", options.epochs, options.seed,
              max_steps=options.steps, depth=options.depth)
    name = f"torch_{name}"
    if not book.missing(name, options):
        return
    if not book.fits(row.epochs):
        book.say(name, left_out=f"{row.epochs} epochs at {book.pace:.2f} s do not fit")
        return
    trained, began = Run(row, *data, None, device, GraphTrainer), time.monotonic()
    done = trained.go(deadline=book.deadline)
    seconds = time.monotonic() - began
    book.pace = seconds / max(trained.epoch, 1)
    if not done:
        book.say(name, stopped_at=trained.epoch)
        return
    predictions = trained.predictions()
    book.write(name, row, trained.figures(predictions), predictions.labels == predictions.predicted, trained.history,
               steps=trained.epoch * trained.steps, seconds=seconds,
               versions={"torch": torch.__version__, "device": device_name(device)})


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description="Rows of the reference on a card")
    rows.add_arguments(parser)
    options = parser.parse_args(arguments)
    device = os.environ.get("DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    book, data = rows.Book(options.out, options.have, options.limit_s), pack.load(options.data)
    for name in options.rows.split(","):
        if not book.late():
            run(name, options, data, book, device)


if __name__ == "__main__":
    main()
