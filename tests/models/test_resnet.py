"""ResNets for large images against PyTorch's (torchvision): outputs, gradients, counts, initial weights, precision."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf import models
from cmo_tf.losses import CrossEntropy
from cmo_tf.models import grouped
from cmo_tf.models.bbn import TwoBranches, two_branch_large_resnet
from cmo_tf.models.grouped import GroupedConv2D
from cmo_tf.models.heads import linear, linear_of, uniform_linear
from cmo_tf.models.resnet import RESNET50, RESNEXT50_32X4D, resnet
from cmo_tf.models.ride import parts
from cmo_tf.models.ride_resnet import ride_resnet
from cmo_tf.models.two_stage import with_new_head
from tests.support.seeded_weights import images, tensors

SHAPE = (2, 3, 64, 56)
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet101", "resnet152", "wide_resnet50_2")]
# Two blocks of few channels, for what does not depend on depth.
SMALL = RESNET50._replace(blocks=(1, 1, 1, 1), planes=8)


@pytest.fixture(scope="module")
def official(golden):
    """Function name -> arrays of that network, without its prefix."""
    with golden("resnet_large") as file:
        arrays = dict(file)
    return lambda name: {key.removeprefix(f"{name}/"): array for key, array in arrays.items()
                         if key.startswith(f"{name}/")}


def nhwc(name="x"):
    return images(name, SHAPE).transpose(0, 2, 3, 1)


def close(ours, theirs, tolerance):
    """Within `tolerance` of the largest magnitude."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["resnet10", "resnet50", "resnext50_32x4d", *SLOW])
def test_outputs_and_gradients(official, name):
    given = official(name)
    network = models.create(name, 7, (64, 56, 3), features=True, seed=0)
    models.load_torch_weights(network, tensors(given["names"], given["shapes"]))
    outputs = network(nhwc(), training=False)
    close(outputs["logits"], given["logits_eval"], 1e-5)
    close(outputs["features"][:, :256], given["features_eval"], 1e-5)
    with tf.GradientTape() as tape:
        outputs = network(nhwc(), training=True)
        loss = CrossEntropy()(np.array([1, 4]), outputs)
    close(outputs["logits"], given["logits_train"], 1e-4)
    close(outputs["features"][:, :256], given["features_train"], 1e-4)
    check_gradients(network, tape, loss, given)


def check_gradients(network, tape, loss, given):
    """Loosely: the last maps have 2 x 2 x 2 numbers a channel to normalise by, which amplifies rounding."""
    wanted = [key.removeprefix("norm/") for key in given if key.startswith("norm/")]
    layers = [network.get_layer(key.removesuffix(".weight")) for key in wanted]
    kernels = [layer.gamma if ".bn" in layer.name else layer.kernel for layer in layers]
    orders = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    for key, gradient in zip(wanted, tape.gradient(loss, kernels), strict=True):
        array = gradient.numpy().transpose(orders[len(gradient.shape)])
        np.testing.assert_allclose(np.linalg.norm(array), given[f"norm/{key}"], rtol=5e-3)
        close(array.ravel()[:64], given[f"grad/{key}"], 1e-2)


@pytest.mark.parametrize(("name", "options", "layout"), [
    ("ride_resnet", {}, RESNET50), ("ride_wide", {"reduced": False}, RESNET50), ("ride_resnext", {}, RESNEXT50_32X4D)])
def test_experts(official, name, options, layout):
    """The official ones of RIDE, with one block a stage."""
    given = official(name)
    network = ride_resnet(name, layout._replace(blocks=(1, 1, 1, 1)), 7, (64, 56, 3), experts=2, seed=0, **options)
    models.load_torch_weights(network, tensors(given["names"], given["shapes"]))
    outputs = network(nhwc(), training=False)
    for key in ("logits", "experts", "features"):
        close(outputs[key][..., :256], given[key], 1e-5)
    assert outputs["features"].shape == (2, 2, 1536 if options == {} else 2048)


def test_two_branches(official):
    """The official network of BBN with 1, 1, 1 and 2 blocks."""
    given = official("bbn")
    network = two_branch_large_resnet("bbn", RESNET50._replace(blocks=(1, 1, 1, 2)), 7, (64, 56, 3), seed=0)
    models.load_torch_weights(network, tensors(given["names"], given["shapes"]))
    close(network(nhwc(), training=False), given["logits"], 1e-5)
    close(TwoBranches(network)(nhwc(), nhwc("other"), 0.3, training=False), given["mixed"], 1e-5)
    kernel = two_branch_large_resnet("new", SMALL._replace(blocks=(1, 1, 1, 2)), 7, (8, 8, 3), seed=0).get_layer(
        "cb_block.conv2").kernel.numpy()
    bound = (3 * 3 * 64) ** -0.5  # as PyTorch draws a convolution by itself
    assert np.abs(kernel).max() <= bound and abs(kernel.std() / bound * 3 ** 0.5 - 1) < 0.02


@pytest.mark.parametrize(("name", "count"), [
    ("resnet50", 25_557_032), ("resnext50_32x4d", 25_028_904),
    pytest.param("resnet101", 44_549_160, marks=pytest.mark.slow),
    pytest.param("resnet152", 60_192_808, marks=pytest.mark.slow),
    pytest.param("wide_resnet50_2", 68_883_240, marks=pytest.mark.slow)])
