"""PaCo: loss, queue, key encoder and four training steps against the official code, its views, and whole runs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import config as configuration
from cmo_tf import models
from cmo_tf.classifier import build
from cmo_tf.classifier.classifier import LongTailClassifier
from cmo_tf.core.errors import UserError
from cmo_tf.losses import BalancedSoftmax, PaCo
from cmo_tf.methods.paco import Contrast, ContrastTraining
from cmo_tf.models.paco import random_queue, with_plain_head
from cmo_tf.models.resnet_cifar import resnet_cifar
from cmo_tf.optim import SGD
from cmo_tf.run.timeline import Timeline
from tests.support.method_runs import (
    check_end_to_end,
    check_exact_resume,
    check_state_is_all_in_variables,
    check_two_steps,
    settings,
)

pytestmark = pytest.mark.usefixtures("small_networks")
COUNTS = [50, 31, 20, 12, 7, 4, 2]
QUEUE = "--batch_size=16", "--paco_queue=48"
Classifier = type("Classifier", (ContrastTraining, LongTailClassifier), {})


@pytest.fixture(scope="module")
def official(golden):
    with golden("paco") as file:
        return dict(file)


def nhwc(images):
    return np.moveaxis(images, -3, -1)


def close(ours, theirs, tolerance=1e-5):
    """Within `tolerance` of the largest magnitude."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize(("case", "options"), [
    ("plain", {}), ("other", dict(alpha=0.3, beta=0.5, gamma=0.7, supt=2.0, temperature=0.2))])
def test_loss_and_gradients(official, case, options):
    loss, given = PaCo(COUNTS, **options), {k[5:]: v for k, v in official.items() if k.startswith("loss/")}
    query, logits = tf.constant(given["bank"][:8]), tf.constant(given["logits"])
    with tf.GradientTape() as tape:
        tape.watch([query, logits])
        value = loss(given["labels"], {"logits": logits, "query": query, "keys": given["bank"][8:16],
                                       "queue": given["bank"][16:], "queue_labels": given["queue_labels"]})
    np.testing.assert_allclose(value, given[case], rtol=1e-5)
    by_query, by_logits = tape.gradient(value, [query, logits])
    close(by_query, given[f"{case}_grad_query"])
    close(by_logits, given[f"{case}_grad_logits"])


def test_without_a_bank_it_is_balanced_softmax(official):
    y, logits = official["loss/labels"], official["loss/logits"]
    assert float(PaCo(COUNTS)(y, logits)) == pytest.approx(float(BalancedSoftmax(COUNTS)(y, logits)), rel=1e-5)


def test_alpha_zero_keeps_the_bank_in_the_softmax(official):
    y, logits, bank = (official[f"loss/{name}"] for name in ("labels", "logits", "bank"))
    outputs = {"logits": logits, "query": bank[:8], "keys": bank[8:16], "queue": bank[16:],
               "queue_labels": official["loss/queue_labels"]}
    assert float(PaCo(COUNTS, alpha=0.0)(y, outputs)) > float(PaCo(COUNTS)(y, logits)) + 1


