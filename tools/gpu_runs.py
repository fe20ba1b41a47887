"""Everything that a card is wanted for, in one command of at most twelve minutes; each run is on disk when it is done.

Here, once (the carried folder is ignored by git: 38 MB of pictures and the packages that the other machine lacks):

    python tools/export_arrays.py --data_dir=DIR --out=ARRAYS/cifar10.npz
    python tools/gpu_runs.py --pack=ARRAYS/cifar10.npz --data=build/gpu/pack
    pip download --no-deps --only-binary=:all: --python-version=3.12 --platform=manylinux_2_28_x86_64 \\
        --platform=manylinux2014_x86_64 -d build/gpu/wheels keras==3.15.1 namex==0.1.0 optree==0.20.0

There, with JAX and PyTorch for the card but no TensorFlow:

    python -m pip install --no-index --no-deps --target=/tmp/site build/gpu/wheels/*.whl
    PYTHONPATH=/tmp/site python tools/gpu_runs.py --data=build/gpu/pack --out=OUT [--have=docs/results/gpu]

--parts are run in order, each for so many seconds at most: `cost` (step times without and with CMO), `ours` (eight
rows of 200 epochs by the example, on JAX), `torch` (rows of the reference). Rows that a file in --have holds are left
out, so that a second command goes on with the first one's. OUT gets cost.json, ours.jsonl, torch.jsonl and a log each;
they belong under docs/results/gpu.
"""

import argparse
import glob
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PARTS = "cost:110,ours:420,torch:600"
ROWS = {"ours": "ce,ce_cmo,ldam_drw,ldam_drw_cmo,bs,bs_cmo",  # those of ce_drw and ce_drw_cmo branch from the first two
        "torch": "ce_cmo,ce,ldam_drw_cmo,ce_drw_cmo,ldam_drw,ce_drw"}
PROGRAMS = {"cost": "cost.py", "ours": "ours.py", "torch": "reference.py"}


def command(part, seconds, options):
    """The program of a part and its flags."""
    line = [sys.executable, str(ROOT / "tools/gpu" / PROGRAMS[part]), f"--limit_s={seconds:.0f}"]
    if part == "cost":
        return [*line, f"--out={options.out}/cost.json", *(["--tiny", "--rounds=1"] if options.tiny else [])]
    small = ["--epochs=10", "--steps=2", "--batch_size=4", f"--depth={20 if part == 'ours' else 8}"]
    have = glob.glob(f"{options.have}/**/*.jsonl", recursive=True) if options.have else []
    rows = options.rows or ROWS[part]
    return [*line, f"--data={options.data}", f"--out={options.out}/{part}.jsonl", f"--rows={rows}",
            f"--seed={options.seed}", *(small if options.tiny else []), *(["--have", *have] if have else [])]


def run(parts, options):
    """Runs the parts one after the other; True if all ended well. One that fails leaves the time to the next."""
    deadline, well = time.monotonic() + options.limit_s, True
    for part, _, share in (word.partition(":") for word in parts.split(",")):
        left = min(deadline - time.monotonic(), float(share or options.limit_s))
        if left <= 0:
            print(f"{part}: no time left", flush=True)
            continue
        log = Path(options.out, f"{part}.log")
        with open(log, "w", encoding="utf-8") as file:
            # A start and a compilation may outlast the limit that the part itself keeps.
            code = execute(command(part, left, options), file, left + 30)
        print(f"{part}: exit code {code}; {log}", flush=True)
        well = well and code == 0
    return well


def execute(line, file, seconds):
    """Exit code of a program; it is ended after `seconds`."""
    try:
        return subprocess.run(line, stdout=file, stderr=subprocess.STDOUT, timeout=seconds, check=False,
                              env={**os.environ, "PYTHONUNBUFFERED": "1"}).returncode
    except subprocess.TimeoutExpired:
        return 124


def main(arguments=None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Rows and step times on a card")
    parser.add_argument("--data", required=True, help="folder of the packed pictures")
    parser.add_argument("--pack", help="only write that folder, from this file of tools/export_arrays.py")
    parser.add_argument("--out", default="build/gpu/out", help="folder of the results")
    parser.add_argument("--have", help="folder with results of earlier commands")
    parser.add_argument("--parts", default=PARTS)
    parser.add_argument("--rows", help="in place of all rows of `ours` and `torch`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit_s", type=float, default=700.0, help="seconds in all")
    parser.add_argument("--tiny", action="store_true", help="two steps an epoch of small networks, to try it out")
    options = parser.parse_args(arguments)
    unknown = {word.partition(":")[0] for word in options.parts.split(",")} - set(PROGRAMS)
    if unknown:
        parser.error(f"--parts={options.parts}: {unknown.pop()} is none of {', '.join(PROGRAMS)}")
    if options.pack:
        from tools.gpu import pack
        pack.pack(options.pack, options.data)
        return 0
    Path(options.out).mkdir(parents=True, exist_ok=True)
    return 0 if run(options.parts, options) else 1


if __name__ == "__main__":
    sys.exit(main())
