"""Runs a queue of training runs one after another, resumably, and keeps their small files and a table of their state.

    python tools/sweep.py --queue=docs/results/cifar10lt/queue.txt [--runs=runs] [--data_dir=DIR]

A queue file has a row a run: a name, then flags of `cmo_tf.main`. The same command goes on where it was stopped:
finished rows are left alone, a begun one resumes. Beside the queue file, `state.md` lists every row, and a folder a
finished row holds flags.cfg, log.txt, metrics.csv, results.json.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time

from absl import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from cmo_tf.errors import UserError  # noqa: E402
from cmo_tf.evaluation import results  # noqa: E402
from cmo_tf.training.checkpoint import CheckpointStore  # noqa: E402

KEPT = ("flags.cfg", "log.txt", "metrics.csv", "results.json")
LOCAL = ("data_dir", "run_dir")  # flags whose values are this machine's


def read_queue(path: str) -> list[tuple[str, list[str]]]:
    """(name, flags) of each row. A UserError names a bad line."""
    rows, names = [], set()
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise UserError(f"--queue={path}: cannot be read ({error.strerror})") from None
    for number, line in enumerate(lines, 1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        name, arguments = words[0], words[1:]
        if name.startswith("-") or not all(a.startswith("--") for a in arguments):
            raise UserError(f"{path}:{number}: a row is a name and then flags, --name=value")
        if name in names or os.path.basename(name) != name:
            raise UserError(f"{path}:{number}: the name {name!r} stands there twice or is no plain folder name")
        names.add(name)
        rows.append((name, arguments))
    if not rows:
        raise UserError(f"--queue={path}: holds no row")
    return rows


def row_state(name: str, runs: str, kept: str) -> dict:
    """State of a row: done with its figures, begun with its step, or waiting."""
    folder = os.path.join(kept, name)
    if os.path.exists(os.path.join(folder, "results.json")):
        found = results.read_results(folder)
        return {"state": "done", "step": found["steps"], "seconds": found["seconds"], "accuracy": found["accuracy"],
                "best": found["best"]}
    steps = CheckpointStore(os.path.join(runs, name, "checkpoints")).steps()
    return {"state": "begun" if steps else "waiting", "step": steps[-1] if steps else 0}


def write_state(rows, runs: str, kept: str, queue: str) -> None:
    """state.md beside the queue: every row, done or not."""
    lines = ["# State of the queue", "", f"`python tools/sweep.py --queue={queue}` goes on with it.", "",
             "| run | state | steps | minutes | all | many | medium | few | best (epoch) | flags |", "|" + "---|" * 10]
    for name, arguments in rows:
        state = row_state(name, runs, kept)
        figures = ["", "", "", "", ""]
        if state["state"] == "done":
            values = [state["accuracy"][k] for k in ("all", "many", "medium", "few")]
            figures = ["-" if v is None else f"{v:.2f}" for v in values]
            best = state["best"]
            figures.append(f"{best['accuracy']['all']:.2f} ({best['epoch']})" if best else "")
        minutes = f"{state['seconds'] / 60:.1f}" if "seconds" in state else ""
        cells = [name, state["state"], str(state["step"]), minutes, *figures, f"`{' '.join(arguments)}`"]
        lines.append("| " + " | ".join(cells) + " |")
    results.write_atomically(os.path.join(kept, "state.md"), "\n".join(lines) + "\n")


def keep(run_dir: str, folder: str) -> None:
    """Copies the small files of a finished run, without the paths of this machine."""
    os.makedirs(folder, exist_ok=True)
    for name in KEPT[:-1]:
        shutil.copy(os.path.join(run_dir, name), os.path.join(folder, name))
    path = os.path.join(folder, "flags.cfg")
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith(tuple(f"--{name}=" for name in LOCAL))]
    results.write_atomically(path, "".join(lines))
    path = os.path.join(folder, "log.txt")
    with open(path, encoding="utf-8") as file:
        text = file.read().replace(os.path.dirname(run_dir) + os.sep, "")
    results.write_atomically(path, text)
    found = results.read_results(run_dir)
    found["flags"] = {k: v for k, v in found["flags"].items() if k not in LOCAL}
    results.write_results(folder, found)


def sweep(queue: str, runs: str, extra: list[str]) -> int:
    """Runs every row that is not done; returns the exit code."""
    rows, kept = read_queue(queue), os.path.dirname(os.path.abspath(queue))
    write_state(rows, runs, kept, queue)
    for number, (name, arguments) in enumerate(rows, 1):
        if row_state(name, runs, kept)["state"] == "done":
            continue
        run_dir = os.path.abspath(os.path.join(runs, name))
        print(f"[{number}/{len(rows)}] {name}", flush=True)
        began = time.monotonic()
        command = [sys.executable, "-m", "cmo_tf.main", *arguments, *extra, f"--run_dir={run_dir}"]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code:
            write_state(rows, runs, kept, queue)
            print(f"{name}: exit code {code} after {time.monotonic() - began:.0f} s; the same command goes on with it",
                  file=sys.stderr)
            return code if code > 0 else 128 - code
        keep(run_dir, os.path.join(kept, name))
        write_state(rows, runs, kept, queue)
    print(f"{len(rows)} rows done; {os.path.join(kept, 'state.md')}")
    return 0


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_string("queue", None, "the queue file", flag_values=values)
    flags.DEFINE_string("runs", "runs", "folder of the run folders", flag_values=values)
    flags.DEFINE_string("data_dir", None, "handed to every run", flag_values=values)
    try:
        values([__file__, *(sys.argv[1:] if arguments is None else arguments)])
        if not values.queue:
            raise UserError("--queue: name a queue file")
        extra = [f"--data_dir={values.data_dir}"] if values.data_dir else []
        return sweep(values.queue, values.runs, extra)
    except (UserError, flags.Error) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
