"""Runs the rows of a paper table and prints ours beside the paper's: terminal, Markdown, HTML.

    python tools/reproduce.py --table=3 --seeds=0,1 [--jobs=1] [--without=TEXT] [--dry_run] [--out=DIR] [FLAGS...]
    python tools/reproduce.py --table=3 --seeds=0,1 --dataset=digits --imbalance_ratio=20 --model=resnet20 --epochs=30

The rows are those of flags/paper/table<N>.cfg (supp_table<N>.cfg for --table=S<N>, supp_figure<N>.cfg for
--table=F<N>), headed by method and printed figures. Flags of the program behind those of this tool go to every run,
after the row's. Runs are resumable and shared: rows with the same flags, also of different tables, train once.
"""

import concurrent.futures
import dataclasses
import glob
import hashlib
import os
import re
import statistics
import subprocess
import sys

from absl import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from cmo_tf import config as configuration  # noqa: E402
from cmo_tf import long_tail  # noqa: E402
from cmo_tf.config import flagfile  # noqa: E402
from cmo_tf.core.errors import UserError  # noqa: E402
from cmo_tf.evaluation.estimates import estimate as estimate_of  # noqa: E402
from cmo_tf.report import results  # noqa: E402
from tools import comparison  # noqa: E402

COLUMNS = ("all", "many", "medium", "few")
PER_CLASS = {"cifar10": (10, 5000), "cifar100": (100, 500), "fashion_mnist": (10, 6000)}
IMAGES_PER_SECOND = 250.0  # ResNet-32, 32x32, two cores; replaced by the median of finished runs


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: its place (file:name), title and data, the printed figures, the flags, the Config they make,
    and the data that it is run on if flags behind the row's say another set than printed."""

    file: str
    title: str
    data: str
    printed: dict
    arguments: tuple
    config: object
    elsewhere: str

    @property
    def key(self) -> str:
        """Names the training that the row asks for, whatever the row is called; the seed is left out."""
        lines = [a for a in self.config.arguments() if not a.startswith(("--seed=", "--data_dir="))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:10]


def table_file(table: str) -> str:
    """The flag file of "3", "S1" (supplement Table 1) or "F1" (supplement Figure 1)."""
    match = re.fullmatch(r"([sSfF]?)(\d+)", table)
    kind = {"": "table", "s": "supp_table", "f": "supp_figure"}[match[1].lower()] if match else ""
    path = os.path.join(ROOT, "flags", "paper", f"{kind}{int(match[2]):02d}.cfg" if match else "")
    if not match or not os.path.isfile(path):
        there = sorted(os.path.basename(f)[:-4] for f in glob.glob(os.path.join(ROOT, "flags", "paper", "*.cfg")))
        raise UserError(f"--table={table}: no such table; there are {', '.join(there)} "
                        "(S1 is supp_table01, F1 is supp_figure01)")
    return path


def read_rows(path: str, extra: list[str], without: str | None = None) -> list[Row]:
    """The rows of a table's file, in its order, but for those whose title holds `without` (any case)."""
    rows = []
    for row in flagfile.table(path):
        if without and without.lower() in row.title.lower():
            continue
        place = f"{path}:{row.name}"
        arguments = (*flagfile.read(place), *extra)
        own, config = (configuration.parse(list(a))[0] for a in (flagfile.read(place), arguments))
        rows.append(Row(os.path.relpath(place, ROOT), row.title, row.data, row.printed, arguments, config,
                        _elsewhere(own, config)))
    return rows


def _elsewhere(own, config) -> str:
    """The data of a run in words, where it is not what the row's own flags say."""
    data = ("dataset", "imbalance_ratio", "max_per_class", "image_size")
    if all(getattr(own, name) == getattr(config, name) for name in data):
        return ""
    ratio = f" ratio {config.imbalance_ratio:g}" if config.imbalance_ratio else ""
    return config.dataset + ratio + (f", at most {config.max_per_class} a class" if config.max_per_class else "")


def run_dir(runs: str, row: Row, seed: int) -> str:
    """Folder of a row's run: that of an equal one if there is one."""
    there = glob.glob(os.path.join(runs, f"*-{row.key}-s{seed}"))
    slug = re.sub(r"[^a-z0-9]+", "_", row.title.lower()).strip("_")
    return there[0] if there else os.path.join(runs, f"{slug}-{row.key}-s{seed}")


def command(row: Row, folder: str, seed: int) -> list[str]:
    """The command of one run."""
    place = f"--run_dir={os.path.abspath(folder)}"
    return [sys.executable, "-m", "cmo_tf.main", *row.arguments, f"--seed={seed}", place]


def finished(folder: str) -> dict | None:
    """Results of a finished run, else None."""
    return results.read_results(folder) if os.path.exists(os.path.join(folder, "results.json")) else None


