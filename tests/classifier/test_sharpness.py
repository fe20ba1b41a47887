"""`--sam_rho`: steps of sharpness-aware minimisation, by vectors of val-iisc/Saddle-LongTail and by definition."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import COUNTS, IMAGES, WEIGHTS, assert_close, small_classifier, small_network, small_stream, trained

from cmo_tf.callbacks import DRW
from cmo_tf.classifier import build, sharpness
from cmo_tf.classifier.classifier import LongTailClassifier
from cmo_tf.config import Config, parse
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import strategies
from cmo_tf.losses import LDAM, CrossEntropy
from cmo_tf.models.heads import NormedLinear
from cmo_tf.optim import SGD
from cmo_tf.optim.radius import parse_steps, rho_at

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "sam.npz", allow_pickle=False)
CASES = {"ce_rho0p05": 0.05, "ce_rho0p5": 0.5, "ce_drw_rho0p8": 0.8, "ldam_drw_rho0p8": 0.8, "ce_adaptive_rho0p5": 0.5}


def names(case):
    """Torch names of the trained variables, in the order of Keras'."""
    head = ["weight"] if case.startswith("ldam") else ["linear.weight", "linear.bias"]
    return ["conv.weight", "bn.weight", "bn.bias", *head]


def keras_layout(array, name):
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T if name == "linear.weight" else array


def golden(case, kind):
    return [keras_layout(GOLDEN[f"{case}/{kind}/{name}"], name) for name in names(case)]


def classifier(case):
    """The network that the vectors were made with, and their loss."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = keras.layers.Activation("softplus")(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    counts, weights = GOLDEN["class_counts"], GOLDEN["drw_weights"] if "drw" in case else None
    if case.startswith("ldam"):
        head, loss = NormedLinear(6), LDAM(counts, max_margin=0.5, scale=30.0, class_weights=weights)
    else:
        head, loss = keras.layers.Dense(6), CrossEntropy(class_weights=weights, num_classes=6)
    model = LongTailClassifier(keras.Model(image, head(x)), sam_rho=CASES[case], sam_adaptive="adaptive" in case)
    model.compile(SGD(0.1, momentum=float(GOLDEN["momentum"]), l2=float(GOLDEN["weight_decay"])), loss,
                  auto_scale_loss=False)
    model.optimizer.build(model.trainable_variables)
    starts = ["w_ldam/weight" if name == "weight" else f"w/{name}" for name in names(case)]
    for variable, start in zip(model.trainable_variables, starts, strict=True):
        variable.assign(keras_layout(GOLDEN[start], start.removeprefix("w/")))
    return model


def batch(step):
    images = tf.constant(GOLDEN["x"][step].transpose(0, 2, 3, 1))
    labels = tf.constant(GOLDEN["y"][step], tf.int32)
    return {"image": images, "label": labels}


def close(actual, wanted, share):
    for one, other in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=0, atol=share * np.abs(other).max())


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    """Both gradients and the climb of the first step, losses and norms of five, weights and velocities after them."""
    model, passes = classifier(case), []
    plain = model._gradients

    def recorded(*arguments):
        result = plain(*arguments)
        passes.append(([g.numpy() for g in result[0]], [w.numpy() for w in model.trainable_variables],
                       float(result[2]), [v.numpy() for v in model.network.non_trainable_variables]))
        return result
    model._gradients = recorded
    for step, rate in enumerate(GOLDEN["learning_rates"]):
        model.optimizer.learning_rate = rate
        model.train_step(batch(step))
        if not step:
            close([w.numpy() for w in model.trainable_variables], golden(case, "s0_after"), 1e-4)
    first, second = passes[:2]
    close(first[0], golden(case, "s0_grad"), 2e-5)
    close(second[1], golden(case, "s0_climbed"), 2e-5)
    close(second[0], golden(case, "s0_grad_at_climbed"), 2e-5)
    np.testing.assert_allclose([p[2] for p in passes[::2]], GOLDEN[f"{case}/loss_first"], rtol=1e-4)
    np.testing.assert_allclose([p[2] for p in passes[1::2]], GOLDEN[f"{case}/loss_second"], rtol=1e-4)
    close([w.numpy() for w in model.trainable_variables], golden(case, "after"), 1e-4)
    close([v.numpy() for v in model.optimizer.velocities], golden(case, "velocity"), 1e-4)
    close_statistics(model.network.non_trainable_variables, case, "after", 10)
    close_statistics(first[3], case, "s0_after_first_forward", 1)


def close_statistics(ours, case, kind, passes):
    """Running statistics after some forward passes; PyTorch's variance is that of n - 1, n = 768."""
    start, (mean, variance) = 0.9 ** passes, (np.asarray(v) for v in ours)
    unbiased = start + (variance - start) * 768 / 767
    close([mean, unbiased], [GOLDEN[f"{case}/{kind}/bn.running_{n}"] for n in ("mean", "var")], 1e-4)


