"""Prepared TFDS sets of large pictures, left encoded: a RecordStore and the rows of each split in it."""

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.record_store import RecordStore
from cmo_tf.datasets.source import Split
from cmo_tf.datasets.tfds_store import open_set

FORMATS = {"tfrecord": False, "array_record": True}


def find_store(dataset: str, builder_name: str, test: str, data_dir, download: bool):
    """(training split, test split, class names, store) of a prepared set whose records hold `image` and `label`.

    `images` of the splits are row numbers in the store, which holds both splits one after the other, in the order of
    their records.

    Args:
        dataset: as `--dataset` names it. builder_name: as TFDS does. test: name of the split to test on.

    Raises:
        UserError: the set is not there (big ones are not downloaded), or is of another file format.
    """
    builder = open_set(builder_name, dataset, data_dir, download)
    where = f"--dataset={dataset}: {builder.data_dir}"
    kind = builder.info.file_format.file_suffix if builder.info.file_format else "none"
    if kind not in FORMATS:
        raise UserError(f"{where} is in the format {kind}; prepare it as {' or '.join(FORMATS)}")
    missing = {"train", test} - set(builder.info.splits)
    if missing:
        raise UserError(f"{where} has no split {', '.join(sorted(missing))}; prepare it completely")
    splits = [builder.info.splits[name] for name in ("train", test)]
    files = [path for split in splits for path in split.filepaths]
    count = [number for split in splits for number in split.shard_lengths]
    store = RecordStore(files, count, FORMATS[kind], where)
    label = builder.info.features["label"]
    names = tuple(label.names or map(str, range(label.num_classes)))
    size = splits[0].num_examples
    rows = np.arange(len(store))
    return (*(Split(part, store.labels[part]) for part in (rows[:size], rows[size:])), names, store)
