"""Writes a set of pictures as arrays, for scripts without TensorFlow: x_train, y_train, x_test, y_test in an .npz file.

    python tools/export_arrays.py --dataset=cifar10 --data_dir=DIR --out=cifar10.npz

The pictures are uint8 (N, H, W, C) in the original order of the set, so that the published long-tailed splits can be
taken from them. examples/cifar10lt_any_backend.py and tools/reference_torch.py read the file.
"""

import io
import os
import sys
from pathlib import Path

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout that is not installed
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from cmo_tf import datasets  # noqa: E402
from cmo_tf.core.errors import UserError  # noqa: E402
from cmo_tf.report.results import write_atomically  # noqa: E402


def export(name, data_dir, path) -> None:
    """Writes the splits of the set `name` to `path`, whole or not at all."""
    source = datasets.load(name, data_dir=data_dir)
    if not source.in_memory:
        raise UserError(f"--dataset={name}: is read from files, picture by picture; sets in memory can be exported")
    arrays = {}
    for split in ("train", "test"):
        part = getattr(source, split)
        arrays[f"x_{split}"], arrays[f"y_{split}"] = part.images, part.labels.astype(np.int64)
    data = io.BytesIO()
    np.savez(data, **arrays)
    write_atomically(path, data.getvalue())


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_string("dataset", "cifar10", "as --dataset of the program", flag_values=values)
    flags.DEFINE_string("data_dir", None, "as --data_dir of the program", flag_values=values)
    flags.DEFINE_string("out", "cifar10.npz", "the file", flag_values=values)
    try:
        stray = values([__file__, *(sys.argv[1:] if arguments is None else arguments)])[1:]
        if stray:
            raise UserError(f"{stray[0]!r} is no flag; write --name=value")
        export(values.dataset, values.data_dir, values.out)
    except (UserError, flags.Error) as error:
        print(f"export_arrays: {error}", file=sys.stderr)
        return 2
    print(f"{values.out}: {os.path.getsize(values.out):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
