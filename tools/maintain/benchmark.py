"""Measures what training costs here, in alternating rounds; docs/performance.md has the figures.

    python tools/maintain/benchmark.py [--what=stream,step] [--batch_size=128 --rounds=5 --steps=20] [--json=FILE]
    python tools/maintain/benchmark.py --against=torch [--torch_python=PATH] [--what=step,stream]

`--what` names sub-benchmarks: stream (P, and pairs of P and Q), step (training, CMO, share of a matrix product),
variants (the step without what makes it fast; with --nodeterministic also under XLA), mix (CMO from memory and from
JPEG files), evaluation, startup, checkpoint, decode (large JPEGs), split (of a large set) and family (a step
of CMO's relatives over one of cross-entropy). Images are random pixels
of CIFAR-10-LT's shape and class counts (ratio 100): the work is the same, and no data set is needed.
Every round takes each side once, in turn, so that a noisy machine hits all alike; ratios are medians of the rounds'.
"""

import importlib
import json
import os
import platform
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from cmo_tf.core.errors import UserError  # noqa: E402
from tools.maintain.benchmarks import rounds  # noqa: E402

BENCHES = {"stream": "stream:make", "step": "step:make", "variants": "step:make_variants", "mix": "step:make_mix",
           "evaluation": "evaluation:make", "startup": "startup:make", "checkpoint": "checkpoint:make",
           "decode": "others:make_decode", "split": "others:make_split", "family": "family:make"}
AGAINST = {"step": "against:make_step", "stream": "against:make_stream"}


def define():
    """The flags."""
    values = flags.FlagValues()
    flags.DEFINE_list("what", None, f"sub-benchmarks: {', '.join(BENCHES)}; default stream,step", flag_values=values)
    flags.DEFINE_enum("against", None, ["torch"], "compare step and stream with it", flag_values=values)
    flags.DEFINE_string("torch_python", None, "Python that has torch; default this one", flag_values=values)
    flags.DEFINE_string("model", "resnet32", "network", flag_values=values)
    flags.DEFINE_integer("batch_size", 128, "images a step", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("images", 12406, "images of the set", lower_bound=1, flag_values=values)
    flags.DEFINE_string("data_dir", None, "decode: folder of JPEGs; default made ones", flag_values=values)
    flags.DEFINE_integer("rounds", 5, "measured rounds", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("steps", 20, "measured steps a round", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("threads", 0, "threads of an operation and of operations; 0: as many as cores", lower_bound=0,
                         flag_values=values)
    flags.DEFINE_bool("deterministic", True, "deterministic operations, as the program has on CPUs", flag_values=values)
    flags.DEFINE_string("json", None, "also write the figures to this file", flag_values=values)
    return values


def run(options) -> dict:
    """Runs what is asked for and prints its tables; {name of sub-benchmark: summary}."""
    table, wanted = (AGAINST, "step,stream") if options.against else (BENCHES, "stream,step")
    names = options.what or wanted.split(",")
    for name in names:
        if name not in table:
            raise UserError(f"--what={name}: there are {', '.join(table)}")
    from cmo_tf.main import import_tensorflow
    import_tensorflow()
    import tensorflow as tf
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)
    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    results = {}
    for name in names:
        module, attribute = table[name].split(":")
        bench = getattr(importlib.import_module(f"tools.maintain.benchmarks.{module}"), attribute)(options)
        title = f"{name} against {options.against}" if options.against else name
        results[name] = rounds.summary(bench, rounds.measure(title, bench, options.rounds))
        rounds.show(title, results[name])
    return results


def main(arguments=None) -> int:
    """The command line."""
    values = define()
    try:
        stray = values([__file__, *(sys.argv[1:] if arguments is None else arguments)])[1:]
        if stray:
            raise UserError(f"{stray[0]!r} is no flag; write --name=value")
        results = run(values)
    except (UserError, flags.Error) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    if values.json:
        from cmo_tf.monitoring import memory
        machine = {"cores": len(os.sched_getaffinity(0)), "processor": platform.machine()}
        with open(values.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine, "peak_rss_bytes": memory.peak_rss(), **results}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
