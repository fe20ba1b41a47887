"""RIDE: network and router against the official code, early exit, distillation, replicas, and runs of both stages."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import models
from cmo_tf.augment import AUGMENTATIONS
from cmo_tf.callbacks import LossPhase
from cmo_tf.classifier import build
from cmo_tf.classifier.classifier import LongTailClassifier
from cmo_tf.core.errors import UserError
from cmo_tf.losses import RIDE, ExpertAssignment
from cmo_tf.methods import ride
from cmo_tf.methods.early_exit import EarlyExit
from cmo_tf.mixing.cmo import CMO
from cmo_tf.mixing.remix import Remix
from cmo_tf.models.ride import ride_resnet_cifar, with_experts
from cmo_tf.models.router import with_router
from cmo_tf.optim import SGD
from cmo_tf.pipeline import train_stream
from cmo_tf.report.results import read_history, read_results
from cmo_tf.run import init_from
from cmo_tf.run.timeline import Timeline
from cmo_tf.sampling.samplers import balanced_buckets
from tests.support.method_runs import TINY, check_end_to_end, check_state_is_all_in_variables, check_two_steps, settings
from tests.support.program import assert_same_end, program
from tests.support.streams import small_set

MIXED = "--mix_skip_first=0", "--mix_skip_last=0"
# Five steps of four experts, then three of the router.
ROUTED = (*TINY, "--method=ride", "--experts=4", "--ride_router", "--mix=cmo", *MIXED, "--epochs=1",
          "--warmup_epochs=0", "--router_epochs=3")


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """Networks of 8 layers, for fast runs."""
    with pytest.MonkeyPatch.context() as patch:
        for registry in (models.MODELS, models.EXPERT_MODELS):
            patch.setitem(registry._places, "resnet8", f"{__name__}:resnet8")
        yield


def resnet8(**options):
    return ride_resnet_cifar(8, **options)


@pytest.fixture(scope="module")
def official(golden):
    with golden("ride_network") as file:
        return dict(file)


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    """(folder, how it ended) of a finished run of both stages."""
    run_dir = tmp_path_factory.mktemp("ride") / "routed"
    return run_dir, program(*ROUTED, f"--run_dir={run_dir}")


def weights(official, start):
    return {name.removeprefix(start): array for name, array in official.items() if name.startswith(start)}


def nhwc(images):
    return images.transpose(0, 2, 3, 1)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(("start", "prefix", "options"), [
    ("w/", "", {"name": "resnet20"}), ("wide/", "wide_", {"name": "resnet8", "experts": 2, "reduced": False})])
def test_official_network(official, start, prefix, options):
    network = models.create_experts(num_classes=10, seed=0, **options)
    given = {k: v for k, v in weights(official, start).items() if "expert_help" not in k}
    images = nhwc(official["x_nchw"])[:len(official[f"{prefix}logits_eval"])]
    for mode in ("eval", "train"):
        models.load_torch_weights(network, given)
        found = network(images, training=mode == "train")
        for name in ("logits", "experts", "features"):
            close(found[name], official[f"{prefix}{name}_{mode}"])


@pytest.fixture(scope="module")
def router(official):
    made = with_router(models.create_experts("resnet20", 10, seed=0), top=5, seed=0)
    models.load_torch_weights(made, weights(official, "w/"))
    return made


def test_official_router(official, router):
    images = nhwc(official["x_nchw"])
    with tf.GradientTape() as tape:
        loss = ExpertAssignment()(official["labels"], router(images, training=True))
    np.testing.assert_allclose(float(loss), official["router_loss"], rtol=2e-5)
    wanted = weights(official, "router_grad/")
    gradients = tape.gradient(loss, router.trainable_variables)
    assert len(gradients) == len(wanted) == 6
    for variable, gradient in zip(router.trainable_variables, gradients, strict=True):
        layer, parameter = variable.path.split("/")[-2:]
        expected = wanted[f"{layer}.{'weight' if parameter == 'kernel' else 'bias'}"].T
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    # Training has left the frozen BatchNorm alone: in evaluation it routes as the official code does.
    found = router(images, training=False)
    np.testing.assert_array_equal(found["used"], official["routed_experts"][:, 0])
    close(found["logits"], official["routed_logits"])
    assert set(official["routed_experts"][:, 0]) == {1, 3}


def test_early_exit_equals_all_experts_masked():
    network = with_router(models.create_experts("resnet8", 7, (10, 12, 1), experts=4, seed=3), seed=4)
    images = np.random.default_rng(0).normal(size=(24, 10, 12, 1)).astype("float32") * np.linspace(0.1, 3, 24)[
        :, None, None, None].astype("float32")
    fast, answers, seen = EarlyExit(network), network(images)["help"].numpy(), set()
    last = network.get_layer("expert_help_pred_fc")
    for shift in (-99.0, *(-np.quantile(answers[:, k], 0.5) for k in range(3)), 99.0):
        last.bias.assign_add([shift])
        dense = network(images)
        for rows in (slice(None), slice(3, 4)):
            logits, used = fast(images[rows])
            np.testing.assert_array_equal(used, dense["used"][rows])
            np.testing.assert_allclose(logits, dense["logits"][rows], atol=1e-4)
            seen |= set(used.numpy())
        k = dense["used"].numpy().astype(int)
        by_hand = [dense["experts"][i, :n].numpy().mean(0) for i, n in enumerate(k)]
        np.testing.assert_allclose(dense["logits"], by_hand, atol=1e-4)
        last.bias.assign_sub([shift])
    assert {1, 4} < seen


def test_the_network_is_its_seed_and_experts_differ():
    one, two, other = (models.create_experts("resnet8", 5, (8, 8, 3), seed=s) for s in (1, 1, 2))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [one.get_layer(f"expert{k}").get_layer(f"layer2s.{k}.0.conv1").kernel.numpy() for k in range(3)]
    kernels.append(other.get_layer("expert0").get_layer("layer2s.0.0.conv1").kernel.numpy())
    assert len({kernel.tobytes() for kernel in kernels}) == 4
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    half = models.create_experts("resnet8", 5, (8, 8, 3), scale=15.0, seed=1)(images)
    np.testing.assert_allclose(2 * half["logits"], one(images)["logits"], rtol=1e-5, atol=1e-5)
    assert models.create_experts("resnet32", 100, seed=0).count_params() == 788_528
    with pytest.raises(UserError, match="--experts=1"):
        models.create_experts("resnet8", 5, experts=1)
    with pytest.raises(UserError, match="no experts"):
        with_router(models.create("resnet20", 5))


def test_two_devices_equal_one():
    """Numerators and normalisers of all three terms, over full and short batches, also when rows are averaged."""
    devices = tf.config.list_logical_devices("CPU")
    counts = [16, 10, 6, 4, 1]
    images, labels = small_set(counts, 6, 6)

    def shared(x):
        return keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer=keras.initializers.HeNormal(0))(x)

    def private(x, k):
        return keras.layers.Conv2D(5, 3, activation="relu", kernel_initializer=keras.initializers.HeNormal(k))(x)

    found = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy([d.name for d in devices])):
        with strategy.scope():
            network = with_experts("tiny", (6, 6, 3), shared, private, 5, experts=2, seed=1)
            loss = RIDE(counts, class_weights=[0.2, 0.5, 1.0, 1.3, 2.0])
            model = LongTailClassifier(network, CMO(), keras.layers.Rescaling(1 / 255, offset=-0.5))
            model.compile(SGD(0.05, momentum=0.9, l2=1e-3), loss)
            loss.active.assign(1.0)
        stream = train_stream(images, labels, batch_size=16, seed=3, probability=1.0, start_step=1)
        history = model.fit(stream, steps_per_epoch=1, epochs=2, verbose=0).history["loss"]
        found.append((history, [w.numpy() for w in model.trainable_variables]))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
    # The published mean over rows of Remix, by hand.
    model.mixer = Remix(counts)
    batch = {"image": images[:8], "label": labels[:8], "label_q": labels[8:16], "lam": np.linspace(0, 1, 8)}
    batch = {k: tf.constant(v, tf.float32 if k == "lam" else None) for k, v in batch.items()}
    outputs = {k: tf.constant(v) for k, v in network(images[:8] / np.float32(255)).items()}
    value = sum(((share * v * w).numpy().mean() for share, (v, w) in (
        (batch["lam"], loss.terms(labels[:8], outputs)), (1 - batch["lam"], loss.terms(labels[8:16], outputs)))),
        start=loss.extra(outputs).numpy().mean())
    assert float(model._share(batch, outputs, None)) == pytest.approx(value, rel=1e-5)


def test_balanced_buckets():
    labels = np.repeat(np.arange(4), [40, 10, 3, 0])
    order = balanced_buckets(labels, [40, 10, 3, 0], np.random.RandomState(0), 0.0)
    assert len(order) == 53 and (np.bincount(labels[order]) > 9).all()
    for label in range(3):
        times = np.bincount(order[labels[order] == label], minlength=53)[labels == label]
        assert times.max() - times.min() <= 1


def test_rotation_is_that_of_pil():
    from PIL import Image
    policy = AUGMENTATIONS["pad4_flip_rotate15"](size=(32, 32))
    images = np.random.RandomState(0).randint(0, 256, (40, 32, 32, 3)).astype("uint8")
    drawn = policy.draw(tf.constant([1, 2], tf.int64), 40)
    angles = drawn["1.angle"].numpy()
    assert -15 <= angles.min() < -12 and 12 < angles.max() < 15
    upright = policy.policies[0].apply(images, {k[2:]: v for k, v in drawn.items() if k.startswith("0.")}).numpy()
    turned = policy.apply(images, drawn).numpy()
    for before, after, angle in zip(upright, turned, angles, strict=True):
        np.testing.assert_array_equal(after, Image.fromarray(before).rotate(float(angle), Image.Resampling.NEAREST))


def test_course():
    config, _ = settings("ride", "--epochs=200", "--ride_router", "--ride_diversity=-0.2", "--router_pos_weight=50")
    first, second = ride.stages(config)
    assert first.flags["router_pos_weight"] == 100 and second.flags["ride_diversity"] == -0.45
    timeline = Timeline(config, 5)
    reweight, phase = first.callbacks(build, config, type("Data", (), {"counts": [5, 1]}), timeline, None)
    assert isinstance(phase, LossPhase) and phase.start_epoch == reweight.start_epoch == 160
    wanted = {"epochs": 5, "batch_size": 512, "lr": 0.01, "schedule": "cosine", "warmup_epochs": 0, "l2": 5e-4,
              "nesterov": True, "sampler": "balanced_buckets", "mix": "none", "reweight": "none", "loss": "ride_router"}
    assert {k: second.flags[k] for k in wanted} == wanted
    for flags, told in ((("--experts=4",), "--experts=4 does nothing"), (("--distill_from=x",), "--distill_from=x")):
        with pytest.raises(UserError, match=told):
            settings("ce", *flags)
    with pytest.raises(UserError, match="--method=ride"):
        build.classifier(*settings("plain", "--loss=ride"))
    with pytest.raises(UserError, match="resnet32_128.*model with experts"):
        first.classifier(build, *settings("ride", "--model=resnet32_128"), None)


def test_two_steps_and_evaluation(tmp_path):
    check_two_steps(tmp_path, "ride", "--experts=2", "--mix=cmo", *MIXED)


@pytest.mark.parametrize("flags", [(), ("--mix=remix",), ("--sampler=class_balanced",)], ids=("ride", "remix", "ros"))
def test_two_eager_steps(flags):
    config, data = settings("ride", *flags, *MIXED)
    stage, timeline = ride.stages(config)[0], Timeline(config, 5)
    model = stage.classifier(build, config, data, None)
    model.run_eagerly = True
    before = [w.numpy() for w in model.trainable_variables]
    losses = model.fit(stage.stream(build, config, data, timeline, 0), steps_per_epoch=1, epochs=2, verbose=0,
                       callbacks=stage.callbacks(build, config, data, timeline, model)).history["loss"]
    assert np.isfinite(losses).all()
    assert min(np.abs(w.numpy() - b).max() for w, b in zip(model.trainable_variables, before, strict=True)) > 0


def test_distillation(routed, tmp_path):
    config, data = settings("ride", f"--distill_from={routed[0]}")
    model = ride.stages(config)[0].classifier(build, config, data, None)
    plain = ride.stages(config)[0].classifier(build, settings("ride")[0], data, None)
    assert len(model.variables) == len(plain.variables)  # checkpoints have no teacher
    images = tf.constant(data.train.images[:9])
    outputs = model._forward({"image": images})
    teacher = keras.models.load_model(routed[0] / "model.keras")
    np.testing.assert_allclose(outputs["teacher"], teacher(images, training=True)["logits"], atol=1e-4)
    assert "teacher" not in model(images)
    model.run_eagerly = True
    stream = build.stream(config, data, Timeline(config, 5))
    assert np.isfinite(model.fit(stream, steps_per_epoch=2, verbose=0).history["loss"]).all()
    with pytest.raises(UserError, match="--distill_from.*no model.keras"):
        ride.teacher(settings("ride", f"--distill_from={tmp_path}")[0], data)
    with pytest.raises(UserError, match="--distill_from.*10 classes"):
        ride.teacher(config, type("Data", (), {"image_shape": data.image_shape, "num_classes": 4}))


def test_a_run_of_both_stages(routed):
    run_dir, ended = routed
    assert ended.code == 0, ended.err
    found, rows = read_results(str(run_dir)), read_history(run_dir)
    assert [row["stage"] for row in rows] == ["experts", "router", "router", "router"] and found["steps"] == 8
    told = found["method"]
    assert 1 <= told["experts_used"] <= 4 and sum(told["experts_used_shares"]) == pytest.approx(1, abs=1e-3)
    assert told["early_exit_accuracy"] == pytest.approx(found["accuracy"]["all"], abs=0.3)
    assert min(told["milliseconds_per_image"], told["milliseconds_per_image_all_experts"]) > 0
    assert "router: experts_used" in (run_dir / "log.txt").read_text()
    evaluated = program("--mode=eval", f"--run_dir={run_dir}")
    assert evaluated.code == 0 and evaluated.out.splitlines()[-1] == ended.out.splitlines()[-1], evaluated.err


def test_the_saved_model_exits_early(routed):
    _, data = settings("ride")
    model = keras.models.load_model(routed[0] / "model.keras")
    logits, used = EarlyExit(model)(data.test.images[:50])
    dense = model(data.test.images[:50])
    np.testing.assert_array_equal(used, dense["used"])
    np.testing.assert_allclose(logits, dense["logits"], atol=1e-4)


@pytest.mark.slow
def test_killed_in_the_router_it_ends_the_same(routed, tmp_path):
    """Also the experts are those of stage 1: the router trains alone."""
    parts = tmp_path / "parts"
    assert program(*ROUTED, "--max_steps=6", f"--run_dir={parts}").code == 0
    ended = program(*ROUTED, f"--run_dir={parts}")
    assert ended.code == 0, ended.err
    assert read_results(str(parts))["resumed_from_steps"] == [6]
    assert_same_end(routed[0], parts)


def test_a_router_on_a_finished_run(routed):
    """What --init_from hands over: a saved network, here one that has a router already."""
    config, data = settings("ride", "--ride_router", f"--init_from={routed[0]}", "--router_top=3")
    previous = init_from.network(config, data)
    model = ride.stages(config)[1].classifier(build, dataclasses.replace(config, loss="ride_router"), data, previous)
    assert len(model.trainable_variables) == 8 and model.inner.get_layer("expert_help_pred_fc").kernel.shape == (19, 1)
    outputs = previous(data.test.images[:4] / np.float32(16))
    np.testing.assert_array_equal(model.inner(data.test.images[:4] / np.float32(16))["experts"], outputs["experts"])
    with pytest.raises(UserError, match="--ride_router"):
        EarlyExit(models.create_experts("resnet8", 5, experts=2))


def test_state_is_all_in_variables():
    check_state_is_all_in_variables("ride", "--experts=2", "--mix=cmo", *MIXED)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--mix=none",), ("--mix=cmo",), ("--mix=cmo", "--ride_router")],
                         ids=("ride", "cmo", "router"))
def test_end_to_end(tmp_path, flags):
    check_end_to_end(tmp_path, "ride", *flags)
