"""Writes state dicts in PyTorch's oldest file format without PyTorch, right or wrong on purpose."""

import io
import pickle
import struct

import numpy as np

from cmo_tf.models.weights import torch_file


class Global:
    """A name that the pickle asks for, which need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("written, never called")


class Storage:
    """A storage: what a persistent id says of it."""

    def __init__(self, key, kind, size):
        self.key, self.kind, self.size = key, kind, size


class Tensor:
    """A strided view of a storage."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, Named())

    def __reduce__(self):
        return Global("torch._utils", "_rebuild_tensor_v2"), self.arguments


class Named:
    """An ordered dict with the attribute that PyTorch gives it."""

    def __init__(self, items=()):
        self.items = list(items)

    def __reduce__(self):
        return Global("collections", "OrderedDict"), (), {"_metadata": {}}, None, iter(self.items)


class Pickler(pickle._Pickler):
    """Protocol 2, with names and storages as PyTorch writes them."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file):
        super().__init__(file, protocol=2)

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return "storage", Global("torch", obj.kind), obj.key, "cpu", obj.size, None
        return None

    def save_name(self, obj):
        self.write(f"c{obj.module}\n{obj.name}\n".encode())
    dispatch[Global] = save_name


def dumps(obj) -> bytes:
    """A pickle of protocol 2."""
    file = io.BytesIO()
    Pickler(file).dump(obj)
    return file.getvalue()


def stream(tensors, magic=torch_file.MAGIC, system=torch_file.SYSTEM, state=None, keys=None, counts=None) -> bytes:
    """The file of name -> array; a transposed array keeps its memory, as converted networks do.

    `magic`, `system`, `state` (a Named of Tensors), `keys` and `counts` (of the stored lengths) replace what is right.
    """
    storages, items, payload = [], [], {}
    for number, (name, array) in enumerate(tensors.items()):
        base = array if array.base is None else array.base
        storages.append(Storage(str(number), "FloatStorage" if array.dtype == np.float32 else "LongStorage", base.size))
        items.append((name, Tensor(storages[-1], 0, array.shape, tuple(s // array.itemsize for s in array.strides))))
        payload[str(number)] = base.tobytes()
    names = sorted(payload)
    parts = [dumps(magic), dumps(torch_file.PROTOCOL), dumps(system), dumps(state or Named(items)),
             dumps(names if keys is None else keys)]
    for name in names:
        size = next(s.size for s in storages if s.key == name)
        parts += [struct.pack("<q", (counts or {}).get(name, size)), payload[name]]
    return b"".join(parts)
