"""A checkpoint of the whole training state, against the epoch it belongs to."""

import tempfile

from tools.maintain.benchmarks import material
from tools.maintain.benchmarks.rounds import Bench, Stopwatch, Stretch
from tools.maintain.benchmarks.step import trainer

EPOCH = 97  # steps of CIFAR-10-LT at ratio 100 and batch 128


def make(options) -> Bench:
    """Copying the state; copying, writing, syncing and checksumming it; the step that an epoch has `EPOCH` of."""
    from cmo_tf.run import state
    from cmo_tf.run.checkpoint import CheckpointStore
    bench = Bench("times", {})
    store = CheckpointStore(bench.close.enter_context(tempfile.TemporaryDirectory()))
    train = trainer(options, *material.in_memory(options), 0.0, None)

    def steps():
        stretch = train()
        return Stretch(stretch.units / train.batch, stretch.wall, stretch.processor)

    def notes(result):
        rates = result["per_second"]
        share = 100 * rates["step"]["median"] / rates["save"]["median"] / EPOCH
        return [f"a checkpoint takes {share:.2f} % of an epoch of {EPOCH} steps"]
    bench.sides = {"copy": repeated(lambda number: state.arrays(train.classifier)),
                   "save": repeated(lambda number: store.save(number, state.arrays(train.classifier), {})),
                   "step": steps}
    bench.notes = notes
    return bench


def repeated(save, times=5):
    """A side that does something `times` times."""
    done = iter(range(10**9))

    def run():
        with Stopwatch() as watch:
            for _ in range(times):
                save(next(done))
        return watch.stretch(times)
    return run
