"""Sets of TensorFlow Datasets, read from small copies of the true layout."""

import os
import socket

import numpy as np
import pytest

from cmo_tf import datasets
from cmo_tf.core.errors import UserError
from cmo_tf.datasets.tfds_sets import original_order
from tests.support.tiny_tfds import TINY, tiny_arrays


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "tfds:cifar10"])
def test_original_order_is_restored(name, tiny_dir, no_network):
    source = datasets.load(name, data_dir=tiny_dir, download=False)
    arrays = tiny_arrays(name.removeprefix("tfds:"), *TINY[name.removeprefix("tfds:")])
    for split in ("train", "test"):
        images, labels = arrays[split]
        assert np.array_equal(getattr(source, split).images, images)
        assert np.array_equal(getattr(source, split).labels, labels)


def test_fashion_mnist_has_the_same_images_in_record_order(tiny_dir):
    source = datasets.load("fashion_mnist", data_dir=tiny_dir, download=False)
    images, labels = tiny_arrays("fashion_mnist", *TINY["fashion_mnist"])["train"]

    def rows(pictures, classes):
        return sorted((picture.tobytes(), int(label)) for picture, label in zip(pictures, classes, strict=True))

    assert rows(source.train.images, source.train.labels) == rows(images, labels)


def test_class_names_come_from_the_set(tiny_dir):
    assert datasets.load("fashion_mnist", data_dir=tiny_dir).class_names[9] == "Ankle boot"
    assert datasets.load("cifar100", data_dir=tiny_dir).class_names[42] == "fine_42"  # the fine label, not the coarse


@pytest.mark.parametrize("ids", [
    [b"train_0", b"train_2"], [b"train_0", b"train_0"], [b"test_0", b"test_1"], [b"train_0", b"train_x"],
    [b"train_0", b"\xff"], None,
])
def test_incomplete_ids_give_no_order(ids):
    assert original_order(None if ids is None else np.array(ids), "train") is None


def test_complete_ids_give_the_order():
    assert original_order(np.array([b"train_00002", b"train_00000", b"train_00001"]), "train").tolist() == [1, 2, 0]


def test_any_set_keeps_a_small_fixed_size_and_measures_its_constants(tiny_dir):
    source = datasets.load("tfds:fashion_mnist", data_dir=tiny_dir)
    assert source.name == "tfds:fashion_mnist" and source.image_shape == (28, 28, 1) and source.augment == "pad4_flip"
    pixels = source.train.images / 255
    assert np.allclose(source.mean, pixels.mean(), atol=1e-4) and np.allclose(source.std, pixels.std(), atol=1e-4)


@pytest.mark.parametrize("size,stored,augment", [(48, 48, "pad4_flip"), (96, 110, "crop_flip")])
def test_any_set_is_resized_on_request(size, stored, augment, tiny_dir):
    source = datasets.load("tfds:fashion_mnist", data_dir=tiny_dir, image_size=size)
    assert source.image_shape == (size, size, 1) and source.stored_shape == (stored, stored, 1)
    assert source.augment == augment
    small = datasets.load("tfds:fashion_mnist", data_dir=tiny_dir)
    assert np.array_equal(source.train.labels, small.train.labels)
    assert abs(source.train.images[5].mean() - small.train.images[5].mean()) < 3


@pytest.fixture(scope="module")
def odd_dir(tmp_path_factory):
    """A builder with pictures of varied size and no test split, another without labels, a third without train."""
    import tensorflow_datasets as tfds

    from tests.support.tiny_tfds import photographs

    photo = photographs()[0]
    data_dir = tmp_path_factory.mktemp("odd")

    def features(label):
        return {"image": tfds.features.Image(shape=(None, None, 3)), label: tfds.features.ClassLabel(names=["a", "b"])}

    def rows(label, sizes):
        return [{"image": photo[:height, :width], label: row % 2} for row, (height, width) in enumerate(sizes)]

    def build(dataset, label, splits):
        class Odd(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            name = dataset
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features(label)))

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(sizes) for split, sizes in splits.items()}

            def _generate_examples(self, sizes):
                yield from enumerate(rows(label, sizes))

        Odd(data_dir=str(data_dir)).download_and_prepare(download_dir=str(data_dir / "downloads"))

    sizes = [(100 + 7 * row, 180 - 3 * row) for row in range(20)]
    build("odd_sizes", "label", {"train": sizes})
    build("odd_validation", "label", {"train": sizes, "validation": sizes[:4]})
    build("odd_target", "target", {"train": sizes[:2], "test": sizes[:2]})
    build("odd_splits", "label", {"first": sizes[:2], "second": sizes[:2]})
    return data_dir


