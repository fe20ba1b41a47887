"""Python processes with Keras on other backends, in environments without TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("jax", "torch")


def python_of(backend):
    """The Python of the environment for a backend. One that is not there is a failure, since nothing would be tested.

    CMO_TF_PYTHON_JAX and CMO_TF_PYTHON_TORCH name others than that of `make slow`.
    """
    if backend == "tensorflow":
        return sys.executable
    python = os.environ.get(f"CMO_TF_PYTHON_{backend.upper()}", ROOT / ".venv-backends/bin/python")
    if not Path(python).exists():
        pytest.fail(f"{python} is not there: `make slow` makes it, or make an environment with the packages of "
                    f"requirements-backends.txt and name its Python by CMO_TF_PYTHON_{backend.upper()}")
    return str(python)


def run(backend, script, *arguments, cwd):
    """What a script of the checkout prints with a backend; fails unless it exits with 0."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([python_of(backend), ROOT / script, *arguments], env=environment, cwd=cwd,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
