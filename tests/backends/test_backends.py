"""Layers, losses and callbacks on the JAX and PyTorch backends of Keras, each in a process of its own."""

from pathlib import Path

import numpy as np
import pytest

from cmo_tf.mixing import MIXERS
from tests.support import other_backends

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def run(backend, path):
    """Arrays of checks.py on a backend."""
    other_backends.run(backend, "tests/backends/checks.py", path, cwd=path.parent)
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The same on TensorFlow."""
    return run("tensorflow", tmp_path_factory.mktemp("tensorflow") / "found.npz")


@pytest.fixture(scope="module", params=other_backends.OTHERS)
def found(request, tmp_path_factory):
    return run(request.param, tmp_path_factory.mktemp(request.param) / "found.npz")


def keys(found, part):
    names = [name for name in found if name.startswith(f"{part}/")]
    assert names
    return names


def close(found, expected, name):
    assert found[name].dtype == expected[name].dtype, name
    size = np.abs(expected[name]).max(initial=0)
    np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=5e-6 * (1 + size), err_msg=name)


@pytest.mark.slow
def test_losses_give_the_golden_values_and_gradients(found):
    for name in keys(found, "golden"):
        _, file, key = name.split("/")
        with np.load(GOLDEN / f"{file}.npz") as golden:
            if key.endswith("_grad"):
                np.testing.assert_allclose(found[name], golden[key], rtol=0, atol=1e-6, err_msg=name)
            else:
                np.testing.assert_allclose(found[name], golden[key], rtol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["loss", "fit"])
def test_the_same_values_as_on_tensorflow(found, expected, part):
    """Every loss of the registry; a fit with DRW, whose weights change after the step was traced."""
    assert keys(found, part) == keys(expected, part)
    for name in keys(expected, part):
        close(found, expected, name)
    if part == "fit":
        assert found["fit/class_weights"].max() > 1.5, "DRW's weights came"


@pytest.mark.slow
def test_mixers_paste_the_same_pixels(found, expected):
    """By a given plan: bit for bit where pixels are pasted."""
    for name in keys(expected, "mixer"):
        if MIXERS[name.split("/")[1]].plan == "box":
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        else:
            close(found, expected, name)


@pytest.mark.slow
def test_own_draws_keep_the_share_exact(found):
    for alpha in (1.0, 0.5):
        lam = found[f"draws/{alpha}/lam"]
        assert lam.dtype == np.float32 and len(np.unique(lam)) > 10
        np.testing.assert_allclose(lam, found[f"draws/{alpha}/share"], rtol=0, atol=1e-7)


@pytest.mark.slow
def test_the_mixing_window_switches_a_traced_layer(found):
    assert found["window/mixed"].tolist() == [False, True, True, False]


@pytest.mark.slow
def test_networks_give_the_same_logits_and_take_weights_from_pytorch(found, expected):
    for name in keys(expected, "network"):
        size = np.abs(expected[name]).max()
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-4 * size, err_msg=name)
    for head in ("linear", "normed"):
        with np.load(GOLDEN / f"resnet32_{head}.npz") as golden:
            size = np.abs(golden["logits_eval"]).max()
            np.testing.assert_allclose(found[f"network/golden_{head}"], golden["logits_eval"], rtol=0, atol=1e-5 * size)
