"""Trains a row of CIFAR-10-LT by the published algorithm in PyTorch, on the very batches of the program.

    python tools/reference_torch.py --method=ce --mix=cmo --seed=0 --data_dir=DIR --run_dir=runs/torch_ce_cmo
    python tools/sweep.py --program=tools/reference_torch.py --python=PYTHON --data_dir=DIR \\
        --queue=docs/results/cifar10lt_200_torch/reference.txt

Network, losses, optimiser, rate and paste are written from the paper (tools/reference); only which pictures, crops and
boxes a batch holds comes from `cmo_tf.sampling.epoch_plan`. DIR holds cifar10.npz, which tools/export_arrays.py writes.
Needs torch, numpy and absl. The same command goes on from the last checkpoint; a finished run is left alone. The files
of the run folder are those that the program leaves: flags.cfg, log.txt, metrics.csv, predictions.npz, results.json.
"""

import os
import sys
from pathlib import Path

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout that is not installed

from cmo_tf import long_tail  # noqa: E402
from cmo_tf.core.damage import DAMAGE  # noqa: E402
from cmo_tf.core.errors import UserError  # noqa: E402

METHODS = ("ce", "ce_drw", "bs", "bs_drw", "ldam", "ldam_drw")
NUM_CLASSES = 10


def parse(arguments):
    """The flags as absl.flags.FlagValues; a UserError names a bad one."""
    values = flags.FlagValues()
    flags.DEFINE_enum("method", "ce", METHODS, "loss and deferred re-weighting", flag_values=values)
    flags.DEFINE_enum("mix", "none", ["none", "cmo"], "whether CMO mixes", flag_values=values)
    for name, default, least, text in (
            ("epochs", 200, 10, "length of the run"), ("seed", 0, 0, "of weights and batches"),
            ("eval_every", 5, 1, "epochs between two looks at the test set"),
            ("checkpoint_every", 5, 1, "epochs between two checkpoints"),
            ("max_steps", None, 1, "steps an epoch, to try it out"), ("depth", 32, 8, "of the ResNet, 6n + 2"),
            ("threads", None, 1, "of PyTorch; default its own choice")):
        flags.DEFINE_integer(name, default, text, lower_bound=least, flag_values=values)
    flags.DEFINE_string("data_dir", None, "folder of cifar10.npz", flag_values=values)
    flags.DEFINE_string("run_dir", None, "folder of the run", flag_values=values)
    flags.DEFINE_string("device", "cpu", "of PyTorch: cpu, cuda", flag_values=values)
    try:
        rest = values([__file__, *arguments])[1:]
    except flags.Error as error:
        raise UserError(str(error)) from None
    if rest:
        raise UserError(f"{rest[0]!r} is no flag; write --name=value")
    if (values.depth - 2) % 6:
        raise UserError(f"--depth={values.depth}: small-image ResNets have 6n + 2 layers")
    return values


def load(folder):
    """((images, labels) of the long-tailed training set, (images, labels) of the test set), original order."""
    path = Path(folder or "", "cifar10.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            train, test = ((file[f"x_{split}"], file[f"y_{split}"].reshape(-1)) for split in ("train", "test"))
    except (*DAMAGE, OSError) as error:
        raise UserError(f"--data_dir={folder}: {path} cannot be read ({error}); tools/export_arrays.py writes it") \
            from None
    counts = long_tail.long_tailed_counts(long_tail.count_labels(train[1], NUM_CLASSES), imbalance_ratio=100)
    chosen = long_tail.select_indices(train[1], counts, seed=0)
    return (train[0][chosen], train[1][chosen]), test


def train_row(values):
    """Trains the row of the flags, from its last checkpoint if there is one."""
    data = load(values.data_dir)
    import torch

    from tools.reference.run import Row, Run
    if values.threads:
        torch.set_num_threads(values.threads)
    run = Run(Row(**{name: values[name].value for name in Row._fields}), *data, values.run_dir, values.device)
    run.restore()
    run.go(values.checkpoint_every)


def main(arguments=None) -> int:
    """The command line."""
    try:
        values = parse(sys.argv[1:] if arguments is None else arguments)
        if not values.run_dir:
            raise UserError("--run_dir: name the folder of the run")
        if os.path.exists(os.path.join(values.run_dir, "results.json")):
            print(f"{values.run_dir}: finished")
        else:
            train_row(values)
        return 0
    except UserError as error:
        print(f"reference_torch: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
