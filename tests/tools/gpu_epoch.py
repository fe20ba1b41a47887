"""An epoch of tools/gpu/ours.py against the same steps by the example's own model, on JAX; prints the differences.

    python tests/tools/gpu_epoch.py PACK
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

from tools.gpu import ours, pack  # noqa: E402

example, EPOCH, RATE = ours.example, 10, 0.01


def options():
    """A row with everything: CMO, and class weights from its first epoch on."""
    values = example.parse(["--method=ce_drw", "--mix=cmo", "--model=resnet20"])
    return SimpleNamespace(**vars(values))


def main(folder):
    example.BATCH = 25
    train, test = pack.load(folder)
    program = ours.Program(options(), train, test)
    model, drw = program.model, example.drw(program.counts, options())
    state, loss = program.epoch(program.start(), *ours.plans(train[1], options(), EPOCH), RATE,
                                drw.weights(200).astype("float32"))
    drw.set_model(model)
    drw.on_epoch_begin(200)
    model.optimizer.learning_rate = RATE
    plan, losses = example.plan_of(train[1], options(), EPOCH), []
    for start in range(0, len(train[1]), example.BATCH):
        tensors = {k: ops.convert_to_tensor(v[start:start + example.BATCH]) for k, v in plan.items()}
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*example.mixed_batch(program.data, program.cmo, tensors))))
    pairs = zip([*state[0], *state[1]], [*model.trainable_variables, *model.non_trainable_variables], strict=True)
    weights = max(float(np.abs(np.asarray(one) - np.asarray(other.value)).max()) for one, other in pairs)
    print(json.dumps({"loss": abs(float(loss) - np.mean(losses)), "weights": weights, "steps": len(losses),
                      "short": len(train[1]) % example.BATCH, "mixed": bool(plan["mixed"].any())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
