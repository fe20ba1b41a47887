"""M2m: the official code's generation, acceptance and noise; what a batch becomes; resuming."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from meta_networks import assert_close
from method_runs import check_exact_resume, check_second_stage_resumes, settings

from cmo_tf import config as configuration
from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.methods.steps.m2m import TranslatingTraining, acceptance, capped_noise
from cmo_tf.run import stages
from cmo_tf.run.timeline import Timeline

pytestmark = pytest.mark.usefixtures("small_networks", "no_plots")
FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = np.load(FOLDER / "m2m.npz", allow_pickle=False)


class Training(TranslatingTraining, build.LongTailClassifier):
    pass


def nhwc(name):
    return np.moveaxis(GOLDEN[name], 1, -1)


def driver(name):
    network = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(12, 3, padding="same", activation="tanh"),
                                keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])
    network.set_weights([np.transpose(GOLDEN[f"{name}/conv.weight"], (2, 3, 1, 0)), GOLDEN[f"{name}/conv.bias"],
                         GOLDEN[f"{name}/fc.weight"].T, GOLDEN[f"{name}/fc.bias"]])
    return network


def model(steps, **options):
    mean, std = GOLDEN["normalise_mean"], GOLDEN["normalise_std"]
    preprocess = keras.layers.Rescaling([1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)])
    defaults = dict(counts=GOLDEN["class_counts"], beta=0.999, lam=float(GOLDEN["lam"]), gamma=float(GOLDEN["gamma"]),
                    size=float(GOLDEN["step_size"]), steps=steps, seed=0)
    return Training(driver("f"), known=driver("g"), preprocess=preprocess, **{**defaults, **options})


@pytest.mark.parametrize(("steps", "name"), [(1, "generated_after_1"), (3, "generated_after_3"), (10, "generated")])
def test_the_official_generation(steps, name):
    made, probability = model(steps).generated(nhwc("seed_images_nchw"), GOLDEN["seed_targets"].astype("int32"),
                                               GOLDEN["targets"].astype("int32"))
    assert_close(made, nhwc(name))
    if steps == 10:
        assert_close(probability, GOLDEN["target_probability"])
        taken = (probability.numpy() >= GOLDEN["gamma"]) & (GOLDEN["p_accept"] > 0)
        np.testing.assert_array_equal(taken, GOLDEN["correct"].astype(bool))


def test_the_official_acceptance_and_noise():
    found = acceptance(tf.constant(GOLDEN["class_counts"], tf.float32), GOLDEN["batch_labels"].astype("int32"),
                       GOLDEN["generate_targets"].astype("int32"), float(GOLDEN["beta"]))
    assert_close(found, GOLDEN["p_accept_matrix"], 2e-5)
    np.testing.assert_array_equal(found.numpy().sum(axis=1) > 0, GOLDEN["valid"].astype(bool))
    noise, extra = nhwc("noise_raw"), np.ones((1, 8, 8, 3), "float32")
    made = capped_noise(np.concatenate([noise, extra]), tf.constant([1.0] * len(noise) + [0.0]))
    assert_close(made[:-1], nhwc("noise_renormed"))
    assert not made[-1].numpy().any()


def test_a_batch_keeps_its_labels_and_rows_of_the_largest_class():
    made = model(2, gamma=0.0, counts=np.array([100, 1, 1, 1, 1, 1, 1, 1, 1, 1]), beta=0.0)
    made.compile("sgd", build.LOSSES["ce"]())
    images = np.random.RandomState(0).randint(0, 256, (32, 16, 16, 3)).astype("uint8")
    labels = np.arange(32, dtype="int32") % 4
    batch = made.translated({"image": tf.constant(images), "label": tf.constant(labels)})
    changed = np.abs(batch["image"] - images.astype("float32")).max(axis=(1, 2, 3)) > 1e-3
    np.testing.assert_array_equal(batch["label"], labels)
    assert not changed[labels == 0].any() and changed[labels > 0].all()  # p = 1 - 0^99, and gamma takes all
    assert batch["image"].numpy().min() >= 0 and batch["image"].numpy().max() <= 255
    again = made.translated({"image": tf.constant(images), "label": tf.constant(labels)})
    np.testing.assert_array_equal(batch["image"], again["image"])


def test_the_official_rates():
    schedules = np.load(FOLDER / "lr_schedules.npz", allow_pickle=False)
    config = configuration.parse(["--flagfile=flags/cifar10lt_m2m.cfg"])[0]
    rates = [Timeline(config, 100).lr(epoch) for epoch in range(config.epochs)]
    np.testing.assert_allclose(rates, schedules["m2m"], rtol=1e-6)


def test_the_second_phase_has_even_batches():
    config, data = settings("m2m", "--m2m_start=1", "--m2m_steps=1")
    leg = stages.legs(config, len(data.train))[1]
    network = models.create("resnet8", 10, data.image_shape, seed=0)
    made = leg.stage.classifier(build, leg.config, data, network)
    assert any(np.any(a.numpy() != b.numpy()) for a, b in zip(made.inner.weights, network.weights, strict=True))
    streams = {start: leg.stage.stream(build, leg.config, data, leg.timeline, start) for start in (3, 5)}
    batches = list(streams[3].take(4))
    assert len({int(i) for batch in batches[:2] for i in batch["index"]}) == 14 + 8  # the end of a permutation
    for batch, other in zip(batches[2:], streams[5].take(2), strict=True):
        np.testing.assert_array_equal(batch["index"], other["index"])


def test_a_resumed_second_stage_goes_on_the_same():
    check_second_stage_resumes("m2m", "--m2m_start=0", "--m2m_steps=2", "--m2m_gamma=0")


@pytest.mark.slow
def test_resumed_it_ends_the_same(tmp_path):
    check_exact_resume(tmp_path, "m2m", "--m2m_start=0", "--epochs=1", "--m2m_steps=2")
