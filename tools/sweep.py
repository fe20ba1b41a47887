"""Runs training runs one after another, resumably, and keeps their small files and a table of their state.

    python tools/sweep.py --queue=docs/results/cifar10lt/queue.txt [--seeds=0,1,2] [--runs=runs] [--data_dir=DIR]
    python tools/sweep.py --grid='method=ce,bs mix=none,cmo' --seeds=0,1,2 --out=DIR --flagfile=flags/NAME.cfg [FLAGS]
    python tools/sweep.py --program=tools/reference_torch.py --python=PYTHON --queue=FILE [--data_dir=DIR]

A queue file has a row a run: a name, then flags of `cmo_tf.main`. --grid makes a row of every combination of values;
with a queue too, every row runs at every point. --seeds runs every row with every seed, as NAME-s<seed>. Flags of the
program behind those of this tool go to every run. --program names a tool that takes the place of `cmo_tf.main`, and
--python the interpreter for it: tools/reference_torch.py needs PyTorch.

The same command goes on where it was stopped: finished rows are left alone, a begun one resumes. Beside the queue file
(or in --out), `state.md` lists every row and means over seeds, and `runs.jsonl` keeps what finished rows came to:
tools/compare_runs.py takes it. TensorBoard on the --runs folder compares the runs, too.
"""

import importlib.util
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from absl import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from cmo_tf import config as configuration  # noqa: E402
from cmo_tf.core.errors import UserError  # noqa: E402
from cmo_tf.evaluation.estimates import estimate  # noqa: E402
from cmo_tf.report import results, studies  # noqa: E402
from cmo_tf.run.checkpoint import CheckpointStore  # noqa: E402
from tools.sweep_rows import Row, grid, parse_seeds, read_queue, times_grid, times_seeds  # noqa: E402

STUDY = "runs.jsonl"
LOCAL = ("data_dir", "run_dir")  # flags whose values are this machine's
COLUMNS = ("all", "many", "medium", "few")


def finished_rows(kept: str) -> dict[str, dict]:
    """Row -> results of those that the study in `kept` holds."""
    study = os.path.join(kept, STUDY)
    return studies.read(study) if os.path.exists(study) else {}


def row_state(name: str, runs: str, finished: dict[str, dict]) -> dict:
    """State of a row: done with its figures, begun with its step, or waiting."""
    if run := finished.get(name):
        return {"state": "done", "step": run["steps"], "seconds": run["seconds"], "accuracy": run["accuracy"],
                "best": run["best"]}
    steps = CheckpointStore(os.path.join(runs, name, "checkpoints")).steps()
    return {"state": "begun" if steps else "waiting", "step": steps[-1] if steps else 0}


