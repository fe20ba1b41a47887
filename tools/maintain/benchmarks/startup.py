"""Starting: the light import, TensorFlow's, and the quickstart up to the end of its first step."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.maintain.benchmarks.rounds import Bench, Stretch

ROOT = Path(__file__).resolve().parents[3]
FIRST_STEP = """
import os, sys
from cmo_tf import main
main.import_tensorflow()
from cmo_tf.run.recorder import Recorder
Recorder.on_train_batch_end = lambda self, batch, logs=None: os._exit(0)
sys.exit(main.main(sys.argv[1:]) or 1)
"""


def make(options) -> Bench:
    """Each side is a process of its own; a unit is one start."""
    bench = Bench("starts", {})
    folder = bench.close.enter_context(tempfile.TemporaryDirectory())
    quickstart = [f"--flagfile={ROOT / 'flags' / 'quickstart.cfg'}", f"--run_dir={folder}/run"]
    bench.sides = {
        "python": starter("pass"), "import cmo_tf": starter("import cmo_tf"),
        "--help": starter("from cmo_tf.main import main; main(['--help'])"),
        "import tensorflow, keras": starter("from cmo_tf.main import import_tensorflow; import_tensorflow()\n"
                                            "import keras"),
        "quickstart's first step": starter(FIRST_STEP, *quickstart),
    }

    def notes(result):
        seconds = {name: 1 / row["median"] for name, row in result["per_second"].items()}
        light = seconds["import cmo_tf"] - seconds["python"]
        return ["seconds a start: " + ", ".join(f"{name} {value:.2f}" for name, value in seconds.items()),
                f"import cmo_tf alone: {light:.3f} s"]
    bench.notes = notes
    return bench


def starter(code, *arguments):
    """A side that runs Python code in a new process."""
    def run():
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Stretch(1, time.perf_counter() - began,
                       after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return run