def test_golden_rho():
    steps = [(5, 0.1), (160, 0.5), (180, 0.6)]
    np.testing.assert_allclose([rho_at(e, 0.05, steps) for e in range(200)], GOLDEN["rho_schedule_step"])
    for name, text in (("imagenet_ce", "5:0.1,60:0.5"), ("inat_ce", "5:0.1,75:0.2")):
        ours = [rho_at(e, 0.05, parse_steps(text)) for e in range(90)]
        np.testing.assert_allclose(ours, GOLDEN[f"rho_schedule_{name}"])


@pytest.mark.parametrize("kind", ["micro-batches", "two devices"])
def test_a_mixed_step_is_the_same_in_parts_and_on_two_devices(kind):
    """The norm is that of the gradient of the whole batch, and both passes have one mix."""
    config = Config(strategy="mirrored" if kind == "two devices" else "none")
    parts, ends = {"accumulation": 4} if kind == "micro-batches" else {}, []
    for how, options in ((Config(), {}), (config, parts)):
        with strategies.strategy(how).scope():
            model = small_classifier(CrossEntropy(WEIGHTS), sam_rho=0.3, **options)
        stream = strategies.per_replica(how, small_stream())
        ends.append(trained(model, stream, callbacks=[DRW(COUNTS, start_epoch=1)]))
    assert_close(*ends)
    plain = trained(small_classifier(CrossEntropy(WEIGHTS)), small_stream(), callbacks=[DRW(COUNTS, start_epoch=1)])
    assert max(np.abs(a - b).max() for a, b in zip(plain[1], ends[0][1], strict=True)) > 1e-3


def test_weights_are_back_to_the_bit_when_the_second_pass_fails():
    model = small_classifier(CrossEntropy(WEIGHTS), small_network(norm=True), sam_rho=0.5)
    before, calls = [w.numpy() for w in model.trainable_variables], []
    mixed = {"image": tf.constant(IMAGES[:8]), "label": tf.zeros(8, tf.int32), "label_q": tf.zeros(8, tf.int32),
             "lam": tf.ones(8)}

    def compute():
        calls.append([w.numpy() for w in model.trainable_variables])
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return model._gradients(mixed, None)
    with pytest.raises(RuntimeError):
        sharpness.gradients(model, compute)
    assert any(np.any(one != other) for one, other in zip(*calls, strict=True))
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_norm_that_is_not_finite_climbs_nothing():
    steps, finite = sharpness.climb([tf.constant([1.0, np.inf]), None], [tf.ones(2), tf.ones(1)], 0.5)
    assert not finite and steps[0].numpy().tolist() == [0, 0] and steps[1] is None


def test_saved_classifiers_keep_it(tmp_path):
    model = small_classifier(CrossEntropy(num_classes=5), sam_rho=0.5, sam_adaptive=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.sam_rho, loaded.sam_adaptive, float(loaded.rho)) == (0.5, True, 0.5)


def test_the_run_has_the_rho_of_each_epoch():
    from cmo_tf.run.timeline import Timeline
    config = Config(sam_rho=0.05, sam_steps="5:0.1,60:0.5")
    timeline = Timeline(config, 10)
    assert [timeline.rho(epoch) for epoch in (0, 5, 60)] == [0.05, 0.1, 0.5]
    assert [type(c).__name__ for c in build.callbacks(config, COUNTS, timeline)] == ["Radius"]


@pytest.mark.parametrize("flags, line", [
    (["--sam_steps=5:0.1"], "--sam_steps=5:0.1: changes --sam_rho, which is 0"),
    (["--sam_adaptive"], "--sam_adaptive: is for sharpness-aware"),
    (["--sam_rho=0.1", "--sam_steps=5"], "'5' is not EPOCH:RHO"),
    (["--sam_rho=0.1", "--sam_steps=5:0.1,5:0.2"], "epochs must rise"),
    (["--sam_rho=0.1", "--sam_steps=5:-1"], "rho must be at least 0"),
    (["--sam_rho=0.1", "--method=paco"], "--sam_rho=0.1: runs each batch twice"),
    (["--sam_rho=0.1", "--method=isda"], "--loss=isda would learn from it twice"),
    (["--sam_rho=0.1", "--method=metasaug"], "--method=metasaug has a step of its own"),
    (["--sam_rho=0.1", "--method=meta_weight_net"], "--method=meta_weight_net has a step of its own")])
def test_refused(flags, line):
    with pytest.raises(UserError, match=line):
        parse(flags)
