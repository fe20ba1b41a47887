"""examples/cifar10lt_any_backend.py on every backend, each in an environment that has no TensorFlow unless it must."""

import csv
import json

import numpy as np
import pytest

from tests.support import other_backends as backends

EXAMPLE = "examples/cifar10lt_any_backend.py"
EVERY = ("tensorflow", *backends.OTHERS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A set of the shape of CIFAR-10, 1,000 random training pictures a class, in an .npz file."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "cifar10.npz"
    arrays = {f"{name}_{split}": array for split, rows in (("train", 5000), ("test", 40)) for name, array in (
        ("x", rng.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)), ("y", np.arange(rows)[:, None] % 10))}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def steps(data, tmp_path_factory):
    """Backend -> losses and weights of ten steps."""
    results = {}
    for backend in EVERY:
        path = tmp_path_factory.mktemp(backend) / "steps.npz"
        backends.run(backend, "tests/backends/example_steps.py", data, path, cwd=path.parent)
        with np.load(path) as arrays:
            results[backend] = dict(arrays)
    return results


@pytest.mark.slow
@pytest.mark.parametrize("backend", EVERY)
def test_two_steps_write_results_of_the_programs_form(data, tmp_path, backend):
    backends.run(backend, EXAMPLE, f"--data={data}", "--method=ldam_drw", "--mix=cmo", "--epochs=2", "--steps=1",
                 "--model=resnet20", "--out=out", cwd=tmp_path)
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["versions"]["backend"] == backend and len(results["per_class"]) == 10
    assert results["class_counts"] == [500, 299, 179, 107, 64, 38, 23, 13, 8, 5]
    assert set(results["accuracy"]) == {"all", "many", "medium", "few"} and 0 < results["ece"] < 1
    rows = list(csv.DictReader((tmp_path / "out/metrics.csv").open()))
    assert len(rows) == 2 and all(0 < float(row["loss"]) < 100 for row in rows)
    assert float(rows[-1]["all"]) == results["accuracy"]["all"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", backends.OTHERS)
def test_ten_steps_agree_with_tensorflow(steps, backend):
    """From the same weights: losses, all weights and the statistics of batch normalisation."""
    for name, expected in steps["tensorflow"].items():
        np.testing.assert_allclose(steps[backend][name], expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()),
                                   err_msg=name)
    assert np.ptp(steps["tensorflow"]["losses"]) > 0.1, "something was learnt or mixed"
