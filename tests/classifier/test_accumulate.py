"""`--gradient_accumulation`: a step in micro-batches is the step on the whole batch."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.callbacks import DRW
from cmo_tf.classifier import build
from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import strategies
from cmo_tf.losses import LDAM, LOSSES, BalancedSoftmax, CrossEntropy
from cmo_tf.models import create
from cmo_tf.models.causal import with_causal_head
from tests.support.program import ROOT
from tests.support.small_models import (
    COUNTS,
    WEIGHTS,
    assert_close,
    small_classifier,
    small_network,
    small_stream,
    trained,
)

KINDS = {"weighted ce": lambda: CrossEntropy(WEIGHTS), "ldam": lambda: LDAM(COUNTS, scale=5.0),
         "bs": lambda: BalancedSoftmax(COUNTS, WEIGHTS)}


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_equal_the_batch(kind):
    """Batches of 16, 16 and 5 rows, mixed by CMO, in one, four and eight parts; re-weighting switched on meanwhile."""
    found = []
    for parts in (1, 4, 8):
        model = small_classifier(KINDS[kind](), accumulation=parts)
        found.append(trained(model, small_stream(), callbacks=[DRW(COUNTS, start_epoch=1)]))
    assert_close(found[0], found[1])
    assert_close(found[0], found[2])  # three of the eight get no row of the short batch


def test_on_two_devices():
    found = []
    for config, parts in ((Config(), 1), (Config(strategy="mirrored"), 2)):
        with strategies.strategy(config).scope():
            model = small_classifier(CrossEntropy(WEIGHTS), accumulation=parts)
        found.append(trained(model, strategies.per_replica(config, small_stream())))
    assert_close(*found)


def test_batchnorm_moves_once_a_micro_batch():
    """On two devices and on one; its statistics stay finite where a micro-batch has no rows."""
    for config in (Config(), Config(strategy="mirrored")):
        with strategies.strategy(config).scope():
            model = small_classifier(CrossEntropy(WEIGHTS), small_network(norm=True), accumulation=4)
        _, weights = trained(model, strategies.per_replica(config, small_stream()))
        assert all(np.isfinite(w).all() for w in weights)
    norm = next(layer for layer in model.inner.layers if layer.name.startswith("batch_norm"))
    assert np.abs(norm.moving_mean.numpy()).max() > 0


def test_losses_that_couple_rows_are_refused():
    coupled = [name for name in LOSSES if LOSSES[name].couples_rows]
    assert coupled == ["lade", "isda", "paco"]
    config = Config(loss="lade", gradient_accumulation=4)
    with pytest.raises(UserError, match="--gradient_accumulation=4: --loss=lade compares the rows"):
        build.check_accumulation(config, LOSSES["lade"](COUNTS), small_network())


def test_networks_that_bring_replicas_together_are_refused():
    network = with_causal_head(create("resnet20", 5, (8, 8, 3)), 5)
    build.check_accumulation(Config(gradient_accumulation=4), CrossEntropy(), network)
    with pytest.raises(UserError, match="--gradient_accumulation=4: --method=causal_norm brings"):
        build.check_accumulation(Config(gradient_accumulation=4, strategy="mirrored", method="causal_norm"),
                                 CrossEntropy(), network)


def test_under_xla():
    found = []
    for parts, jit_compile in ((1, False), (4, True)):
        model = small_classifier(CrossEntropy(WEIGHTS), accumulation=parts, jit_compile=jit_compile)
        found.append(trained(model, small_stream(drop_remainder=True, batch_size=16), steps=2))
    assert_close(*found)


@pytest.mark.slow
def test_memory_is_that_of_a_micro_batch():
    """Peak resident memory of a step on 384 rows: 1444 MB at once, 906 MB in six parts, 884 MB for 64 rows."""
    whole, parts, small = (peak_memory(*sizes) for sizes in ((384, 1), (384, 6), (64, 1)))
    print(f"peak memory in MB: {whole} at once, {parts} in six parts, {small} for a sixth of the rows")
    assert parts - small < 0.25 * (whole - small)


def peak_memory(rows, parts):
    """MB of a process that takes a step on a ResNet-20."""
    program = f"""
import numpy as np, tensorflow as tf
from tests.support.small_models import small_classifier
from cmo_tf.losses import CrossEntropy
from cmo_tf.models import create
from cmo_tf.monitoring.memory import peak_rss
image = np.zeros(({rows}, 32, 32, 3), np.uint8)
label = np.arange({rows}, dtype=np.int32) % 5
batch = dict(image=image, image_q=image, label=label, label_q=label, lam=np.ones({rows}, np.float32),
             box=np.zeros(({rows}, 4), np.int32))
model = small_classifier(CrossEntropy(num_classes=5), create("resnet20", 5, (32, 32, 3)), accumulation={parts})
model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
print(peak_rss() // 2**20)
"""
    ended = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                           capture_output=True, check=True)
    return int(ended.stdout.split()[-1])


@pytest.mark.parametrize("name", sorted(set(LOSSES)))
def test_denominators_depend_on_labels_alone(name):
    """What accumulation relies on: it takes them before any forward pass."""
    if LOSSES[name].couples_rows:
        return
    loss = LOSSES[name].for_counts(np.array(COUNTS))
    random, rows = np.random.RandomState(0), 6
    labels = random.randint(0, 5, rows)

    def outputs():
        wide = {"logits": (5,), "features": (7,), "experts": (3, 5), "help": (2,), "used": ()}
        return {k: tf.constant(random.normal(size=(rows, *shape)), tf.float32) for k, shape in wide.items()}
    found = [[float(d) for _, d in (loss.sums(labels, out), *loss.extra_sums(out))] for out in (outputs(), outputs())]
    assert found[0] == found[1]


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match="--gradient_accumulation=3: does not divide --batch_size=128"):
        Config(gradient_accumulation=3)
