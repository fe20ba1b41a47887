"""Records of a prepared TFDS set by number: where each lies in its TFRecord or ArrayRecord file, and its label.

TFRecord files have no index, so one is made: their framing is walked and of each record only the label is looked at.
It is kept beside the records (`cmo_tf_index.npz`), where that folder can be written. No TensorFlow is needed.
"""

import mmap
import os
import threading

import numpy as np

from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError
from cmo_tf.datasets.decode import Progress

INDEX_FILE = "cmo_tf_index.npz"
HEADER, FOOTER = 12, 4  # of a TFRecord: length and its checksum before the data, a checksum behind it


class RecordStore:
    """Serialised tf.train.Example records of one or more splits, numbered through.

    Args:
        files: paths, in order. count: records in each.
        array_record: whether they are ArrayRecord files; otherwise TFRecord.
        where: names the set in errors.

    Attributes:
        first: number of the first record of each file.
        labels: int64 (N,).
        streams: whether the files can be read by tf.data in sequence.
    """

    def __init__(self, files, count, array_record, where):
        self.files, self.count = [str(file) for file in files], [int(n) for n in count]
        self.first = np.concatenate([[0], np.cumsum(self.count)[:-1]]).astype(np.int64).tolist()
        self.streams, self.where = not array_record, where
        self._open, self._lock, self._source = {}, threading.Lock(), None
        if array_record:
            from array_record.python.array_record_data_source import ArrayRecordDataSource
            self._source = ArrayRecordDataSource(self.files)
        self.labels, self._offset, self._length = self._index()

    def __len__(self) -> int:
        return sum(self.count)

    def read(self, rows) -> list[bytes]:
        """The records of some numbers, in any order."""
        if self._source is not None:
            return self._source.__getitems__([int(row) for row in rows])
        file = np.searchsorted(self.first, rows, side="right") - 1
        return [os.pread(self._descriptor(k), int(self._length[row]), int(self._offset[row]))
                for k, row in zip(file.tolist(), rows, strict=True)]

    def _descriptor(self, number):
        with self._lock:
            if number not in self._open:
                self._open[number] = os.open(self.files[number], os.O_RDONLY)
            return self._open[number]

    def _index(self):
        """(labels, offsets, lengths), from the index file if it is that of these files."""
        stamp = np.array([[os.path.getsize(file), self.count[k]] for k, file in enumerate(self.files)], np.int64)
        path = os.path.join(os.path.dirname(self.files[0]), INDEX_FILE)
        names = np.array([os.path.basename(file) for file in self.files])
        try:
            with np.load(path, allow_pickle=False) as kept:
                if np.array_equal(kept["stamp"], stamp) and np.array_equal(kept["names"], names):
                    found = [kept[key] for key in ("labels", "offset", "length")]
                    if all(array.shape == (len(self),) and array.dtype == np.int64 for array in found):
                        return found
        except DAMAGE:
            pass  # none there, or of other files, or damaged: it is made again
        found = self._scan()
        temporary = f"{path}.{os.getpid()}.npz"
        try:
            np.savez(temporary, stamp=stamp, names=names, labels=found[0], offset=found[1], length=found[2])
            os.replace(temporary, path)
        except OSError:
            pass  # a folder that is only read: made again next time
        return found

    def _scan(self):
        found, progress = np.zeros((3, len(self)), np.int64), Progress(f"{self.where}: index", len(self))
        for file, first, count in zip(self.files, self.first, self.count, strict=True):
            try:
                records = _walk(file) if self._source is None else self._walk_array(first, count)
                rows = list(records)
            except (IndexError, ValueError) as error:
                raise UserError(f"{self.where}: {file} is damaged ({error}); prepare the set again") from None
            if len(rows) != count:
                raise UserError(f"{self.where}: {file} has {len(rows)} records, {count} are recorded in "
                                "dataset_info.json; prepare the set again")
            if rows:
                found[:, first:first + count] = np.transpose(rows)
            progress(first + count)
        return found

    def _walk_array(self, first, count):
        for start in range(first, first + count, 256):
            for record in self._source.__getitems__(range(start, min(start + 256, first + count))):
                yield label_of(record, 0, len(record)), 0, len(record)


def _walk(path):
    """(label, offset, length) of every record of a TFRecord file."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = 0
            while at < size:
                length = int.from_bytes(data[at:at + 8], "little")
                start = at + HEADER
                if start + length + FOOTER > size:
                    raise ValueError(f"cut short at byte {at}")
                yield label_of(data, start, start + length), start, length
                at = start + length + FOOTER


def label_of(data, start, stop, name=b"label") -> int:
    """The integer feature `name` of the serialised tf.train.Example data[start:stop], without reading the others.

    Wire format: Example.features = 1, Features.feature = 1 (a map: key = 1, value = 2), Feature.int64_list = 3,
    Int64List.value = 1, packed or not.
    """
    at, end = _enter(data, start, 0x0A)
    while at < end:
        entry, entry_end = _enter(data, at, 0x0A)
        key, key_end = _enter(data, entry, 0x0A)
        if data[key:key_end] == name:
            value, _ = _enter(data, key_end, 0x12)
            numbers, _ = _enter(data, value, 0x1A)
            if data[numbers] == 0x0A:
                numbers, _ = _enter(data, numbers, 0x0A)
            elif data[numbers] == 0x08:
                numbers += 1
            number = _varint(data, numbers)[0]
            return number - 2**64 if number >= 2**63 else number
        at = entry_end
    raise ValueError(f"a record without {name.decode()}")


def _enter(data, at, tag):
    """Begin and end of the length-delimited field with this tag byte."""
    if data[at] != tag:
        raise ValueError(f"byte {at} is {data[at]:#x}, no field of a tf.train.Example")
    length, at = _varint(data, at + 1)
    return at, at + length


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
