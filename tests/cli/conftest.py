import pytest
from program import ROOT, SHORT, program


@pytest.fixture(scope="package", autouse=True)
def determinism_of_runs():
    """Runs inside this process switch op determinism on for good; the tests after these start without it."""
    yield
    from tensorflow.python.framework import config
    config.disable_op_determinism()


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Commands are given in the project's root."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="package")
def tiny(tmp_path_factory):
    """A TFDS directory with small copies of cifar10 and cifar100, 100 training images a class of the latter."""
    from tiny_tfds import TINY, make_tfds_set

    data_dir = tmp_path_factory.mktemp("tiny")
    for name in ("cifar10", "cifar100"):
        make_tfds_set(data_dir, name, *TINY[name])
    return data_dir


@pytest.fixture(scope="package")
def tiny_flags(tiny, tmp_path_factory):
    """Function data set -> flags that bring any recipe on it down to a small network on a small copy of the set."""
    import big_sets

    trees = tmp_path_factory.mktemp("trees")
    counts = big_sets.long_tail(6, 12)
    make = {big_sets.IMAGENET: big_sets.make_imagenet_tree, big_sets.INATURALIST: big_sets.make_inaturalist_tree}

    def flags(dataset):
        small = ["--model=resnet20", "--batch_size=8", "--nodownload"]
        if dataset not in make:
            return [f"--data_dir={tiny}", *small]
        if not (trees / dataset).exists():
            make[dataset](trees / dataset, counts)
        return [f"--data_dir={trees / dataset}", "--image_size=32", *small]
    return flags


@pytest.fixture(scope="package")
def finished(tmp_path_factory):
    """(folder, how it ended) of the uninterrupted run of SHORT. Nothing may change it."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    return run_dir, program(*SHORT, f"--run_dir={run_dir}")
