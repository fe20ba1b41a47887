"""State dicts in PyTorch's oldest file format, read without PyTorch and without running what a pickle may ask for.

The file is a stream: three pickles that say what it is, one with the tensors, one with the keys of their storages, then
each storage as an element count and raw numbers. The tensors' pickle may name four globals, for which stand-ins of ours
answer; everything else is refused.
"""

import io
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
REFUSED = (*DAMAGE, pickle.UnpicklingError)


@dataclass(frozen=True)
class Storage:
    """A run of numbers that a pickle refers to: key, dtype and how many there are."""

    key: str
    dtype: str
    size: int


@dataclass(frozen=True)
class View:
    """A tensor as a pickle describes it: a strided view of a storage, offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class StateDict(OrderedDict):
    """Stand-in for `collections.OrderedDict`; the attributes that PyTorch hangs on it are dropped."""

    def __setstate__(self, state):
        pass


def _view(storage, offset, shape, strides, requires_grad, hooks):
    """Stand-in for `torch._utils._rebuild_tensor_v2`."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides) or hooks or \
            any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a tensor in it is not described as PyTorch does")
    return View(storage, offset, tuple(shape), tuple(strides))


STAND_INS = {
    ("collections", "OrderedDict"): StateDict,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _Plain(pickle.Unpickler):
    """Reads numbers, texts, lists and dicts."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"it asks for {module}.{name}, which is not loaded from files")

    def persistent_load(self, key: Any) -> Any:
        raise ValueError("it refers to a storage outside the tensors")


class _Tensors(_Plain):
    """Reads the tensors' pickle too."""

    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        return STAND_INS[module, name] if (module, name) in STAND_INS else super().find_class(module, name)

    def persistent_load(self, key: Any) -> Storage:
        kind, dtype, number, device, size, view = key
        if (kind, device, view) != ("storage", "cpu", None) or dtype not in ("<f4", "<i8") or \
                type(size) is not int or size < 0 or type(number) is not str:
            raise ValueError("it refers to a storage of an unknown kind")
        if self.storages.setdefault(number, Storage(number, dtype, size)) != Storage(number, dtype, size):
            raise ValueError(f"it describes storage {number} in two ways")
        return self.storages[number]


def read(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Tensors of a state dict by name.

    Args:
        content: the whole file.
        where: what an error calls it.

    Returns:
        name -> float32 or int64 array of the tensor's shape, a copy of its own.

    Raises:
        UserError: it is no such file, is damaged, or asks for anything but tensors.
    """
    try:
        return _read(content)
    except REFUSED as error:
        raise UserError(f"{where}: is no PyTorch state dict that is read here "
                        f"({' '.join(str(error).split())[:200] or type(error).__name__})") from None


def _read(content):
    file = io.BytesIO(content)
    if _Plain(file).load() != MAGIC or _Plain(file).load() != PROTOCOL or _Plain(file).load() != SYSTEM:
        raise ValueError("it does not begin as PyTorch's files of before 1.6 do")
    tensors = _Tensors(file)
    views = tensors.load()
    keys = _Plain(file).load()
    if not isinstance(keys, list) or sorted(keys) != sorted(tensors.storages):
        raise ValueError("its list of storages is not that of its tensors")
    if type(views) is not StateDict or not all(
            type(name) is str and isinstance(view, View) for name, view in views.items()):
        raise ValueError("it holds something else than tensors with names")
    if len({view.storage.key for view in views.values()}) != len(views):
        raise ValueError("two tensors share a storage")
    numbers = _numbers(content, file.tell(), [tensors.storages[key] for key in keys])
    return {name: _array(view, numbers[view.storage.key]) for name, view in views.items()}


def _numbers(content, start, storages):
    """key -> its numbers; the content must end with the last storage."""
    needed = start + sum(8 + storage.size * np.dtype(storage.dtype).itemsize for storage in storages)
    if needed != len(content):
        raise ValueError(f"{needed:,} bytes are announced and {len(content):,} are there")
    arrays = {}
    for storage in storages:
        if struct.unpack_from("<q", content, start)[0] != storage.size:
            raise ValueError(f"storage {storage.key} has another length than announced")
        arrays[storage.key] = np.frombuffer(content, storage.dtype, storage.size, start + 8)
        start += 8 + arrays[storage.key].nbytes
    return arrays


def _array(view, numbers):
    """The tensor, in the order of its axes; storages of converted networks lie in another one."""
    last = view.offset + sum((side - 1) * stride for side, stride in zip(view.shape, view.strides, strict=True))
    if 0 not in view.shape and last >= len(numbers):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * numbers.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(numbers[view.offset:], view.shape, strides).copy()
