"""Second stages against their official code: classifier-balancing (LWS, tau) and MiSLAS (tests/golden/README.md)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import LongTailClassifier
from cmo_tf.losses import CrossEntropy, LabelAwareSmoothing, Mixed
from cmo_tf.losses.label_aware_smoothing import smoothing
from cmo_tf.methods.tau_norm import TAUS, mean_accuracy
from cmo_tf.models import load_torch_weights, two_stage
from cmo_tf.models.resnet_cifar import resnet_cifar
from cmo_tf.optim import SGD
from cmo_tf.optim.schedules import cosine_ahead_schedule, cosine_schedule


@pytest.fixture(scope="module")
def decouple(golden):
    return dict(golden("two_stage_decouple"))


@pytest.fixture(scope="module")
def mislas(golden):
    return dict(golden("two_stage_mislas"))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("case", "head", "tail"), [("las", 0.4, 0.1), ("las_0.3_0", 0.3, 0.0)])
def test_label_aware_smoothing(golden, mislas, case, head, tail, mixed):
    given = golden("losses_ir100")
    loss, y, logits = LabelAwareSmoothing(given["class_counts"], head, tail), given["labels"], given["logits"]
    key, pair = f"{case}_mixed" if mixed else case, None
    if mixed:
        loss, lam = Mixed(loss), np.full(len(y), given["lam"])
        pair = np.stack([given["labels_f"], lam], 1).astype("float32")
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(y, logits, pair)
    np.testing.assert_allclose(float(value), mislas[key], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, logits), mislas[f"{key}_grad"], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("shape", "power"), [("concave", None), ("linear", None), ("convex", None), ("exp", 2.0)])
def test_smoothing_of_each_class(golden, mislas, shape, power):
    counts = golden("losses_ir100")["class_counts"]
    found = smoothing(counts, 0.4, 0.1, shape, power)
    np.testing.assert_allclose(found, mislas[f"smooth_{shape}"], rtol=0, atol=1e-7)
    assert found[0] == pytest.approx(0.4) and found[-1] == pytest.approx(0.1)


def test_smoothing_changes_nothing_at_uniform_predictions():
    loss = LabelAwareSmoothing([50, 20, 5])
    assert float(loss([0, 1, 2], np.ones((3, 3), "float32"))) == pytest.approx(np.log(3))
    assert smoothing([7, 7], 0.3, 0.1).tolist() == [0.3, 0.3]


def scaled_head(decouple):
    """The official LWS classifier on features."""
    features = keras.Input((16,))
    network = keras.Model(features, keras.layers.Dense(100, name="fc")(features))
    network.set_weights([decouple["lws_weight"].T, decouple["lws_bias"]])
    network = two_stage.with_class_scale(network, 100)
    network.get_layer("class_scale").scale.assign(decouple["lws_scales"])
    return network


def test_lws_logits_and_gradient(decouple):
    network = scaled_head(decouple)
    scale = network.get_layer("class_scale").scale.value
    with tf.GradientTape() as tape:
        logits = network(decouple["features"])
        value = CrossEntropy()(decouple["labels"], logits)
    np.testing.assert_allclose(logits, decouple["lws_logits"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(value, scale), decouple["lws_grad"], rtol=0, atol=1e-8)


def test_lws_training(decouple):
    model = LongTailClassifier(scaled_head(decouple), learning=["class_scale"])
    model.compile(SGD(0.2, l2=5e-4), CrossEntropy())
    before = model.inner.get_layer("fc").get_weights()
    for epoch, (rate, expected) in enumerate(zip(decouple["lws_rates"], decouple["lws_course"], strict=True)):
        ours = cosine_ahead_schedule(epoch, base_lr=0.2, epochs=4)
        assert ours == pytest.approx(rate, abs=1e-9)
        model.optimizer.learning_rate = ours
        model.fit(decouple["features"], decouple["labels"], batch_size=64, shuffle=False, verbose=0)
        scales = model.inner.get_layer("class_scale").scale.numpy()
        np.testing.assert_allclose(scales, expected, rtol=0, atol=1e-6)
    for weights, old in zip(model.inner.get_layer("fc").get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, old)


def test_tau_normalisation(decouple):
    kernel = decouple["tau_weight"].T
    normalised = kernel / two_stage.norms_to(kernel, 0.7)
    np.testing.assert_allclose(normalised.T, decouple["tau_normalised"], rtol=1e-6)
    logits = decouple["tau_features"] @ kernel
    np.testing.assert_allclose(logits / two_stage.norms_to(kernel, 0.7), decouple["tau_logits"], rtol=0, atol=1e-5)
    accuracies = [mean_accuracy(logits / two_stage.norms_to(kernel, tau), decouple["tau_labels"]) for tau in TAUS]
    np.testing.assert_allclose(accuracies, decouple["tau_accuracies"], rtol=0, atol=0.0051)


@pytest.mark.parametrize("shift_bn", [True, False])
def test_second_stage_of_mislas(mislas, shift_bn):
    """Two epochs of the official training function: head, scale and statistics after them."""
    given = {name[2:]: array for name, array in mislas.items() if name.startswith("w/")}
    images, labels, counts = (given.pop(name) for name in ("images", "labels", "counts"))
    images = images.transpose(0, 2, 3, 1)
    network = resnet_cifar(8, 10, (16, 16, 3))
    load_torch_weights(network, given)
    model = LongTailClassifier(two_stage.with_class_scale(network, 10), learning=["linear", "class_scale"],
                               shift_bn=shift_bn)
    model.compile(SGD(0.1, l2=2e-4, lr_factors={"linear": 0.2}), LabelAwareSmoothing(counts))
    for epoch in range(2):
        model.optimizer.learning_rate = cosine_schedule(epoch, base_lr=0.1, epochs=2, warmup_epochs=0)
        model.fit(images, labels, batch_size=12, shuffle=False, verbose=0)
    expected = {n.removeprefix("still_"): a for n, a in mislas.items() if n.startswith("still_") != shift_bn}
    head = model.inner.get_layer("linear")
    np.testing.assert_allclose(head.kernel.numpy().T, expected["after_weight"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(head.bias.numpy(), expected["after_bias"], rtol=0, atol=2e-5)
    scale = model.inner.get_layer("class_scale").scale.numpy()
    np.testing.assert_allclose(scale, expected["after_scale"], rtol=0, atol=2e-5)
    for name in ("bn1", "layer2.0.bn2", "layer3.0.bn2"):
        layer = model.inner.get_layer(name)
        np.testing.assert_allclose(layer.moving_mean.numpy(), expected[f"after/{name}.running_mean"], atol=1e-5)
        # PyTorch's running variance is the unbiased one, here of at least 192 values.
        variance = expected[f"after/{name}.running_var"]
        np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=6e-3 if shift_bn else 0)
        np.testing.assert_array_equal(layer.gamma.numpy(), given[f"{name}.weight"])
    logits = model.predict(images, verbose=0)
    largest = np.abs(expected["after_logits"]).max()
    np.testing.assert_allclose(logits, expected["after_logits"], rtol=0, atol=largest * (5e-3 if shift_bn else 1e-5))
