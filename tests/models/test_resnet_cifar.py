"""ResNets for small images against the PyTorch original: logits, eight SGD steps, initial weights, saving."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.core.errors import UserError
from cmo_tf.losses import CrossEntropy
from cmo_tf.models import MODELS, NormedLinear, create, load_torch_weights
from cmo_tf.optim import SGD

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module", params=["linear", "normed"])
def reference(request):
    """(network with the golden weights, NHWC images, golden arrays, head)."""
    with np.load(GOLDEN / f"resnet32_{request.param}.npz", allow_pickle=False) as file:
        golden = dict(file)
    network = create("resnet32", 10, head=request.param)
    restore(network, golden)
    return network, golden["x_nchw"].transpose(0, 2, 3, 1), golden, request.param


def restore(network, golden):
    load_torch_weights(network, {name[2:]: golden[name] for name in golden if name.startswith("w/")})


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_logits(reference, mode):
    network, images, golden, _ = reference
    expected = golden[f"logits_{mode}"]
    logits = network(images, training=mode == "train").numpy()
    restore(network, golden)
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_eight_sgd_steps(reference):
    network, images, golden, head = reference
    restore(network, golden)
    scale = 16.0 if head == "normed" else 1.0
    loss, optimizer = CrossEntropy(num_classes=10), SGD(0.002, momentum=0.9, l2=2e-4)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(golden["y"], scale * network(images, training=True))
        optimizer.apply(tape.gradient(value, network.trainable_variables))
        return value

    losses = []
    for index in range(8):
        optimizer.learning_rate = 0.002 if index < 4 else 0.0002
        losses.append(float(step()))
    np.testing.assert_allclose(losses, golden["sgd_losses"], rtol=0, atol=1e-3)
    kernel = network.get_layer("linear").kernel.numpy()
    np.testing.assert_allclose(kernel.T if head == "linear" else kernel, golden["final_linear"], atol=1e-4)
    conv = network.get_layer("conv1").kernel.numpy()
    np.testing.assert_allclose(conv.transpose(3, 2, 0, 1), golden["final_conv1"], atol=1e-3)
    moving = network.get_layer("bn1")
    np.testing.assert_allclose(moving.moving_mean.numpy(), golden["final_bn1_mean"], atol=1e-3)
    # Keras averages the biased variance of a batch, PyTorch the unbiased one: n / (n - 1) with n = 8 * 32 * 32.
    np.testing.assert_allclose(moving.moving_variance.numpy(), golden["final_bn1_var"], rtol=1e-3)
    restore(network, golden)


@pytest.mark.parametrize(("name", "layers"), [("resnet20", 20), ("resnet32", 32), ("resnet110", 110)])
def test_depth_and_parameters(name, layers):
    network = create(name, 100)
    weighted = [layer for layer in network.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
    assert len(weighted) == layers
    if name == "resnet32":
        assert sum(math.prod(v.shape) for v in network.trainable_variables) == 470_004


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 13, 3), (32, 32, 3)])
@pytest.mark.parametrize("head", ["linear", "normed"])
def test_shapes_and_saving(shape, head, tmp_path):
    network = create("resnet20", 7, input_shape=shape, head=head, seed=1)
    images = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    logits = network(images).numpy()
    assert logits.shape == (3, 7)
    assert network.get_layer("features").output.shape == (None, 64)
    if head == "normed":
        assert np.abs(logits).max() <= 1 + 1e-6
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images).numpy(), logits)


def test_option_a_shortcut():
    network = create("resnet20", 2, input_shape=(9, 9, 1))
    source, block = network.get_layer("layer1.2.relu2").output, network.get_layer("layer2.0.add")
    shortcut = keras.Model(network.input, [source, block.input[1]])
    before, after = (array.numpy() for array in shortcut(np.random.default_rng(0).normal(size=(2, 9, 9, 1))))
    expected = np.pad(before[:, ::2, ::2], [(0, 0), (0, 0), (0, 0), (8, 8)])
    np.testing.assert_array_equal(after, expected)


def test_initial_weights():
    network = create("resnet20", 1000, seed=3)
    kernel = network.get_layer("layer3.1.conv2").kernel.numpy()
    std = math.sqrt(2 / (3 * 3 * 64))
    assert abs(kernel.std() / std - 1) < 0.02
    assert np.abs(kernel).max() > 3 * std  # a truncated normal ends at 2.27 of these
    head = network.get_layer("linear")
    assert abs(head.kernel.numpy().std() / math.sqrt(2 / 64) - 1) < 0.02
    bias = head.bias.numpy()
    assert np.abs(bias).max() <= 1 / 8 and abs(bias.std() * 8 * math.sqrt(3) - 1) < 0.1
    normed = create("resnet20", 5, head="normed", seed=3).get_layer("linear").kernel.numpy()
    np.testing.assert_allclose(np.linalg.norm(normed, axis=0), 1, rtol=1e-5)


def test_seed():
    def weights(seed, head="normed"):
        return create("resnet20", 5, head=head, seed=seed).get_weights()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    changed = [not np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert all(changed)
    network = create("resnet20", 5, seed=1)
    twins = [network.get_layer(f"layer1.{block}.conv1").kernel.numpy() for block in (1, 2)]
    assert not np.array_equal(*twins)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("head", ["linear", "normed"])
def test_float32_logits_under_mixed_precision(policy, head):
    keras.config.set_dtype_policy(policy)
    try:
        network = create("resnet20", 4, input_shape=(8, 8, 1), head=head)
        assert network.get_layer("conv1").compute_dtype == policy.removeprefix("mixed_")
        logits = network(np.ones((2, 8, 8, 1), "float32"))
        assert network.get_layer("linear").compute_dtype == "float32"
        assert logits.dtype == tf.float32 and np.isfinite(logits.numpy()).all()
    finally:
        keras.config.set_dtype_policy("float32")


def test_normed_linear_at_zero():
    head, zeros = NormedLinear(3, seed=0), tf.zeros((2, 4))
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        out = head(zeros)
    assert np.array_equal(out.numpy(), np.zeros((2, 3)))
    assert np.isfinite(tape.gradient(out, zeros).numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet23"}, "--model=resnet23.*did you mean"),
        ({"head": "sine"}, "head 'sine'"),
        ({"num_classes": 0}, "num_classes"),
        ({"input_shape": (32, 32)}, "input_shape"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        create(**{"name": "resnet20", "num_classes": 3, **arguments})


def test_registry_is_complete():
    assert set(MODELS) >= {"resnet20", "resnet32", "resnet44", "resnet56", "resnet110"}