def test_varied_sizes_without_a_test_split(odd_dir):
    source, same, other = (datasets.load("tfds:odd_sizes", data_dir=odd_dir, image_size=80, seed=seed)
                           for seed in (0, 0, 1))
    assert source.image_shape == (80, 80, 3) and source.stored_shape == (91, 91, 3) and source.augment == "crop_flip"
    assert np.bincount(source.train.labels).tolist() == [8, 8] and np.bincount(source.test.labels).tolist() == [2, 2]
    assert np.array_equal(source.test.images, same.test.images)
    assert not np.array_equal(source.test.images, other.test.images)
    assert datasets.load("tfds:odd_sizes", data_dir=odd_dir).stored_shape == (64, 64, 3)


def test_validation_stands_in_for_test(odd_dir):
    source = datasets.load("tfds:odd_validation", data_dir=odd_dir)
    assert (len(source.train), len(source.test)) == (20, 4) and source.class_names == ("a", "b")


def test_sets_that_are_no_classification_say_what_they_have(odd_dir):
    with pytest.raises(UserError, match="tfds:odd_target.*`image`.*`label`.*features are image, target"):
        datasets.load("tfds:odd_target", data_dir=odd_dir)
    with pytest.raises(UserError, match="tfds:odd_splits: has no train split; its splits are first, second"):
        datasets.load("tfds:odd_splits", data_dir=odd_dir)


def test_a_damaged_set_names_its_folder(odd_dir, tmp_path):
    import shutil

    shutil.copytree(odd_dir / "odd_sizes", tmp_path / "odd_sizes")
    record = next((tmp_path / "odd_sizes/1.0.0").glob("*.tfrecord*"))
    os.truncate(record, record.stat().st_size // 2)
    with pytest.raises(UserError, match="odd_sizes/1.0.0 is damaged .train split.*prepare it again"):
        datasets.load("tfds:odd_sizes", data_dir=tmp_path)


def ways_out(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    return all(word in text for word in ("--data_dir", "tools/prepare_data.py", "--download"))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion_mnist", "tfds:mnist"])
def test_missing_and_not_to_be_downloaded(name, tmp_path, no_network):
    with pytest.raises(UserError, match=f"--dataset={name}: it is not in {tmp_path}") as error:
        datasets.load(name, data_dir=tmp_path, download=False)
    assert ways_out(error) and not list(tmp_path.iterdir())


def test_missing_and_no_network(tmp_path, monkeypatch, capfd):
    def fail(*args, **kwargs):
        raise socket.gaierror("no name server")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UserError, match="not be downloaded .ConnectionError: ConnectionError at https://") as error:
        datasets.load("cifar100", data_dir=tmp_path / "new")
    assert ways_out(error) and not (tmp_path / "new").exists()
    out, err = capfd.readouterr()
    assert out == "" and "Traceback" not in err and "downloading 161 MiB" in err


def test_a_dead_proxy(tmp_path, monkeypatch):
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match="could not be downloaded .ConnectionError: ProxyError") as error:
        datasets.load("cifar10", data_dir=tmp_path)
    assert ways_out(error)


def test_an_incomplete_installation_is_told(tmp_path, monkeypatch, no_network):
    import tensorflow_datasets as tfds

    class Broken:
        def __get__(self, instance, owner):
            raise ModuleNotFoundError("No module named 'odd'")

    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", Broken(), raising=False)
    with pytest.raises(UserError, match="not completely installed .No module named 'odd'.*requirements.txt"):
        datasets.load("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("name,message", [
    ("tfds:imagenet2012", "fetched by hand"),
    ("tfds:places365_small", "its download .2[0-9.]+ GiB. is not started by itself"),
    ("tfds:mnits", "no such builder; did you mean tfds:mnist"),
    ("tfds:huggingface:mnist", "only sets of the TFDS catalogue"),
    ("tfds:cifar10_corrupted/fog", "--dataset=tfds:cifar10_corrupted/fog: ValueError"),
])
def test_what_never_reaches_the_network(name, message, tmp_path, no_network):
    with pytest.raises(UserError, match=message):
        datasets.load(name, data_dir=tmp_path)
