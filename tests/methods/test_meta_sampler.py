"""The meta sampler: three steps of the official code for either setting, the same through `inner_step`, and runs."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from meta_networks import assert_close
from method_runs import check_second_stage_resumes, settings
from program import program

from cmo_tf import losses, models, optim
from cmo_tf.classifier import build
from cmo_tf.methods.inner_step import inner_step
from cmo_tf.methods.steps.meta_sampler import MetaSampling, draw, initial_theta
from cmo_tf.run import stages

pytestmark = pytest.mark.usefixtures("small_networks", "no_plots")
GOLDEN = np.load(Path(__file__).parents[1] / "golden/meta_sampler.npz", allow_pickle=False)
LABELS, COUNTS = GOLDEN["train_y"].astype("int32"), GOLDEN["class_counts"]


class Training(MetaSampling, build.LongTailClassifier):
    pass


@pytest.mark.parametrize("power", [0.0, 0.1, 0.5, 1.0])
def test_theta_at_the_start(power):
    expected = GOLDEN[f"theta_init_pow_{str(power).replace('.', 'p')}"]
    np.testing.assert_allclose(initial_theta(COUNTS, power), expected, rtol=1e-5, atol=1e-6)


def model_of(case):
    inputs = keras.Input((12,))
    network = keras.Model(inputs, keras.layers.Dense(10, name="linear")(
        keras.layers.Dense(8, activation="tanh", name="feat")(inputs)))
    for name, key in (("feat", "feat_"), ("linear", "w/")):
        network.get_layer(name).set_weights([GOLDEN[f"{case}_{key}weight"].T, GOLDEN[f"{case}_{key}bias"]])
    model = Training(network, theta=GOLDEN[f"{case}_theta"], theta_lr=float(GOLDEN[f"{case}_theta_lr"]), rows=24,
                     learning=["linear"], shift_bn=False)
    model.compile(optim.SGD(float(GOLDEN[f"{case}_lr"]), momentum=0.9, l2=float(GOLDEN["weight_decay"])),
                  losses.BalancedSoftmax(COUNTS), run_eagerly=True)
    return model


def features(model, rows):
    return model._trunk(tf.constant(rows))


@pytest.mark.parametrize("case", ["cifar", "imagenet"])
def test_three_steps_of_the_official_code(case):
    model = model_of(case)
    for step in range(3):
        here = f"{case}_s{step}"
        theta = tf.convert_to_tensor(model.theta)
        assert_close(tf.gather(tf.math.log_sigmoid(theta), LABELS), GOLDEN[f"{here}_log_weights"])
        drawn, share, mass = draw(theta, LABELS, tf.constant(GOLDEN[f"{here}_gumbel"]))
        np.testing.assert_array_equal(drawn, GOLDEN[f"{here}_draw"])
        loss, _ = model.learn(features(model, GOLDEN["train_x"][drawn]), tf.gather(LABELS, drawn), share, mass,
                              features(model, GOLDEN[f"{here}_meta_x"]), GOLDEN[f"{here}_meta_y"])
        assert_close(loss, GOLDEN[f"{here}_real_loss"], 2e-5)
        assert_close(model.gradient, GOLDEN[f"{here}_theta_grad"], 2e-5)
        assert_close(model.theta.numpy(), GOLDEN[f"{here}_theta_after"])
        assert_close(model._head.kernel.numpy().T, GOLDEN[f"{here}_after/weight"])
        assert_close(model._head.bias.numpy(), GOLDEN[f"{here}_after/bias"])


def test_the_closed_form_is_the_gradient_through_an_inner_step():
    model = model_of("cifar")
    theta, labels = tf.convert_to_tensor(model.theta), tf.constant(GOLDEN["train_y"], tf.int32)
    head = [tf.convert_to_tensor(v) for v in (model._head.kernel, model._head.bias)]
    with tf.GradientTape() as tape:
        tape.watch(theta)
        scores = tf.convert_to_tensor(tf.gather(tf.math.log_sigmoid(theta), labels))[None] + GOLDEN["cifar_s0_gumbel"]
        drawn = tf.argmax(scores, axis=1)
        share = tf.gather(tf.nn.softmax(scores), drawn, batch_dims=1)
        rows = features(model, GOLDEN["train_x"][drawn])

        def loss_of(weights):
            values = model.loss.terms(tf.gather(labels, drawn), rows @ weights[0] + weights[1])[0]
            return tf.reduce_mean((1.0 + share - tf.stop_gradient(share)) * values), None
        decay, lr = float(GOLDEN["weight_decay"]), float(GOLDEN["cifar_lr"])
        after, _, _ = inner_step(loss_of, head, lambda i, v, g: v - lr * (g + decay * v))
        value = losses.CrossEntropy()(GOLDEN["cifar_s0_meta_y"],
                                      features(model, GOLDEN["cifar_s0_meta_x"]) @ after[0] + after[1])
    assert_close(tape.gradient(value, theta), GOLDEN["cifar_s0_theta_grad"], 2e-5)


def test_a_resumed_second_stage_goes_on_the_same():
    model = check_second_stage_resumes("meta_sampler", "--meta_batch=20")
    assert model.steps.numpy() == 4 and np.abs(model.theta.numpy()).max() > 0.01


def test_the_trunk_rests_and_draws_follow_the_seed_and_step():
    config, data = settings("meta_sampler", "--meta_batch=20", "--noshift_bn")
    leg = stages.legs(config, len(data.train))[1]
    assert (leg.config.loss, leg.config.mix, leg.config.epochs) == ("bs", "none", 24)
    network = models.create("resnet8", 10, data.image_shape, seed=3)
    losses_seen = []
    for _ in range(2):
        model = leg.stage.classifier(build, leg.config, data, network)
        before = [v.numpy() for v in model._trunk.variables]
        stream = leg.stage.stream(build, leg.config, data, leg.timeline, 5)
        losses_seen.append(model.fit(stream, steps_per_epoch=2, verbose=0).history["loss"])
        for variable, old in zip(model._trunk.variables, before, strict=True):
            np.testing.assert_array_equal(variable, old)
    assert losses_seen[0] == losses_seen[1]


@pytest.mark.slow
def test_two_stages_to_the_report(tmp_path):
    from method_runs import TINY
    ended = program(*TINY, "--method=meta_sampler", "--meta_batch=20", "--stage2_epochs=1", "--mix=cmo",
                    f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 0, ended.err
