"""BBN: network, loss and schedule against the official code, its two streams, and whole runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import config as configuration
from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.classifier.classifier import LongTailClassifier
from cmo_tf.core.errors import UserError
from cmo_tf.losses import CrossEntropy
from cmo_tf.methods.bbn import Bilateral, BranchTraining, branch_share
from cmo_tf.mixing.cmo import CMO
from cmo_tf.models.bbn import TwoBranches, two_branch_resnet
from cmo_tf.run.timeline import Timeline
from tests.support.method_runs import (
    check_end_to_end,
    check_exact_resume,
    check_state_is_all_in_variables,
    check_two_steps,
    settings,
)
from tests.support.program import ROOT

pytestmark = pytest.mark.usefixtures("small_networks")
BBN = type("BBN", (BranchTraining, LongTailClassifier), {})


@pytest.fixture(scope="module")
def official(golden):
    with golden("bbn") as file:
        return dict(file)


@pytest.fixture(scope="module")
def network(official):
    made = two_branch_resnet(14, 7, (16, 16, 3))
    models.load_torch_weights(made, {k[2:]: v for k, v in official.items() if k.startswith("w/")})
    return made


def nhwc(images):
    return images.transpose(0, 2, 3, 1)


def close(ours, theirs, tolerance=1e-5):
    """Within `tolerance` of the largest magnitude."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def test_test_form(network, official):
    close(network(nhwc(official["image"])), official["logits_test"])


@pytest.mark.parametrize("epoch", [1, 101, 200])
def test_training_form_loss_and_gradient(network, official, epoch):
    given, model = network.get_weights(), BBN(network)
    model.compile("sgd", CrossEntropy())
    model.share.assign(branch_share(epoch - 1, 200))
    batch = {"image": nhwc(official["image"]), "image_r": nhwc(official["image_r"]), "label": official["label"],
             "label_r": official["label_r"]}
    with tf.GradientTape() as tape:
        mixed = model._mix({k: tf.constant(v) for k, v in batch.items()})
        logits = model._forward(mixed)
        loss = model._share(mixed, logits, None)
    close(logits, official[f"logits_{epoch}"])
    np.testing.assert_allclose(loss, official[f"loss_{epoch}"], rtol=1e-5)
    variables = [network.get_layer("conv1").kernel, network.get_layer("cb_block.bn2").gamma,
                 network.get_layer("linear").kernel]
    for gradient, name, order in zip(tape.gradient(loss, variables),
                                     ("conv1.weight", "cb_block.bn2.weight", "linear.weight"),
                                     ((2, 3, 1, 0), (0,), (1, 0)), strict=True):
        expected = official[f"grad_{epoch}/{name}"]
        np.testing.assert_allclose(gradient, expected.transpose(order), rtol=0, atol=1e-4 * max(1, abs(expected).max()))
    if epoch == 1:  # the shared blocks have seen the images of both branches, P first
        for name in ("bn1", "layer3.0.bn2", "cb_block.bn1", "rb_block.bn2"):
            close(network.get_layer(name).moving_mean, official[f"mean_after/{name}.running_mean"])
    network.set_weights(given)


def test_half_of_each_is_the_test_form(network, official):
    images = nhwc(official["image"])
    np.testing.assert_allclose(TwoBranches(network)(images, images, 0.5, training=False), network(images), rtol=1e-5)


def test_schedule(official):
    for epochs, epoch, share in official["schedule"]:
        assert branch_share(int(epoch) - 1, int(epochs)) == pytest.approx(share, abs=1e-12)


