"""Ten steps of examples/cifar10lt_any_backend.py from seeded weights on the backend that KERAS_BACKEND names.

    KERAS_BACKEND=jax python tests/backends/example_steps.py DATA.npz OUT.npz
"""

import importlib.util
import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

EXAMPLE = Path(__file__).parents[2] / "examples/cifar10lt_any_backend.py"
STEPS, MIXED_EPOCH, WEIGHTED_EPOCH = 5, 10, 160
RATE = 0.0005  # at that of the recipe, 0.02, rounding grows fivefold a step on so small batches


def example():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("cifar10lt_any_backend", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seeded(weights):
    """Weights as they are drawn for a start, the same on every backend: kernels by He's rule, all else as it is."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, np.sqrt(2 / np.prod(w.shape[:-1])), w.shape) if w.ndim > 1 else w for w in weights]


def train(module, data, options):
    """(losses, weights) after five mixed steps without class weights and five with them."""
    (images, labels), _ = module.load(data)
    counts = np.bincount(labels)
    model = module.build(counts, options)
    model.set_weights(seeded(model.get_weights()))
    model.layers[-1].layers[-1].bias.assign(np.zeros(10))  # its start is random
    drw, on_device, losses = module.drw(counts, options), module.on_device(images, labels), []
    drw.set_model(model)
    for epoch in (MIXED_EPOCH, WEIGHTED_EPOCH):
        drw.on_epoch_begin(epoch)
        model.optimizer.learning_rate = RATE
        plan = module.plan_of(labels, options, epoch)
        for step in range(STEPS):
            rows = slice(step * module.BATCH, (step + 1) * module.BATCH)
            tensors = {name: ops.convert_to_tensor(column[rows]) for name, column in plan.items()}
            model.reset_metrics()
            losses.append(model.train_on_batch(*module.mixed_batch(on_device, module.CMO(), tensors)))
    return np.array(losses, "float64"), model.get_weights(), plan["mixed"].any()


def main(data, out):
    module = example()
    module.BATCH = 16  # ten steps in seconds
    options = module.parse(["--method=ce_drw", "--mix=cmo", "--model=resnet20"])
    losses, weights, mixed = train(module, data, options)
    assert mixed, "no batch was mixed: nothing of CMO was seen"
    if keras.backend.backend() != "tensorflow":
        assert importlib.util.find_spec("tensorflow") is None, "this environment has TensorFlow"
    np.savez(out, losses=losses, **{f"weight{place}": weight for place, weight in enumerate(weights)})


if __name__ == "__main__":
    main(*sys.argv[1:])
