"""`--precision` and `--jit_compile`: float32 where it matters, whole labels, a loss scale that resumes, XLA."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import CMO, LongTailClassifier
from cmo_tf.classifier import build
from cmo_tf.classifier.loss_scale import LossScale
from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import strategies
from cmo_tf.losses import LDAM, BalancedSoftmax, CrossEntropy
from cmo_tf.mixing import MIXERS
from cmo_tf.optim import SGD
from cmo_tf.run import state
from tests.support.determinism import any_operations  # noqa: F401
from tests.support.small_models import COUNTS, WEIGHTS, small_classifier, small_network, small_stream, trained

PRECISIONS = ("float32", "bfloat16", "float16")


@pytest.fixture(params=PRECISIONS)
def precision(request):
    with build._precision(request.param):
        yield request.param


def test_labels_and_losses_with_1200_classes(precision):
    """bfloat16 turns label 1001 into 1000: the loss in every precision is that of the true labels, in float32."""
    counts = np.arange(1200, 0, -1)
    random = np.random.RandomState(0)
    labels, labels_q = np.array([1001, 1003, 1199, 257]), np.array([999, 1001, 513, 1198])
    image = random.randint(0, 256, (4, 6, 6, 3)).astype(np.uint8)
    batch = {"image": image, "label": labels, "image_q": image[::-1], "label_q": labels_q,
             "lam": np.full(4, 27 / 36, np.float32), "box": np.tile([[0, 0, 3, 3]], (4, 1))}
    batch = {k: tf.constant(v) for k, v in batch.items()}
    for loss in (CrossEntropy(num_classes=1200), LDAM(counts), BalancedSoftmax(counts)):
        network = small_network(loss.head, classes=1200)
        model = LongTailClassifier(network, CMO(), keras.layers.Rescaling(1 / 255, offset=-0.5))
        model.compile(SGD(0.0), loss, auto_scale_loss=False)
        mixed = model.mixer(batch, training=True)
        np.testing.assert_array_equal(mixed["label"], labels)
        np.testing.assert_array_equal(mixed["label_q"], labels_q)
        assert mixed["lam"].dtype == tf.float32
        logits = model(mixed["image"], training=True)
        assert logits.dtype == tf.float32
        shares = float(mixed["lam"][0]), 1 - float(mixed["lam"][0])
        wanted = sum(share * float(loss(y, logits)) for share, y in zip(shares, (labels, labels_q), strict=True))
        assert loss(labels, tf.cast(logits, "bfloat16")).dtype == tf.float32
        assert model.train_on_batch(batch) == pytest.approx(wanted, rel=1e-6)


def test_the_l2_term_is_not_scaled():
    """Without a gradient a weight shrinks by lr * l2 whatever the scale; with one, the scale cancels."""
    weight, plain = (keras.Variable([2.0, -4.0]) for _ in range(2))
    scaled, bare = LossScale(SGD(0.5, momentum=0.9, l2=0.1), initial_scale=1024.0), SGD(0.5, momentum=0.9, l2=0.1)
    for optimizer, variable in ((scaled, weight), (bare, plain)):
        optimizer.build([variable])
    for gradient in (0.0, 3.0, -1.0):
        scaled.apply([tf.constant([gradient, gradient]) * 1024.0], [weight])
        bare.apply([tf.constant([gradient, gradient])], [plain])
        np.testing.assert_array_equal(weight, plain)


def overflowing(config):
    """A classifier whose scale is far too large at first, so that it leaves steps out and halves it."""
    with strategies.strategy(config).scope(), build._precision("float16"):
        optimizer = LossScale(SGD(0.1, momentum=0.9, l2=1e-3), initial_scale=2.0**22)
        return small_classifier(CrossEntropy(WEIGHTS), small_network(norm=True), optimizer)


@pytest.mark.parametrize("strategy", ["none", "mirrored"])
def test_an_overflow_leaves_the_step_out_and_the_scale_resumes(strategy):
    config = Config(strategy=strategy)

    def stream(step):
        return strategies.per_replica(config, small_stream(start_step=step))
    model = overflowing(config)
    start = [v.numpy() for v in model.trainable_variables]
    trained(model, stream(0), steps=1)
    assert float(model.optimizer.dynamic_scale.numpy()) == 2.0**21
    for variable, value in zip(model.trainable_variables, start, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    trained(model, stream(1), steps=7)
    saved = state.arrays(model)
    scale = float(model.optimizer.dynamic_scale.numpy())
    assert scale < 2.0**21 and any("dynamic_scale" in name for name in saved)
    assert any((v.numpy() != value).any() for v, value in zip(model.trainable_variables, start, strict=True))
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)
    trained(model, stream(8), steps=2)
    other = overflowing(config)
    state.restore(other, saved)
    assert float(other.optimizer.dynamic_scale.numpy()) == scale
    trained(other, stream(8), steps=2)
    for name, (mine, theirs) in zip(saved, zip(state.arrays(model).values(), state.arrays(other).values(),
                                               strict=True), strict=True):
        np.testing.assert_array_equal(theirs, mine, err_msg=name)


def test_one_replica_that_overflows_stops_all():
    place = strategies.strategy(Config(strategy="mirrored"))
    with place.scope():
        weight, optimizer = keras.Variable([1.0, 2.0]), LossScale(SGD(0.5), initial_scale=8.0)
        optimizer.build([weight])

    @tf.function
    def step(bad):
        def replica():
            here = tf.distribute.get_replica_context().replica_id_in_sync_group == bad
            optimizer.apply([tf.fill([2], float("inf") if here else 8.0)], [weight])
        place.run(replica)
    for bad in (0, 1):
        step(bad)
        np.testing.assert_array_equal(weight.numpy(), [1.0, 2.0])
    assert float(optimizer.dynamic_scale.numpy()) == 2.0
    step(2)
    np.testing.assert_array_equal(weight.numpy(), [1.0 - 0.5 * 8, 2.0 - 0.5 * 8])  # 2 replicas, 8 over scale 2


@pytest.mark.parametrize("kind", ["ce", "ldam", "bs"])
@pytest.mark.usefixtures("any_operations")
def test_xla_gives_the_same_step(kind):
    found = []
    for jit_compile in (False, True):
        loss = {"ce": CrossEntropy(WEIGHTS), "ldam": LDAM(COUNTS, scale=5.0), "bs": BalancedSoftmax(COUNTS)}[kind]
        model = small_classifier(loss, small_network(loss.head, norm=True), jit_compile=jit_compile)
        assert model.jit_compile is jit_compile
        found.append(trained(model, small_stream(drop_remainder=True, alpha=0.3), steps=2))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_xla_compiles_every_mixer(name):
    """Runs bring the plan in the batch, so that no mixer draws under XLA, whatever alpha is."""
    kind = MIXERS[name]
    mixer = kind.from_options(class_counts=np.array(COUNTS), alpha=0.3, seed=1)
    options = dict(canvas=kind.canvas, partner=kind.partner or "q", plan=kind.plan, alpha=0.3)
    batch = next(iter(small_stream(drop_remainder=True, **options)))
    mix = tf.function(lambda batch: mixer(batch, training=True), jit_compile=True)
    for ours, theirs in zip(mixer(batch, training=True).values(), mix(batch).values(), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_contradictions():
    full, mirrored = dict(drop_remainder=True), dict(strategy="mirrored")
    for flags, told in ((dict(jit_compile=True), "--jit_compile: XLA compiles for one size of batch; add --drop_"),
                        (dict(jit_compile=True, deterministic=True, **full), "--deterministic: Keras compiles nothing"),
                        (dict(jit_compile=True, **full, **mirrored), "--jit_compile: does not go with --strategy"),
                        (dict(sync_bn=True), "--sync_bn: is for several devices"),
                        (dict(num_devices=2), "--num_devices=2: is for --strategy=mirrored"),
                        (dict(worker_hosts="a:1,b:2"), "--worker_hosts=a:1,b:2: is for --strategy=multiworker"),
                        (dict(**mirrored, sync_bn=True, gradient_accumulation=2), "--gradient_accumulation=2")):
        with pytest.raises(UserError, match=told):
            Config(**flags)