@pytest.mark.parametrize("bad", [{"alpha": -1}, {"temperature": 0}, {"beta": 0}, {"supt": 0}, {"gamma": -1}])
def test_bad_options(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        PaCo(COUNTS, **bad)


@pytest.fixture(scope="module")
def trained(official):
    """A classifier with the official start, and what it was after each of the four official steps."""
    network = with_plain_head(resnet_cifar(8, 7, (16, 16, 3)), 7)
    model = Classifier(network, dim=16, length=24, momentum=0.9, seed=0)
    models.load_torch_weights(model.encoder, {k[2:]: v for k, v in official.items() if k.startswith("w/")})
    model.keys.set_weights(model.encoder.get_weights())
    model.queue.assign(official["queue"])
    model.queue_labels.assign(official["queue_labels"].astype("int32"))
    model.compile(SGD(1e-3, l2=5e-4), PaCo(COUNTS))
    model.at_start = model.network(nhwc(official["images"][0])).numpy()
    logged, forward = [], model._forward

    def spy(mixed):
        outputs = forward(mixed)
        logged.append(outputs["query"])
        return outputs
    model._forward = spy
    steps = []
    for step in range(4):
        batch = {"image": nhwc(official["images"][step]), "image_view2": nhwc(official["views"][step]),
                 "label": official["labels"][step]}
        before = [v.numpy() for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            mixed = model._mix({k: tf.constant(v) for k, v in batch.items()})
            value = model._share(mixed, model._forward(mixed), None)
        gradients = tape.gradient(value, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        steps.append({"loss": float(value), "query": logged[-1].numpy(), "queue": model.queue.numpy(),
                      "queue_labels": model.queue_labels.numpy(), "before": before,
                      "fc.3": model.keys.get_layer("fc.3").kernel.numpy().T,
                      "conv1": model.keys.get_layer("conv1").kernel.numpy().transpose(3, 2, 0, 1),
                      "gradients": {v.path: g for v, g in zip(model.trainable_variables, gradients, strict=True)}})
    return model, steps


def test_evaluation_is_the_classifier_alone(official, trained):
    close(trained[0].at_start, official["logits_test"])


def test_four_steps(official, trained):
    _, steps = trained
    np.testing.assert_allclose([s["loss"] for s in steps], official["losses"], rtol=1e-5)
    for step, found in enumerate(steps):
        close(found["query"], official["queries"][step], 1e-4)
        close(found["fc.3"], official[f"key_{step}/fc.3.weight"])
        close(found["conv1"], official[f"key_{step}/conv1.weight"])


def test_gradients_of_the_first_step(official, trained):
    model, steps = trained
    for name, layer, order in (("linear.weight", "linear", (1, 0)), ("fc.3.weight", "fc.3", (1, 0)),
                               ("conv1.weight", "conv1", (2, 3, 1, 0))):
        kernel = model.encoder.get_layer(layer).kernel
        close(steps[0]["gradients"][kernel.path], official[f"grad/{name}"].transpose(order), 1e-4)


def test_the_queue_takes_the_keys_in_turn(official, trained):
    model, steps = trained
    for step, found in enumerate(steps):
        close(found["queue"], official[f"queue_{step}"], 1e-4)
        np.testing.assert_array_equal(found["queue_labels"], official[f"queue_labels_{step}"])
    assert int(model.place) == 8  # three batches fill the queue, the fourth went to its beginning


def test_only_the_query_side_learns(trained):
    model, _ = trained
    assert len(model.trainable_variables) == len(model.encoder.trainable_variables)
    assert not model.keys.trainable_variables and model.keys.get_layer("bn1").trainable
    assert {id(v) for v in model.keys.variables} <= {id(v) for v in model.variables}
    assert all(any(v is w for w in model.variables) for v in (model.queue, model.queue_labels, model.place))


def test_a_queue_starts_by_the_seed_alone():
    first, again, other = (keras.ops.convert_to_numpy(random_queue(64, 8, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    np.testing.assert_allclose(np.linalg.norm(first, axis=0), 1, rtol=1e-5)


def test_two_views_of_the_same_images():
    config, data = settings("paco", *QUEUE)
    timeline, stage = Timeline(config, 4), Contrast("paco")
    ours = list(stage.stream(build, config, data, timeline, 0).take(4))
    plain = list(build.stream(config, data, timeline, 0).take(4))
    for batch, other in zip(ours, plain, strict=True):
        for name in other:  # the first view is that of any other method
            np.testing.assert_array_equal(batch[name], other[name])
        view = batch["image_view2"]
        assert view.shape == batch["image"].shape and view.dtype == batch["image"].dtype
        assert np.abs(view.numpy().astype(int) - batch["image"].numpy()).max() > 0
    again = next(iter(stage.stream(build, config, data, timeline, 3)))
    np.testing.assert_array_equal(again["image_view2"], ours[3]["image_view2"])
    config, data = settings("paco", *QUEUE, "--augment2=none")
    view = next(iter(stage.stream(build, config, data, timeline, 0)))
    np.testing.assert_array_equal(view["image_view2"], data.train.images[view["index"].numpy()])


@pytest.mark.parametrize(("arguments", "told"), [
    (["--batch_size=20"], "--batch_size=20: does not divide the queue, --paco_queue=1024"),
    (["--batch_size=16", "--strategy=mirrored"], "--strategy=mirrored")])
def test_what_does_not_fit_is_refused(arguments, told):
    config, data = settings("paco", *arguments)
    with pytest.raises(UserError, match=told):
        Contrast("paco").classifier(build, config, data, None)


def test_mixers_and_lone_losses_are_refused():
    with pytest.raises(UserError, match="--method=paco stands for --mix=none and contradicts --mix=cmo"):
        configuration.parse(["--method=paco", "--mix=cmo"])
    config, data = settings("plain", "--loss=paco")
    with pytest.raises(UserError, match="--loss=paco: needs the network of --method=paco"):
        build.classifier(config, data)
    with pytest.raises(UserError, match="--paco_dim=8 does nothing with --method=ce"):
        configuration.parse(["--method=ce", "--paco_dim=8"])


def test_two_steps_and_evaluation(tmp_path):
    check_two_steps(tmp_path, "paco", *QUEUE)


def test_state_is_all_in_variables():
    model, middle, end = check_state_is_all_in_variables("paco", *QUEUE)
    last = {name.split("/")[-1]: array for name, array in end.items()}
    assert {"queue", "queue_labels", "place"} <= set(last) and last["place"] == 4 * 16 % 48
    keys = {v.path for v in model.keys.weights}
    changed = [name for name in end if name.split(":", 1)[1] in keys and np.any(end[name] != middle[name])]
    assert len(changed) > 20


@pytest.mark.slow
def test_resumed_it_ends_the_same(tmp_path):
    check_exact_resume(tmp_path, "paco", *QUEUE)


@pytest.mark.slow
def test_end_to_end(tmp_path):
    check_end_to_end(tmp_path, "paco", "--paco_queue=256")


@pytest.mark.slow
def test_the_views_of_the_published_runs():
    config, data = settings("paco", *QUEUE, "--augment=autoaug_cutout", "--cutout_size=4", "--augment2=simclr")
    batch = next(iter(Contrast("paco").stream(build, config, data, Timeline(config, 4), 0)))
    assert np.isfinite(batch["image_view2"].numpy()).all() and batch["image"].shape == batch["image_view2"].shape