def write_state(rows, runs: str, kept: str, command: str) -> None:
    """state.md in `kept`: every row, done or not, and the means of settings with several seeds."""
    lines = ["# State of the queue", "", f"`{command}` goes on with it.", "",
             "| run | state | steps | minutes | all | many | medium | few | best (epoch) | flags |", "|" + "---|" * 10]
    finished = finished_rows(kept)
    states = [row_state(row.name, runs, finished) for row in rows]
    for row, state in zip(rows, states, strict=True):
        figures = ["", "", "", "", ""]
        if state["state"] == "done":
            values = [state["accuracy"][k] for k in COLUMNS]
            figures = ["-" if v is None else f"{v:.2f}" for v in values]
            best = state["best"]
            figures.append(f"{best['accuracy']['all']:.2f} ({best['epoch']})" if best else "")
        minutes = f"{state['seconds'] / 60:.1f}" if "seconds" in state else ""
        cells = [row.name, state["state"], str(state["step"]), minutes, *figures, f"`{' '.join(row.arguments)}`"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += _means(rows, states)
    results.write_atomically(os.path.join(kept, "state.md"), "\n".join(lines) + "\n")


def _means(rows: list[Row], states: list[dict]) -> list[str]:
    """Lines of the table of means over seeds; none without a setting of several."""
    settings = {}
    for row, state in zip(rows, states, strict=True):
        settings.setdefault(row.setting, []).append(state)
    if max(map(len, settings.values())) < 2:
        return []
    lines = ["", "Mean ± standard deviation over the seeds that are done:", "",
             "| setting | seeds done | all | many | medium | few |", "|---" * 6 + "|"]
    for setting, mine in settings.items():
        done = [state["accuracy"] for state in mine if state["state"] == "done"]
        cells = [_mean([a[k] for a in done if a[k] is not None]) for k in COLUMNS]
        lines.append("| " + " | ".join([setting, f"{len(done)} of {len(mine)}", *cells]) + " |")
    return lines


def _mean(values: list[float]) -> str:
    found = estimate(values)
    return "-" if found is None else found.shown()


class Program(NamedTuple):
    """What trains a row: the command in front of its flags, and the function that checks them."""

    command: list[str]
    parse: Callable


def program_of(path: str | None, python: str | None) -> Program:
    """`cmo_tf.main`, or the tool at `path` with its own `parse(arguments)`; run by the interpreter `python`."""
    python = python or sys.executable
    if path is None:
        return Program([python, "-m", "cmo_tf.main"], lambda flags: configuration.parse(flags, base=ROOT))
    spec = importlib.util.spec_from_file_location("program", path)
    if spec is None or not os.path.exists(path):
        raise UserError(f"--program={path}: there is no such Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "parse"):
        raise UserError(f"--program={path}: has no function parse(arguments), so its rows cannot be checked")
    return Program([python, os.path.abspath(path)], module.parse)


def sweep(rows: list[Row], runs: str, kept: str, extra: list[str], command: str, program: Program) -> int:
    """Runs every row that is not done; returns the exit code."""
    finished = finished_rows(kept)
    left = [row for row in rows if row.name not in finished]
    for row in left:
        check(row, extra, program)
    os.makedirs(kept, exist_ok=True)
    write_state(rows, runs, kept, command)
    for number, row in enumerate(rows, 1):
        if row not in left:
            continue
        run_dir = os.path.abspath(os.path.join(runs, row.name))
        print(f"[{number}/{len(rows)}] {row.name}", flush=True)
        began = time.monotonic()
        line = [*program.command, *row.arguments, *extra, f"--run_dir={run_dir}"]
        code = subprocess.run(line, cwd=ROOT, check=False).returncode
        if code:
            write_state(rows, runs, kept, command)
            print(f"{row.name}: exit code {code} after {time.monotonic() - began:.0f} s; the same command goes on with "
                  "it", file=sys.stderr)
            return code if code > 0 else 128 - code
        studies.add(os.path.join(kept, STUDY), row.name, run_dir, LOCAL)
        write_state(rows, runs, kept, command)
    print(f"{len(rows)} rows done; {os.path.join(kept, 'state.md')}")
    return 0


def check(row: Row, extra: list[str], program: Program) -> None:
    """A UserError that names the row if its flags are wrong: said before the first run, not hours later."""
    try:
        program.parse([*row.arguments, *extra])
    except UserError as error:
        raise UserError(f"{row.name}: {error}") from None


def rows_of(values, extra: list[str], kept: str) -> list[Row]:
    """The rows that the flags of this tool name; program flags in `extra` come before --grid's and the seed."""
    if not values.queue and not values.grid:
        raise UserError("--queue: name a queue file, or rows by --grid='method=ce,bs mix=none,cmo' and --out=DIR")
    if not values.queue and not values.out:
        raise UserError("--out: with --grid alone, name the folder for state.md and the kept files")
    rows = read_queue(values.queue) if values.queue else [("", [])]
    rows = [(name, [*arguments, *extra]) for name, arguments in rows]
    if values.grid:
        rows = times_grid(rows, grid(values.grid))

    finished = finished_rows(kept)

    def there(name):
        return row_state(name, values.runs, finished)["state"] != "waiting"
    return times_seeds(rows, parse_seeds(values.seeds), there)


def main(arguments=None) -> int:
    """The command line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    values = flags.FlagValues()
    flags.DEFINE_string("queue", None, "the queue file", flag_values=values)
    flags.DEFINE_string("grid", None, "flags with their values, 'method=ce,bs mix=none,cmo'", flag_values=values)
    flags.DEFINE_list("seeds", [], "seeds of every row, with commas; default the rows' own", flag_values=values)
    flags.DEFINE_string("out", None, "folder for state.md and the kept files; default that of the queue file",
                        flag_values=values)
    flags.DEFINE_string("runs", "runs", "folder of the run folders", flag_values=values)
    flags.DEFINE_string("data_dir", None, "handed to every run", flag_values=values)
    flags.DEFINE_string("program", None, "a tool that trains the rows in place of cmo_tf.main", flag_values=values)
    flags.DEFINE_string("python", None, "interpreter of the runs; default this one", flag_values=values)
    own = [a for a in arguments if a.lstrip("-").split("=")[0] in values]
    try:
        stray = [a for a in arguments if not a.startswith("--")]
        if stray:
            raise UserError(f"{stray[0]!r} is no flag; write --name=value")
        values([__file__, *own])
        kept = os.path.abspath(values.out or os.path.dirname(os.path.abspath(values.queue or "")))
        shared = [a for a in arguments if a not in own]
        rows = rows_of(values, shared, kept)
        again = [a for a in arguments if not a.startswith(("--data_dir=", "--runs=", "--python="))]
        extra = [f"--data_dir={values.data_dir}"] if values.data_dir else []
        return sweep(rows, values.runs, kept, extra, f"python tools/sweep.py {shlex.join(again)}",
                     program_of(values.program, values.python))
    except (UserError, flags.Error) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
