import pytest

from tests.support.run_fixtures import at_root, determinism_of_runs, networks  # noqa: F401


@pytest.fixture(scope="package")
def tiny(tmp_path_factory):
    """A TFDS directory with small copies of cifar10 and cifar100, 100 training images a class of the latter."""
    from tests.support.tiny_tfds import TINY, make_tfds_set

    data_dir = tmp_path_factory.mktemp("tiny")
    for name in ("cifar10", "cifar100"):
        make_tfds_set(data_dir, name, *TINY[name])
    return data_dir


@pytest.fixture(scope="package")
def tiny_flags(tiny, tmp_path_factory):
    """Function data set -> flags that bring any recipe on it down to a small network on a small copy of the set."""
    from tests.support import big_sets

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
