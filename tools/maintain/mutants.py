"""Plants faults in the code, one at a time, and counts those that the tests notice.

    python -m tools.maintain.mutants [--count=240] [--seed=0] [--jobs=2] [--only=losses,mixing]

First the suite runs once, to note which test executes which line and for how long (kept in build/mutants; remove that
folder after a change). A mutant then faces the tests of its line, the quickest first; where no test executes the line
(TensorFlow rewrites some functions before it runs them) those of its file. One that all of them pass has survived.
The table goes to build/mutants/survivors.md. Needs pytest-cov; takes about an hour on two cores.
"""

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tools.maintain.mutations import Mutation, mutations

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
COPIED = ("cmo_tf", "docs", "examples", "flags", "tests", "tools")
SUBJECTS = ("losses", "mixing", "sampling", "long_tail", "optim", "pipeline", "run", "evaluation")
LIMIT = 240  # seconds of tests a mutant


def measure() -> None:
    """Runs the suite once with coverage by test and the time of each."""
    WORK.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "COVERAGE_FILE": str(WORK / "coverage"), "MUTANT_TIMES": str(WORK / "times.jsonl")}
    subprocess.run([sys.executable, "-m", "pytest", "-p", "tools.maintain.test_times", "--cov=cmo_tf",
                    "--cov-context=test", "--cov-report=", "-n2"], cwd=ROOT, env=environment, check=True)


def tests_of_lines() -> dict[str, dict[int, list[str]]]:
    """File -> line -> tests that execute it, the quickest first."""
    import coverage
    data = coverage.CoverageData(str(WORK / "coverage"))
    data.read()
    with open(WORK / "times.jsonl", encoding="utf-8") as file:
        times = {row["test"]: row["seconds"] for row in map(json.loads, file)}
    by_file = {}
    for path in data.measured_files():
        lines = {line: {context.partition("|")[0] for context in contexts if context}
                 for line, contexts in data.contexts_by_lineno(path).items()}
        by_file[os.path.relpath(path, ROOT)] = {
            line: sorted(tests & set(times), key=lambda test: (times[test], test)) for line, tests in lines.items()}
    return by_file


def choose(count: int, seed: int, subjects) -> list[Mutation]:
    """`count` mutations, equally many of each subject where it has as many."""
    draw = random.Random(seed)
    waiting = {}
    for subject in subjects:
        place = ROOT / "cmo_tf" / subject
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        every = [m for f in files for m in mutations(str(f.relative_to(ROOT)), f.read_text(encoding="utf-8"))]
        waiting[subject] = draw.sample(every, len(every))
    chosen = []
    while len(chosen) < count and any(waiting.values()):
        chosen += [queue.pop() for queue in waiting.values() if queue]
    return chosen[:count]


def copies(number: int) -> SimpleQueue:
    """`number` copies of the tree, to plant faults in."""
    places = SimpleQueue()
    for index in range(number):
        place = WORK / f"copy{index}"
        shutil.rmtree(place, ignore_errors=True)
        for name in COPIED:
            if (ROOT / name).exists():
                shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy(path, place)
        places.put(place)
    return places


def tests_for(mutation: Mutation, covering) -> list[str]:
    """The tests that a mutant faces, at most 60."""
    lines = covering.get(mutation.path, {})
    tests = lines.get(mutation.line) or list(dict.fromkeys(test for line in lines for test in lines[line]))
    return tests[:60]


def face(mutation: Mutation, tests: list[str], places: SimpleQueue) -> str:
    """`killed`, `survived` or `untested`."""
    if not tests:
        return "untested"
    place = places.get()
    path = place / mutation.path
    original = path.read_bytes()
    try:
        path.write_text(mutation.source, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(place)}
        ended = subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=LIMIT)
        return "survived" if ended.returncode == 0 else "killed"
    except subprocess.TimeoutExpired:
        return "killed"
    finally:
        path.write_bytes(original)
        places.put(place)


def report(outcomes) -> str:
    """Shares by subject, and the survivors with what was changed."""
    counts = collections.Counter((m.path.removeprefix("cmo_tf/").split("/")[0], outcome) for m, outcome in outcomes)
    subjects = sorted({subject for subject, _ in counts})
    rows = [f"| {s} | {sum(counts[s, o] for o in ('killed', 'survived', 'untested'))} | {counts[s, 'killed']} |"
            for s in subjects]
    killed = sum(outcome == "killed" for _, outcome in outcomes)
    lines = [f"{killed} of {len(outcomes)} mutants killed ({100 * killed / len(outcomes):.1f} %).", "",
             "| subject | mutants | killed |", "|---|---|---|", *rows, ""]
    lines += [f"- {m.path}:{m.line} {outcome}: `{' '.join(m.before.split())}` -> `{' '.join(m.after.split())}`"
              for m, outcome in outcomes if outcome != "killed"]
    return "\n".join(lines) + "\n"


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default=",".join(SUBJECTS), help="subjects: names of packages and modules of cmo_tf")
    options = parser.parse_args(arguments)
    if not (WORK / "coverage").exists():
        measure()
    covering, chosen = tests_of_lines(), choose(options.count, options.seed, options.only.split(","))
    places, start = copies(options.jobs), time.monotonic()
    outcomes = []
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(face, mutation, tests_for(mutation, covering), places) for mutation in chosen]
        for mutation, job in zip(chosen, waiting, strict=True):
            outcomes.append((mutation, job.result()))
            left = (time.monotonic() - start) / len(outcomes) * (len(chosen) - len(outcomes))
            print(f"{len(outcomes)}/{len(chosen)} {mutation.path}:{mutation.line} {outcomes[-1][1]}, "
                  f"about {left / 60:.0f} minutes left", flush=True)
    (WORK / "survivors.md").write_text(report(outcomes), encoding="utf-8")
    print(report(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
