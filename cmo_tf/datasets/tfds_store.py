"""Finds, downloads and reads one TensorFlow Datasets set; whatever goes wrong is told in one line.

TensorFlow Datasets is imported inside the functions: it brings TensorFlow, which listing the catalogue must not.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.decode import Progress, read_image

SMALL_DOWNLOAD = 1024**3
CONNECT_SECONDS = 10


def open_set(name: str, dataset: str, data_dir, download: bool):
    """A tfds builder whose files are there: found in `data_dir`, or downloaded and prepared if small and allowed.

    Args:
        name: as TFDS knows it, `builder` or `builder/config`.
        dataset: as `--dataset` named it, for errors.
        data_dir: None for TFDS' own default.

    Raises:
        UserError: no such builder, or the set is missing and cannot be fetched; names the ways out.
    """
    where = f"--dataset={dataset}"
    builder = _find_builder(name, where, data_dir)
    if not _is_prepared(builder):
        root = str(builder.data_dir_root)
        _may_download(builder, where, root, download)
        _download(builder, where, root)
    return builder


def _find_builder(name: str, where: str, data_dir):
    import tensorflow_datasets as tfds

    if ":" in name:
        raise UserError(f"{where}: only sets of the TFDS catalogue, NAME or NAME/CONFIG, without a colon")
    _keep_off_the_bucket()
    with _quiet():
        try:
            return tfds.builder(name, data_dir=None if data_dir is None else os.path.expanduser(str(data_dir)))
        except tfds.core.registered.DatasetNotFoundError:
            raise UserError(f"{where}: TensorFlow Datasets has no such builder{_near(name, tfds)}") from None
        except Exception as error:  # an unknown configuration, a missing extra dependency: TFDS raises many kinds
            _refuse_damaged_info(name, where, data_dir)
            raise UserError(f"{where}: {_reason(error)}") from None


def _refuse_damaged_info(name: str, where: str, data_dir) -> None:
    """A UserError if a description in the folders of a set is no JSON, as a copy that was broken off leaves it."""
    import tensorflow_datasets as tfds

    root = os.path.expanduser(str(tfds.core.constants.DATA_DIR if data_dir is None else data_dir))
    for folder, _, files in os.walk(os.path.join(root, name.split("/")[0])):
        if "dataset_info.json" in files:
            path = os.path.join(folder, "dataset_info.json")
            try:
                with open(path, encoding="utf-8") as file:
                    json.load(file)
            except (OSError, ValueError) as error:
                raise UserError(f"{where}: {path} is damaged ({_reason(error)}); remove that folder and prepare it "
                                "again") from None


def _near(name: str, tfds) -> str:
    import difflib

    near = difflib.get_close_matches(name.split("/")[0], tfds.list_builders(with_community_datasets=False), n=1)
    return f"; did you mean tfds:{near[0]}?" if near else ""


def _keep_off_the_bucket() -> None:
    """TFDS may ask its public bucket for metadata of a set; offline that costs a minute of retries."""
    with contextlib.suppress(ImportError):  # newer releases leave it off by themselves, and may drop the switch
        from tensorflow_datasets.core.utils import gcs_utils

        gcs_utils._is_gcs_disabled = True


def _is_prepared(builder) -> bool:
    # not builder.is_prepared(): it logs a warning when the answer is no
    return os.path.exists(os.path.join(builder.data_dir, "dataset_info.json"))


def _ways_out(root: str) -> str:
    return (f"it is not in {root}; give --data_dir=DIR of a prepared copy, or fill one with tools/prepare_data.py "
            "(cifar10, fashion_mnist), or let it download where there is a network (--download)")


def _may_download(builder, where: str, root: str, download: bool) -> None:
    """UserError where the set is not to be downloaded: told not to, big, of unknown size, or by hand only."""
    if not download:
        raise UserError(f"{where}: {_ways_out(root)}")
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise UserError(f"{where}: it is not in {root}, and its files must be fetched by hand (see "
                        f"https://www.tensorflow.org/datasets/catalog/{builder.name}); prepare it with "
                        "`tfds build` and give --data_dir=DIR")
    size = sum(info.size for info in _urls(builder, where).values())
    if not 0 < size < SMALL_DOWNLOAD:
        much = f"{size / 1024**3:.1f} GiB" if size else "of unknown size"
        raise UserError(f"{where}: it is not in {root}, and its download ({much}) is not started by itself; run "
                        f"`tfds build {builder.name} --data_dir=DIR` once and give --data_dir=DIR")
    print(f"{where}: not in {root}; downloading {size / 1024**2:.0f} MiB (--nodownload forbids it)", file=sys.stderr)


def _urls(builder, where: str) -> dict:
    """URL -> size and checksum of what the builder downloads; empty where TFDS does not know."""
    try:
        return type(builder).url_infos or {}
    except ImportError as error:  # TFDS imports parts of itself late; an incomplete installation shows only here
        raise UserError(f"{where}: TensorFlow Datasets is not completely installed ({error}); "
                        "pip install -r requirements.txt") from None


def _download(builder, where: str, root: str) -> None:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(try_download_gcs=False)
    with contextlib.redirect_stdout(sys.stderr), _quiet():  # stdout is for results
        try:
            _check_network(_urls(builder, where))
            builder.download_and_prepare(download_config=config)
        except Exception as error:  # network, proxy, checksum, full or unwritable disk: TFDS has no common base
            raise UserError(f"{where}: could not be downloaded ({_reason(error)}); {_ways_out(root)}") from None


def _check_network(urls) -> None:
    """One quick connection first: TFDS itself retries for minutes before it gives up."""
    import requests

    url = next(iter(urls))
    try:
        with requests.get(url, stream=True, timeout=CONNECT_SECONDS) as response:
            response.raise_for_status()
    except requests.RequestException as error:  # its text is a page of nested exceptions; the kind says enough
        raise ConnectionError(f"{type(error).__name__} at {url}") from None


def _reason(error: Exception) -> str:
    """One short line of an exception that may carry pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text[:160]}{'...' if len(text) > 160 else ''}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS' log chatter below errors."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def read_split(builder, split: str, dataset: str, size: int | None, channels: int) -> dict[str, np.ndarray]:
    """Reads a whole split, in the order of its records, into arrays allocated once.

    Args:
        builder: from `open_set`, with features `image` and `label`.
        split: name of the split.
        size: side to which pictures of varied size are brought (see `decode.read_image`), None for pictures of one
            fixed size, which are decoded as they are.
        channels: 1 or 3.

    Returns:
        `image` uint8 (N, H, W, channels), `label` int64 (N,), and `id` bytes (N,) where the set has ids.

    Raises:
        UserError: the files are damaged.
    """
    total = builder.info.splits[split].num_examples
    shape = (size, size) if size else builder.info.features["image"].shape[:2]
    images = np.empty((total, *shape, channels), dtype=np.uint8)
    columns = {"image": images, "label": np.empty(total, dtype=np.int64)}
    ids, row, progress = [], 0, Progress(f"{dataset} {split}", total)
    try:
        for batch in _batches(builder, split, size, channels):
            stop = row + len(batch["label"])
            for key, column in columns.items():
                column[row:stop] = batch[key]
            ids.extend(batch.get("id", ()))
            row = stop
            progress(row)
    except Exception as error:  # a truncated record, a picture that does not decode, a count that is off
        raise UserError(f"--dataset={dataset}: {builder.data_dir} is damaged ({split} split, after record {row}: "
                        f"{_reason(error)}); remove that folder and prepare it again") from None
    return columns | ({"id": np.array(ids)} if ids else {})


def _batches(builder, split: str, size: int | None, channels: int):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    wanted = [key for key in ("image", "label", "id") if key in builder.info.features]

    def decode(record):
        raw = record["image"]
        if size:
            image = tf.numpy_function(lambda data: read_image(data, size, channels), [raw], tf.uint8, stateful=False)
        else:
            image = tf.io.decode_image(raw, channels=channels, expand_animations=False)
        return {key: record[key] for key in wanted} | {"image": image}

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, skip_prefetch=True)
    records = builder.as_dataset(split=split, shuffle_files=False, read_config=config,
                                 decoders={"image": tfds.decode.SkipDecoding()})
    return records.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(512).prefetch(2).as_numpy_iterator()