def test_mixed_images_go_to_the_first_branch(network, official):
    model = BBN(network, mixer=CMO())
    model.compile("sgd", CrossEntropy())
    model.share.assign(0.75)
    rows = len(official["label"])
    box = np.tile([[2, 3, 10, 11]], (rows, 1))
    batch = {"image": nhwc(official["image"]), "image_q": nhwc(official["image_r"])[::-1], "label": official["label"],
             "label_q": official["label_r"][::-1], "box": box, "image_r": nhwc(official["image_r"]),
             "label_r": official["label_r"]}
    mixed = model._mix({k: tf.constant(v) for k, v in batch.items()})
    pasted = batch["image"].copy()
    pasted[:, 2:10, 3:11] = batch["image_q"][:, 2:10, 3:11]
    np.testing.assert_array_equal(mixed["image"], pasted)
    logits = np.random.default_rng(0).normal(size=(rows, 7)).astype("float32")
    loss, plain = CrossEntropy(), [float(CrossEntropy()(batch[k], logits)) for k in ("label", "label_q", "label_r")]
    assert loss.num_classes is None
    expected = 0.75 * (0.75 * plain[0] + 0.25 * plain[1]) + 0.25 * plain[2]
    assert float(model._share(mixed, tf.constant(logits), None)) == pytest.approx(expected, rel=1e-5)


def test_streams():
    config, data = settings("bbn", "--mix=cmo", "--seed=3")
    timeline = Timeline(config, 5)
    stage = Bilateral("bbn")
    ours = list(stage.stream(build, config, data, timeline, 0).take(25))
    plain = list(build.stream(config, data, timeline, 0).take(25))
    for batch, other in zip(ours, plain, strict=True):
        for name in other:  # the reversed branch leaves the batches of P as they are
            np.testing.assert_array_equal(batch[name], other[name])
        assert batch["image_r"].shape == batch["image"].shape and batch["image_r"].dtype == batch["image"].dtype
    again = next(iter(stage.stream(build, config, data, timeline, 17)))
    for name, column in again.items():
        np.testing.assert_array_equal(column, ours[17][name])
    drawn = np.bincount(np.concatenate([batch["label_r"] for batch in ours]), minlength=10)
    wanted = 1 / data.counts / (1 / data.counts).sum()
    assert np.abs(drawn / drawn.sum() - wanted).max() < 0.06


def test_recipe_of_the_rows():
    for row, start in (("bbn_ir100", 0.1), ("causal_norm_ir100", 0.2)):
        timeline = Timeline(configuration.parse([f"--flagfile={ROOT}/flags/paper/table02.cfg:{row}"])[0], 84)
        rates = [timeline.lr(epoch) / start for epoch in (0, 1, 2, 3, 4, 118, 119, 158, 159, 199)]
        expected = [7 / 15, 9 / 15, 11 / 15, 13 / 15, 1, 1, 1e-2, 1e-2, 1e-4, 1e-4]  # the official scheduler's
        np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_other_networks_are_refused():
    config, data = settings("bbn", "--model=resnet44")
    with pytest.raises(UserError, match="--model=resnet44.*resnet20_128, resnet32_128"):
        Bilateral("bbn").classifier(build, config, data, None)
    with pytest.raises(UserError, match="--init_from.*no two branches"):
        TwoBranches(models.create("resnet20", 3, (8, 8, 1)))


def test_a_plain_backbone_of_128_features(tmp_path):
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    outputs = models.create("resnet20_128", 5, (8, 8, 3), "normed", seed=1, features=True)
    assert outputs(images)["features"].shape == (2, 128) and outputs(images)["logits"].shape == (2, 5)
    outputs.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images)["logits"], outputs(images)["logits"])


MIXED = "--mix=cmo", "--mix_skip_first=0", "--mix_skip_last=0"


def test_two_steps_and_evaluation(tmp_path):
    check_two_steps(tmp_path, "bbn", *MIXED)


def test_state_is_all_in_variables():
    model, _, end = check_state_is_all_in_variables("bbn", *MIXED)
    assert len(end) == len(model.variables) + len(model.optimizer.variables) + 1


@pytest.mark.slow
def test_resumed_it_ends_the_same(tmp_path):
    check_exact_resume(tmp_path, "bbn", *MIXED)


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["none", "cmo"])
def test_end_to_end(tmp_path, mix):
    check_end_to_end(tmp_path, "bbn", f"--mix={mix}")