def training_images(config) -> int:
    """Images of the training split, without reading a big set."""
    if config.dataset not in PER_CLASS:
        from cmo_tf.run import data
        return len(data.load(config).train)
    classes, each = PER_CLASS[config.dataset]
    return sum(long_tail.long_tailed_counts([each] * classes, config.imbalance_ratio, config.profile,
                                            config.max_per_class))


def estimate(jobs: list[tuple[Row, str, int]], runs: str) -> float:
    """Seconds that the unfinished runs take one after another."""
    rates = [found["images_per_second"] for folder in glob.glob(os.path.join(runs, "*"))
             if (found := finished(folder)) and found["images_per_second"]]
    rate = statistics.median(rates) if rates else IMAGES_PER_SECOND
    left = [row.config for row, folder, _ in jobs if not finished(folder)]
    return sum(training_images(config) * config.epochs / rate for config in left)


def run_all(jobs, at_once: int, logs: str) -> None:
    """Runs what is not finished, `at_once` at a time; a UserError names the first row that failed."""
    os.makedirs(logs, exist_ok=True)
    waiting = {folder: (row, seed) for row, folder, seed in jobs if not finished(folder)}

    def run(item):
        folder, (row, seed) = item
        with open(os.path.join(logs, os.path.basename(folder) + ".log"), "a", encoding="utf-8") as log:
            code = subprocess.run(command(row, folder, seed), cwd=ROOT, stdout=log, stderr=log, check=False).returncode
        return row, seed, code, log.name

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for number, (row, seed, code, log) in enumerate(pool.map(run, waiting.items()), 1):
            print(f"[{number}/{len(waiting)}] {row.title}, seed {seed}: {'done' if not code else f'exit {code}'}",
                  file=sys.stderr, flush=True)
            if code:
                raise UserError(f"{row.title}, seed {seed}: exit code {code}, see {log}; the same command resumes")


def compare(rows: list[Row], seeds: list[int], runs: str) -> list[dict]:
    """A dict a row: title, data, printed figures, row file, accuracy of each finished seed, and per column the Estimate
    (mean, sd, 95 % interval) of the last epochs."""
    table = []
    for row in rows:
        found = {seed: finished(run_dir(runs, row, seed)) for seed in seeds}
        found = {seed: f for seed, f in found.items() if f}
        columns = {c: [f["accuracy"][c] for f in found.values() if f["accuracy"][c] is not None] for c in COLUMNS}
        best = [f["best"]["accuracy"]["all"] for f in found.values() if f["best"]]
        table.append({"title": row.title, "data": row.data, "elsewhere": row.elsewhere, "printed": row.printed,
                      "file": row.file, "alpha": row.config.alpha,
                      "seeds": {seed: f["accuracy"]["all"] for seed, f in found.items()},
                      "ours": {c: estimate_of(values) for c, values in columns.items() if values},
                      "best": statistics.fmean(best) if best else None,
                      "seconds": statistics.fmean(f["seconds"] for f in found.values()) if found else None})
    return table


def main(arguments=None) -> int:
    """The command line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    values = flags.FlagValues()
    flags.DEFINE_string("table", None, "3 for the paper's Table 3, S1 for the supplement's Table 1", flag_values=values)
    flags.DEFINE_list("seeds", ["0"], "seeds, separated by commas", flag_values=values)
    flags.DEFINE_integer("jobs", 1, "runs at once", lower_bound=1, flag_values=values)
    flags.DEFINE_string("without", None, "leave out the rows whose title holds this text", flag_values=values)
    flags.DEFINE_bool("dry_run", False, "list the commands and an estimate of the time", flag_values=values)
    flags.DEFINE_string("runs", "runs", "folder of the run folders", flag_values=values)
    flags.DEFINE_string("out", None, "folder for table.md and table.html", flag_values=values)
    own = [a for a in arguments if a.lstrip("-").split("=")[0].removeprefix("no") in values]
    try:
        values([__file__, *own])
        if not values.table:
            raise UserError("--table: name one, such as --table=3 or --table=S1")
        extra = [a for a in arguments if a not in own]
        rows, seeds = read_rows(table_file(values.table), extra, values.without), [int(s) for s in values.seeds]
        jobs = [(row, run_dir(values.runs, row, seed), seed) for seed in seeds for row in rows]
        if values.dry_run:
            for row, folder, seed in jobs:
                print(f"# {row.title}, seed {seed}{': finished' if finished(folder) else ''}")
                print(" ".join(command(row, folder, seed)[1:]))
            minutes = estimate(jobs, values.runs) / 60
            print(f"about {minutes:.0f} minutes for what is not finished, one after another")
            return 0
        run_all(jobs, values.jobs, os.path.join(values.runs, "logs"))
        comparison.show(compare(rows, seeds, values.runs), values.table, extra, seeds, values.out)
    except ValueError:
        print(f"reproduce: --seeds={','.join(values.seeds)}: write whole numbers, such as --seeds=0,1", file=sys.stderr)
        return 2
    except (UserError, flags.Error) as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
