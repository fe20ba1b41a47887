"""Runs the tests whose figures come out of a processor's arithmetic as other processors would.

    python -m tools.maintain.processors [PYTEST ARGUMENTS]

oneDNN picks its kernels by the instructions that it finds; ONEDNN_MAX_CPU_ISA hides the newer ones from it. Each
setting is a pytest run of its own; one that this machine's processor cannot follow is named and left out. Exit code 1
if any test failed anywhere.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What asserts numbers that a network, a loss, an optimiser or a mixer computed; the rest is text, files and flags.
SENSITIVE = ["tests/augment", "tests/callbacks", "tests/classifier", "tests/cli/test_calibrate.py",
             "tests/cli/test_quickstart.py", "tests/cli/test_run.py", "tests/distribution", "tests/evaluation",
             "tests/faults/test_checkpoints.py", "tests/faults/test_kills.py", "tests/faults/test_nan.py",
             "tests/faults/test_processors.py",
             "tests/faults/test_resume.py", "tests/faults/test_signals.py", "tests/losses", "tests/methods",
             "tests/mixing", "tests/models", "tests/optim", "tests/pipeline", "tests/run", "tests/sampling",
             "tests/test_long_tail.py"]
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
TWO_THREADS = {"TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "2"}
# Name -> (environment, what /proc/cpuinfo must name).
SETTINGS = {
    "SSE4.1, two threads": ({"ONEDNN_MAX_CPU_ISA": "SSE41", **TWO_THREADS}, "sse4_1"),
    "AVX2, one thread": ({"ONEDNN_MAX_CPU_ISA": "AVX2", **ONE_THREAD}, "avx2"),
    "AVX2, two threads": ({"ONEDNN_MAX_CPU_ISA": "AVX2", **TWO_THREADS}, "avx2"),
    "AVX-512, one thread": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", **ONE_THREAD}, "avx512bw"),
    "AVX-512, two threads": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", **TWO_THREADS}, "avx512bw"),
    "without oneDNN, one thread": ({"TF_ENABLE_ONEDNN_OPTS": "0", **ONE_THREAD}, ""),
    "without oneDNN, two threads": ({"TF_ENABLE_ONEDNN_OPTS": "0", **TWO_THREADS}, ""),
}


def instructions() -> set[str]:
    """The instruction sets that the processor has, as Linux names them; empty where that is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith("flags") for word in line.split(":")[1].split()}


def main(arguments: list[str]) -> int:
    """Runs every setting; prints a line for each at the end."""
    available, lines, failed = instructions(), [], False
    for name, (environment, needed) in SETTINGS.items():
        if needed and needed not in available:
            lines.append(f"{name}: left out, this processor has no {needed}")
            continue
        print(f"== {name}", flush=True)
        start = time.monotonic()
        command = [sys.executable, "-m", "pytest", "--durations=0", "--durations-min=60", *arguments, *SENSITIVE]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}).returncode
        failed |= code != 0
        lines.append(f"{name}: {'failed' if code else 'passed'} in {(time.monotonic() - start) / 60:.1f} minutes")
    print("\n".join(lines))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
