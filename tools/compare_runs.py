"""Compares finished runs: accuracies with their spread over seeds, gains by class, calibration, flags that differ.

    python tools/compare_runs.py runs/ce-s0 runs/ce-s1 runs/ce_cmo-s0 runs/ce_cmo-s1 [--baseline=ce] [--out=DIR]
    python tools/compare_runs.py docs/results/cifar10lt/runs.jsonl:full_ce docs/results/cifar10lt/runs.jsonl:full_ce_cmo

Runs whose flags differ in the seed only are one setting. Gains are relative to the first setting, or to --baseline.
A folder needs results.json alone; FILE.jsonl is every run of a study that tools/sweep.py kept, FILE.jsonl:NAME one.
With --out, DIR gets compare.html (one self-contained file) and compare.md. Runs on another test set are refused;
another training split is allowed and said.
"""

import dataclasses
import os
import sys

from absl import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from cmo_tf.config import Config  # noqa: E402
from cmo_tf.core.errors import UserError  # noqa: E402
from cmo_tf.report import comparison, comparison_report  # noqa: E402


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_string("baseline", None, "setting, or run, that gains are relative to; default the first",
                        flag_values=values)
    flags.DEFINE_string("out", None, "folder for compare.html and compare.md", flag_values=values)
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    try:
        folders = values([__file__, *(sys.argv[1:] if arguments is None else arguments)])[1:]
        runs, left_out = comparison.read(folders, defaults)
        for line in left_out:
            print(f"compare_runs: {line}", file=sys.stderr)
        found = comparison.compare(runs, values.baseline)
        print(comparison_report.text(found))
        if values.out:
            print(f"\n{_written(found, values.out)}")
        sys.stdout.flush()
    except (UserError, flags.Error) as error:
        print(f"compare_runs: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _written(found, folder: str) -> str:
    """Path of the page in a folder, which is made if it is not there."""
    try:
        os.makedirs(folder, exist_ok=True)
        return str(comparison_report.write(found, folder))
    except OSError as error:
        raise UserError(f"--out={folder}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    sys.exit(main())
