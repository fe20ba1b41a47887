"""What CMO costs a training step on a card: plain and mixed steps, ours on JAX and PyTorch's, in alternating rounds.

    python tools/gpu/cost.py --out=cost.json [--limit_s=100]

The paper's table has 0.355 s a batch without and 0.369 s with CMO (ResNet-50, +3.94 %). Here a mixed step pastes a box
on every batch, where a run of the published recipe does so on half of them. Both pictures of a pair lie on the card as
uint8; a step holds paste, normalisation, forward, backward and SGD, not the reading of pictures. A process a side takes
turns, so that the libraries do not share a card's memory or its kernels.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

KINDS = ("plain", "cmo")
SIDE = Path(__file__).with_name("cost_side.py")


class Side:
    """A process that serves one side."""

    def __init__(self, side, case):
        command = [sys.executable, str(SIDE), side, json.dumps(case)]
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.versions = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a side ended with exit code {self.process.wait()}")
        return json.loads(line)

    def measure(self, kind):
        """Milliseconds a step."""
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        return self.read()["ms"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(case, rounds, deadline, sides=("ours", "torch")):
    """{"versions", "ms": side/kind -> median of the rounds, "rounds"} of a case; fewer rounds where time is short."""
    open_sides = {}
    try:
        for side in sides:
            open_sides[side] = Side(side, case)
        times = {f"{side}/{kind}": [] for side in sides for kind in KINDS}
        for number in range(rounds):
            if number and time.monotonic() > deadline:
                break
            for name, found in times.items():
                side, kind = name.split("/")
                found.append(open_sides[side].measure(kind))
        medians = {name: statistics.median(values) for name, values in times.items()}
        costs = {side: 100 * (medians[f"{side}/cmo"] / medians[f"{side}/plain"] - 1) for side in sides}
        return {"case": case, "ms": medians, "cmo_costs_percent": costs, "rounds": times,
                "versions": {side: open_sides[side].versions for side in sides}}
    finally:
        for side in open_sides.values():
            side.close()


def cases(options):
    """What is measured: the paper's two networks, or small ones to try it out."""
    if options.tiny:
        return [{"model": "resnet20", "size": 32, "batch": 4, "classes": 10, "steps": 2}]
    return [{"model": "resnet32", "size": 32, "batch": 128, "classes": 10, "steps": 50},
            {"model": "resnet50", "size": 224, "batch": 256, "classes": 1000, "steps": 5}]


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description="Step times without and with CMO")
    parser.add_argument("--out", required=True, help="JSON file")
    parser.add_argument("--limit_s", type=float, default=1e9)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tiny", action="store_true", help="small networks, to try it out")
    options = parser.parse_args(arguments)
    deadline, results = time.monotonic() + options.limit_s, []
    for case in cases(options):
        if time.monotonic() < deadline:
            results.append(compare(case, options.rounds, deadline))
            Path(options.out).write_text(json.dumps(results, indent=1) + "\n")
            print(json.dumps({**results[-1]["ms"], "model": case["model"]}), flush=True)


if __name__ == "__main__":
    main()
