"""MetaSAug: the official code's loss, covariances and three steps; runs of both forms, and resuming."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from meta_networks import assert_close, assert_weights, batch_of, two_layers
from method_runs import (
    check_exact_resume,
    check_second_stage_resumes,
    check_state_is_all_in_variables,
    settings,
)

from cmo_tf import config as configuration
from cmo_tf import losses, optim
from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.losses.class_covariance import ClassCovariance, class_sums, merged
from cmo_tf.methods.metasaug import stages as stages_of_config
from cmo_tf.methods.steps.metasaug import AugmentedTraining
from cmo_tf.run import stages
from cmo_tf.run.timeline import Timeline

pytestmark = pytest.mark.usefixtures("small_networks", "no_plots")
FOLDER = Path(__file__).parents[1] / "golden"
LOSS, COVARIANCE, STEP = (np.load(FOLDER / f"metasaug_{name}.npz", allow_pickle=False)
                          for name in ("loss", "covariance", "step"))


class Training(AugmentedTraining, build.LongTailClassifier):
    pass


@pytest.mark.parametrize("case", ["c0", "c1", "c2"])
def test_the_official_loss(case):
    inputs = keras.Input((16,))
    model = Training(keras.Model(inputs, keras.layers.Dense(100)(inputs)), counts=LOSS["class_counts"], meta_lr=0.1,
                     head_only=False)
    assert_close(model._margins, LOSS["margins"], 2e-5)
    assert_close(model._class_weights, LOSS["class_weights"], 2e-5)
    model.ratio.assign(LOSS[f"{case}_ratio"])
    whole = np.zeros((100, 16, 16), "float32")
    whole[LOSS["present_classes"]] = LOSS["covariance_present"]
    features, kernel, bias, covariance = map(tf.constant, (LOSS["features"], LOSS["weight"].T, LOSS["bias"], whole))
    labels = LOSS["labels"].astype("int32")
    with tf.GradientTape() as tape:
        tape.watch([features, kernel, bias, covariance])
        outputs = {"logits": features @ kernel + bias, "features": features}
        mixed = {"label": labels, "label_q": labels[::-1].copy(), "lam": tf.ones(len(labels))}
        value = model.augmented_loss(mixed, outputs, kernel, covariance)
    assert_close(value, LOSS[f"{case}_loss"], 2e-5)
    for gradient, name in zip(tape.gradient(value, [features, kernel, bias, covariance]),
                              ("features", "weight", "bias", "covariance_present"), strict=True):
        gradient = tf.convert_to_tensor(gradient).numpy()
        gradient = gradient.T if name == "weight" else gradient
        if name == "covariance_present":
            gradient = gradient[LOSS["present_classes"]]
        expected = LOSS[f"{case}_grad_{name}"]
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-5 * max(np.abs(expected).max(), 1e-12))


def test_running_covariances_of_the_official_code():
    state = ClassCovariance(tf.zeros((10, 8, 8)), tf.zeros((10, 8)), tf.zeros(10))
    for step in range(5):
        labels = COVARIANCE[f"s{step}_labels"].astype("int32")
        state = merged(state, class_sums(state, COVARIANCE[f"s{step}_features"], labels))
        for value, name in zip(state, ClassCovariance._fields, strict=True):
            assert_close(value, COVARIANCE[f"s{step}_{name}"], 2e-5, f"{step} {name}")


def test_three_steps_of_the_official_code():
    model = Training(two_layers(STEP), counts=STEP["class_counts"], meta_lr=float(STEP["meta_lr"]), head_only=False)
    model.compile(optim.SGD(float(STEP["real_lr"]), momentum=0.9, l2=5e-4, nesterov=True), losses.CrossEntropy(),
                  run_eagerly=True)
    for name in ("covariance", "mean", "amount"):
        getattr(model, name).assign(STEP[f"init_{name}"])
    model.ratio.assign(STEP["ratio"])
    model.virtual_lr.assign(STEP["virtual_lr"])
    model.active.assign(1.0)
    for step in range(3):
        batch = batch_of(STEP, step)
        mixed = model._mix(batch)
        assert_close(model.covariance.numpy(), STEP[f"s{step}_cov_in"])
        corrected = model.corrected(mixed, batch["image"], batch["meta_image"], batch["meta_label"])
        assert_close(model.virtual_loss, STEP[f"s{step}_virtual_loss"])
        assert_close(corrected, STEP[f"s{step}_cov_meta_updated"])
        model.reset_metrics()
        assert_close(model.train_step(batch)["loss"], STEP[f"s{step}_real_loss"])
        assert_close(model.covariance.numpy(), STEP[f"s{step}_cov_after"])
        assert_weights(model.inner, STEP, f"s{step}_after")


def test_the_official_rates():
    schedules = np.load(FOLDER / "lr_schedules.npz", allow_pickle=False)
    for name in ("cifar10lt", "cifar100lt"):
        config = configuration.parse([f"--flagfile=flags/{name}_metasaug_recipe.cfg"])[0]
        rates = [Timeline(config, 100).lr(epoch) for epoch in range(config.epochs)]
        np.testing.assert_allclose(rates, schedules["metasaug"], rtol=1e-6)
        np.testing.assert_allclose([rates[0], *rates[:-1]], schedules["metasaug_virtual_step"], rtol=1e-6)


def test_cross_entropy_comes_first():
    config, data = settings("metasaug")
    leg, = stages.legs(config, len(data.train))
    model = leg.stage.classifier(build, leg.config, data, None)
    *_, begin = leg.stage.callbacks(build, config, data, leg.timeline, model)
    seen = []
    for epoch in range(2):  # of 2, and 0.8 of them are the first to the nearest
        begin.on_epoch_begin(epoch)
        seen.append((float(model.active.numpy()), float(model.ratio.numpy())))
    assert seen == [(0.0, 0.0), (0.0, 0.375)]


def test_all_state_is_in_variables():
    model, middle, end = check_state_is_all_in_variables(
        "metasaug", "--meta_batch=10", "--metasaug_start=0", "--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0")
    covariance = next(name for name in end if name.endswith("covariance"))
    assert end[covariance].shape == (10, 64, 64) and np.any(end[covariance] != middle[covariance])


def test_the_second_form_trains_the_head_alone_and_resumes_the_same():
    model = check_second_stage_resumes("metasaug", "--metasaug_form=head", "--meta_batch=10", "--stage2_lr=0.05")
    assert model.covariance.shape == (10, 64) and len(model.trainable_weights) == 2


def test_flags_of_a_second_stage_are_for_the_second_form():
    with pytest.raises(UserError, match="--stage2_epochs=3: is for --metasaug_form=head"):
        stages_of_config(configuration.parse(["--method=metasaug", "--stage2_epochs=3"])[0])


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--metasaug_start=0"], ["--metasaug_form=head"]])
def test_resumed_it_ends_the_same(tmp_path, flags):
    check_exact_resume(tmp_path, "metasaug", "--meta_batch=10", *flags)
