"""What every entry of the catalogue promises, run over the whole registry."""

import subprocess
import sys

import numpy as np
import pytest

from cmo_tf import datasets
from cmo_tf.core.errors import UserError
from cmo_tf.datasets.source import Source, Split, held_out, pixel_statistics, stored_size
from tests.support.tiny_tfds import TINY

COUNTS = {name: (per_class[0], per_class[1], 100 if name == "cifar100" else 10) for name, per_class in TINY.items()}


@pytest.mark.parametrize("name", [name for name in datasets.DATASETS if name not in datasets.BIG])
def test_contract(name, tiny_dir, no_network):
    source, again = (datasets.load(name, data_dir=tiny_dir, download=False) for _ in range(2))
    height, width, channels = source.image_shape
    assert source.name == name and source.in_memory and source.stored_shape == source.image_shape
    for split, other in ((source.train, again.train), (source.test, again.test)):
        assert split.images.dtype == np.uint8 and split.images.shape == (len(split), height, width, channels)
        assert split.labels.dtype == np.int64 and set(split.labels) == set(range(source.num_classes))
        assert split.images.max() > 200 and split.images.min() < 50  # raw pixels, not normalised
        assert np.array_equal(split.images, other.images) and np.array_equal(split.labels, other.labels)
    assert len(set(source.class_names)) == source.num_classes
    assert len(source.mean) == len(source.std) == channels
    assert source.augment in ("pad1", "pad4_flip")
    if name in COUNTS:
        train, test, classes = COUNTS[name]
        assert np.bincount(source.train.labels).tolist() == [train] * classes
        assert np.bincount(source.test.labels).tolist() == [test] * classes


def test_digits_are_the_bundled_ones():
    source = datasets.load("digits")
    assert (len(source.train), len(source.test)) == (1497, 300)
    assert np.bincount(source.test.labels).tolist() == [30] * 10
    assert np.bincount(source.train.labels).tolist() == [148, 152, 147, 153, 151, 152, 151, 149, 144, 150]
    assert (source.mean, source.std) == pixel_statistics(source.train.images)
    assert set(np.unique(source.train.images)) == {value * 255 // 16 for value in range(17)}


def test_digits_test_split_is_the_same_for_every_seed():
    first, other = datasets.load("digits"), datasets.load("digits", seed=7, test_fraction=0.5)
    assert np.array_equal(first.test.images, other.test.images)


def test_misspelt_name_is_answered_with_the_nearest_and_the_prefixes():
    with pytest.raises(UserError, match="--dataset=cifra10.*did you mean 'cifar10'.*tfds:NAME.*folder:DIR"):
        datasets.load("cifra10")


@pytest.mark.parametrize("name", ["tfds:", "folder:", "http://x", ""])
def test_a_name_that_is_no_name(name):
    with pytest.raises(UserError, match="--dataset="):
        datasets.load(name)


@pytest.mark.parametrize("size", [0, 3, 100000])
def test_image_size_out_of_range(size):
    with pytest.raises(UserError, match=f"--image_size={size}"):
        datasets.load("folder:anywhere", image_size=size)


def test_image_size_of_a_fixed_set():
    with pytest.raises(UserError, match="--image_size=16: the digits are 8x8"):
        datasets.load("digits", image_size=16)
    with pytest.raises(UserError, match="--image_size=64: cifar10 is 32x32.*tfds:cifar10"):
        datasets.load("cifar10", image_size=64)


def test_the_catalogue_imports_nothing_heavy():
    code = ("import sys, cmo_tf.datasets as d; d.check('cifar10'); d.check('tfds:mnist');"
            "print([m for m in ('tensorflow', 'keras', 'sklearn', 'tensorflow_datasets', 'PIL') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def source_with(labels, images=None, **changes):
    images = np.zeros((len(labels), 8, 8, 1), np.uint8) if images is None else images
    split = Split(images, np.asarray(labels))
    good = Split(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1]))
    fields = dict(name="mine", train=split, test=good, class_names=("a", "b"), image_shape=(8, 8, 1), mean=(0.5,),
                  std=(0.5,), augment="pad1")
    return Source(**(fields | changes))


@pytest.mark.parametrize("labels,message", [
    ([0, 1, 2, 0], "mine: train split: row 2 has label 2.*0..1"),
    ([0, -1], "row 1 has label -1"),
    ([0.0, 1.0], "must be integers"),
    ([], "at least one image"),
])
def test_bad_labels_name_set_and_row(labels, message):
    with pytest.raises(UserError, match=message):
        source_with(labels)


@pytest.mark.parametrize("images,message", [
    (np.zeros((2, 8, 8, 1), np.float32), "must be uint8"),
    (np.zeros((2, 8, 8), np.uint8), "must be uint8"),
    (np.zeros((3, 8, 8, 1), np.uint8), "3 images but 2 labels"),
    (np.zeros((2, 4, 8, 1), np.uint8), "cannot give the network"),
    (np.zeros((2, 8, 8, 3), np.uint8), "cannot give the network"),
    (np.array(["a.png", ""]), "row 1 has an empty path"),
])
def test_bad_images_name_the_set(images, message):
    with pytest.raises(UserError, match=message):
        source_with([0, 1], images)


@pytest.mark.parametrize("changes", [{"mean": (0.5, 0.5)}, {"std": (0.0,)}, {"std": (float("nan"),)}])
def test_bad_constants(changes):
    with pytest.raises(UserError, match="--dataset=mine: (mean|std)"):
        source_with([0, 1], **changes)


def test_paths_are_images_too():
    source = source_with([0, 1], np.array(["a.png", "b.png"]), image_shape=(64, 64, 1), test=Split(
        np.array(["c.png"]), np.array([0])))
    assert not source.in_memory and source.stored_shape == (stored_size(64), stored_size(64), 1) == (73, 73, 1)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
def test_held_out_share(fraction):
    labels = np.repeat(np.arange(5), [1, 2, 3, 10, 100])
    mask = held_out(labels, fraction, seed=3)
    counts = np.bincount(labels[mask], minlength=5)
    assert counts[0] == 0 and counts[1] == 1  # one image goes to training, of two one is tested
    assert all(counts < [2, 2, 3, 10, 100]) and counts[4] == min(99, round(100 * fraction))
    assert np.array_equal(mask, held_out(labels, fraction, seed=3))
    assert not np.array_equal(mask, held_out(labels, fraction, seed=4))


@pytest.mark.parametrize("fraction", [0, 1, -1])
def test_held_out_fraction_out_of_range(fraction):
    with pytest.raises(UserError, match="--test_fraction"):
        held_out(np.array([0, 0]), fraction)


def test_pixel_statistics_against_numpy():
    images = np.random.RandomState(0).randint(0, 256, (50, 9, 7, 3)).astype(np.uint8)
    images[..., 2] = 200
    mean, std = pixel_statistics(images, chunk=16)
    assert np.allclose(mean, (images / 255).mean((0, 1, 2)), atol=5e-5)
    assert np.allclose(std[:2], (images / 255).std((0, 1, 2))[:2], atol=5e-5)
    assert std[2] == 1.0  # a constant channel must not divide by zero
