"""State dicts of PyTorch: every tensor once, or an error that names it."""

import keras
import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.models import create, load_torch_weights


@pytest.fixture(params=["linear", "normed"])
def network(request):
    return create("resnet20", 4, input_shape=(8, 8, 1), head=request.param, seed=0)


def torch_state(network, seed=0):
    """Random tensors with the names and layouts of the PyTorch model."""
    rng, state = np.random.default_rng(seed), {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            shape = tuple(layer.kernel.shape)
            state[f"{layer.name}.weight"] = rng.normal(size=(shape[3], shape[2], *shape[:2]))
        elif isinstance(layer, keras.layers.BatchNormalization):
            for name in ("weight", "bias", "running_mean", "running_var"):
                state[f"{layer.name}.{name}"] = rng.uniform(0.5, 1, size=layer.gamma.shape)
            state[f"{layer.name}.num_batches_tracked"] = np.array(7)
    normed = not isinstance(network.get_layer("linear"), keras.layers.Dense)
    state["linear.weight"] = rng.normal(size=(64, 4) if normed else (4, 64))
    if not normed:
        state["linear.bias"] = rng.normal(size=4)
    return state


def test_every_tensor_arrives(network):
    before = network.get_weights()
    state = torch_state(network)
    load_torch_weights(network, state)
    assert not any(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    kernel = network.get_layer("layer2.0.conv1").kernel.numpy()
    np.testing.assert_allclose(kernel[2, 0, 3, 5], state["layer2.0.conv1.weight"][5, 3, 2, 0], rtol=1e-6)
    bn = network.get_layer("layer3.2.bn2")
    np.testing.assert_allclose(bn.moving_variance.numpy(), state["layer3.2.bn2.running_var"], rtol=1e-6)
    assert len([name for name in state if "num_batches" not in name]) == len(network.weights)


def test_inside_another_model(network):
    state = torch_state(network)
    images = keras.Input((8, 8, 1))
    whole = keras.Model(images, network(keras.layers.Rescaling(1 / 255)(images)))
    load_torch_weights(whole, state)
    np.testing.assert_allclose(network.get_layer("bn1").gamma.numpy(), state["bn1.weight"], rtol=1e-6)


def change(state, name, value):
    """The state with a tensor replaced, added, or (None) taken away."""
    state = {**state, name: value}
    return state if value is not None else {key: array for key, array in state.items() if key != name}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layer1.1.bn2.running_mean", None, "no tensor 'layer1.1.bn2.running_mean'"),
        ("layer1.3.conv1.weight", np.zeros((16, 16, 3, 3)), "no place for tensor 'layer1.3.conv1.weight'"),
        ("conv1.bias", np.zeros(16), "no place for tensor 'conv1.bias'"),
        ("conv1.weight", np.zeros((16, 3, 3, 3)), r"'conv1.weight' has shape \(16, 3, 3, 3\).*\(16, 1, 3, 3\)"),
        ("linear.weight", np.zeros((5, 64)), "'linear.weight' has shape"),
    ],
)
def test_errors_name_the_tensor_and_change_nothing(network, name, value, message):
    before = network.get_weights()
    with pytest.raises(UserError, match=message):
        load_torch_weights(network, change(torch_state(network), name, value))
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))


def test_unknown_layer_with_weights_is_refused():
    odd = keras.Sequential([keras.Input((3,)), keras.layers.EinsumDense("ab,bc->ac", 4, name="odd")])
    with pytest.raises(UserError, match="'odd'.*no rule"):
        load_torch_weights(odd, {})
