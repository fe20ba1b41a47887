"""Rows of a short loan: which are left, what is written of each as soon as it is done, and when to stop."""

import json
import time
from pathlib import Path

from cmo_tf.report import studies
from cmo_tf.report.results import plain


class Book:
    """A study (`cmo_tf.report.studies`) that grows by a line a finished row, and the time that is left.

    Args:
        path: of the file; lines are appended.
        have: other such files, whose rows are not run again.
        limit_s: seconds from now.
    """

    def __init__(self, path, have, limit_s):
        self.path, self.deadline, self.pace = Path(path), time.monotonic() + limit_s, None
        self.done = {(name, row["epochs"]) for file in [*have, path] if Path(file).exists()
                     for name, row in studies.read(file).items()}

    def missing(self, name, options):
        """Whether the row is not finished yet."""
        return (f"{name}_s{options.seed}", options.epochs) not in self.done

    def fits(self, epochs):
        """Whether so many epochs end in time, at the pace of the last ones."""
        return time.monotonic() + epochs * (self.pace or 0) < self.deadline

    def late(self):
        """Whether the time is over."""
        return time.monotonic() > self.deadline

    def write(self, name, options, figures, right, history, **columns):
        """Appends a finished row.

        Args:
            name: of the row without its seed; options: with `method`, `mix`, `depth`, `epochs`, `seed`.
            figures: what results.json says of its last epoch; right: bool (N,), test images that it had right.
            history: a dict an epoch, with "all" where the test set was looked at.
            columns: seconds, steps, versions and the like.
        """
        best = max((row for row in history if "all" in row), key=lambda row: row["all"])
        row = {"name": f"{name}_s{options.seed}", **figures, "seed": options.seed, "epochs": options.epochs,
               "best": {"accuracy": {"all": best["all"]}, "epoch": best["epoch"], "split": "test"},
               "history": {key: [entry.get(key) for entry in history] for key in ("epoch", "loss", "all")},
               "correct": studies.packed(right),
               "flags": {key: getattr(options, key) for key in ("method", "mix", "depth", "epochs", "seed")}, **columns}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(row), allow_nan=False) + "\n")
        self.say(row["name"], accuracy=row["accuracy"]["all"], best=best["all"], seconds=row["seconds"])

    @staticmethod
    def say(name, **columns):
        """A line of the log."""
        print(json.dumps(plain({"name": name, **columns})), flush=True)


def add_arguments(parser):
    """Flags that the programs of this folder share."""
    parser.add_argument("--data", required=True, help="folder of pack.py")
    parser.add_argument("--out", required=True, help="file of JSON lines")
    parser.add_argument("--have", nargs="*", default=[], help="such files of earlier calls")
    parser.add_argument("--rows", default="ce,ce_cmo,ldam_drw,ldam_drw_cmo,bs,bs_cmo", help="in this order")
    parser.add_argument("--limit_s", type=float, default=1e9)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="at most so many steps an epoch")
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--batch_size", type=int, default=128, help="of our rows, to try it out")
