"""Fixtures of the directories whose tests run the program: a conftest.py imports those that it wants."""

import contextlib
from unittest import mock

import pytest


@pytest.fixture(scope="package", autouse=True)
def determinism_of_runs():
    """Runs inside this process switch op determinism on for good; the tests after these start without it."""
    yield
    from tensorflow.python.framework import config
    config.disable_op_determinism()


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Commands are given in the project's root."""
    from tests.support.program import ROOT
    monkeypatch.chdir(ROOT)


@pytest.fixture
def small_networks(monkeypatch):
    """Networks of 8 layers, for fast runs."""
    from tests.support.method_runs import add_small_networks
    add_small_networks(monkeypatch)


@contextlib.contextmanager
def without_plots():
    """They take longer than small runs."""
    from cmo_tf.run import run
    with mock.patch.object(run, "write_report", return_value=("report.html", None)), \
            mock.patch.object(run.panel, "write"):
        yield


@pytest.fixture(scope="module")
def no_plots():
    """The same for all tests of a module."""
    with without_plots():
        yield


@pytest.fixture(scope="module")
def networks():
    """The same for a module's own fixtures."""
    from tests.support.method_runs import add_small_networks
    with pytest.MonkeyPatch.context() as patch:
        add_small_networks(patch)
        yield