def test_number_of_weights(name, count):
    """Those of torchvision, for 1000 classes."""
    network = models.create(name, 1000, (224, 224, 3), seed=0)
    assert sum(math.prod(v.shape) for v in network.trainable_variables) == count
    shapes = [network.get_layer(f"layer{k}").output.shape[1:] for k in (1, 2, 3, 4)]
    assert shapes == [(56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048)]
    assert network.get_layer("features").output.shape == (None, 2048)


@pytest.mark.parametrize(("name", "count"), [("resnet50", 43_677_248), ("resnext50_32x4d", 42_889_024)])
def test_number_of_weights_of_experts(name, count):
    """Those of the official ones: three experts, 1000 classes."""
    network = models.create_experts(name, 1000, (224, 224, 3), seed=0)
    shared, experts = parts(network)
    assert shared.output_shape == (None, 28, 28, 512) and len(experts) == 3
    assert [shape[1:] for shape in experts[0].output_shape] == [(1000,), (1536,)]
    assert network.get_layer("expert2").get_layer("layer3s.2").output.shape == (None, 14, 14, 768)
    assert sum(math.prod(v.shape) for v in network.trainable_variables) == count


def test_initial_weights():
    network = resnet("small", SMALL._replace(groups=4, group_width=32), 1000, (32, 32, 3), seed=3)
    grouped_conv, plain = network.get_layer("layer4.0.conv2"), network.get_layer("layer4.0.conv3")
    assert isinstance(grouped_conv, GroupedConv2D) and grouped_conv.kernel.shape == (3, 3, 32, 128)
    for layer, fan_out in ((grouped_conv, 3 * 3 * 128), (plain, 256)):
        kernel, std = layer.kernel.numpy(), math.sqrt(2 / fan_out)
        assert abs(kernel.std() / std - 1) < 0.02 and np.abs(kernel).max() > 3 * std
    head, bound = network.get_layer("fc"), 256 ** -0.5
    for array in (head.kernel.numpy(), head.bias.numpy()):
        assert np.abs(array).max() <= bound and abs(array.std() / bound * math.sqrt(3) - 1) < 0.05
    assert (network.get_layer("layer1.0.bn3").gamma.numpy() == 1).all()  # no zero-gamma
    layer = network.get_layer("bn1")
    assert (layer.epsilon, layer.momentum) == (1e-5, 0.9)


def test_seed_and_heads():
    first, again, other = (resnet("small", SMALL, 5, (32, 32, 3), "normed", seed=s).get_weights() for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1)
    assert isinstance(resnet("small", SMALL, 5, (32, 32, 3), "normed").get_layer("fc"), models.NormedLinear)


@pytest.mark.parametrize("shape", [(32, 32, 3), (37, 50, 1), (8, 8, 1)])
def test_any_size_and_saving(shape, tmp_path):
    network = resnet("small", SMALL._replace(groups=4), 7, shape, "normed", seed=1)
    given = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    logits = network(given).numpy()
    assert logits.shape == (2, 7) and np.abs(logits).max() <= 1 + 1e-6
    network.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(given), logits)


def test_grouped_convolution(monkeypatch):
    """Both of its forms are that of Keras; the one for CPUs has the gradient too."""
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 9, 8, 12)), tf.float32)
    layer = GroupedConv2D(24, 3, strides=2, groups=4)
    found = layer(x)
    plain = keras.layers.Conv2D(24, 3, strides=2, groups=4)
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(found, plain(x), atol=1e-5)
    gradients = []
    for only_cpus in (True, False):
        monkeypatch.setattr(grouped, "_only_cpus", lambda only_cpus=only_cpus: only_cpus)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(layer(x) ** 2)
        gradients.append(tape.gradient(value, [x, layer.kernel]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    monkeypatch.undo()
    assert grouped._only_cpus() == (not tf.config.list_logical_devices("GPU"))


@pytest.mark.parametrize("head", ["linear", "normed"])
def test_half_precision_keeps_head_and_statistics_in_float32(head):
    given = np.random.default_rng(0).normal(2, 3, (4, 32, 32, 3)).astype("float32")
    found = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            network = resnet("small", SMALL, 5, (32, 32, 3), head, seed=0)
        finally:
            keras.config.set_dtype_policy("float32")
        logits = network(given, training=True)
        found[policy] = logits.numpy(), network.get_layer("bn1").moving_variance.numpy()
        assert logits.dtype == "float32" and network.get_layer("features").output.dtype == "float32"
    assert network.get_layer("layer2.0.conv2").compute_dtype == "bfloat16"
    assert {variable.dtype for variable in network.variables} == {"float32"}
    assert network.get_layer("fc").compute_dtype == "float32"
    half, full = found["mixed_bfloat16"], found["float32"]
    np.testing.assert_allclose(half[1], full[1], rtol=1e-2)
    assert 0 < np.abs(half[0] - full[0]).max() < 0.2 * np.abs(full[0]).max()


def test_dense_layers_are_drawn_as_in_the_network():
    large, small = resnet("small", SMALL, 5, (8, 8, 3), seed=0), models.create("resnet20", 5, (8, 8, 3), seed=0)
    assert linear_of(large) is uniform_linear and linear_of(small) is linear
    assert linear_of(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])) is linear
    new = with_new_head(large, 5, seed=0).get_layer("fc")
    assert np.abs(new.kernel).max() <= 256 ** -0.5
    assert not np.array_equal(new.kernel, large.get_layer("fc").kernel)
