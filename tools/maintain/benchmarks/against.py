"""`--against=torch`: the step and the stream beside PyTorch's, in alternating rounds with a process that has torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

from cmo_tf.core.errors import UserError
from tools.maintain.benchmarks import material, stream
from tools.maintain.benchmarks.rounds import Bench, Stretch
from tools.maintain.benchmarks.step import trainer

AGAINST_MODELS = tuple(f"resnet{depth}" for depth in (20, 32, 44, 56, 110))
SIDE = Path(__file__).with_name("torch_side.py")


def make_step(options) -> Bench:
    """Our step as `fit` runs it, stream included, and PyTorch's on batches that are ready; both with CMO on half.

    One thread too: its OpenMP threads wait for each other spinning, which a shared machine may make very slow.
    """
    from cmo_tf import CMO
    bench, torch = Bench("images", {}), start(options)
    bench.close.callback(torch.close)
    ours = trainer(options, *material.in_memory(options), 0.5, CMO(seed=0))
    bench.sides["ours, stream included"] = ours
    both = (("train", "as many threads"), ("train alone", "one thread"))
    for name, text in both[options.threads == 1:]:
        theirs = f"PyTorch {torch.version}, {text}, no loader"
        bench.sides[theirs] = torch.side(name)
        bench.ratios[f"ours over PyTorch, {text}"] = "ours, stream included", theirs
    return bench


def make_stream(options) -> Bench:
    """Pairs of P and Q with crop, flip and normalisation, and PyTorch's from two DataLoaders."""
    bench, torch = Bench("rows", {"ours": stream.reader(options, 1.0)}), start(options)
    bench.close.callback(torch.close)
    for workers, text in ((0, "two DataLoaders, no worker"), (1, "two DataLoaders, a worker each")):
        bench.sides[text] = torch.side(f"load {workers}")
        bench.ratios[f"ours over {text}"] = "ours", text
    return bench


def start(options):
    """The process of torch_side.py, ready; a UserError in one line where it cannot run."""
    if options.model not in AGAINST_MODELS:
        raise UserError(f"--model={options.model}: --against=torch has {', '.join(AGAINST_MODELS)}")
    return TorchProcess(options.torch_python or sys.executable, {
        "depth": int(options.model.removeprefix("resnet")), "batch_size": material.batch_size(options),
        "steps": options.steps, "counts": material.counts(options).tolist(),
        "threads": options.threads or len(os.sched_getaffinity(0))})


class TorchProcess:
    """A Python with torch that runs stretches on request."""

    def __init__(self, python, options):
        try:
            self.process = subprocess.Popen([python, str(SIDE), json.dumps(options)], text=True, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            raise UserError(f"--torch_python={python}: {error.strerror}") from None
        line = self.process.stdout.readline()
        if not line:
            said = self.process.communicate()[1].strip().splitlines() or ["it ended without a word"]
            raise UserError(f"--against=torch: {python} cannot run it ({said[-1]}); install the extra `torch` there, "
                            "or name a Python that has torch, numpy and Pillow with --torch_python=PATH")
        self.version = json.loads(line)["torch"]

    def side(self, name):
        """A side that runs one of torch_side's."""
        def run():
            self.process.stdin.write(name + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                raise UserError(f"--against=torch: its process ended ({self.process.communicate()[1].strip()[-300:]})")
            return Stretch(*json.loads(line))
        return run

    def close(self):
        """Ends the process."""
        self.process.communicate()
