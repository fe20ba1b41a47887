"""`--init_weights`: weights from a local file into all layers of a network but its classifier.

What a file is, its first bytes say: `.keras` (loaded in safe mode), Keras 3 `.weights.h5`, the older `.h5` of layers or
of a whole model, or `.npz` with a PyTorch state dict. Layers are found by name; layers that Keras numbered by itself
("conv2d_7") by their place among those of their kind. A classifier in the file is left out.
"""

import re
import zipfile
from dataclasses import dataclass

import keras
import numpy as np

from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError
from cmo_tf.models.torch_weights import load_torch_weights
from cmo_tf.models.weights import saved_file

# Classifiers of keras.applications and of our networks, and what belongs to them.
_TOP = re.compile(r"predictions|logits|fc\d*|linear|head|top_dense|conv_preds|.*_head_(layernorm|dense|gap)")


@dataclass(frozen=True)
class Entry:
    """The weights of one layer of a file."""

    name: str
    values: list[np.ndarray]


def load(network, path: str) -> list[str]:
    """Sets all layers of `network` but the last, its classifier, and returns the names in the file that were left out.

    Raises:
        UserError: names the file, and the layer that it lacks, has too many, or has in another shape. Nothing is set.
    """
    where = f"--init_weights={path}"
    targets = [layer for layer in _leaves(network) if layer is not network.layers[-1]]
    entries = _read(path, where, network)
    if entries is None:
        return []
    pairs, left = _pairs(targets, entries, where, network.name)
    for layer, entry in pairs:
        _check(layer, entry, where)
    for layer, entry in pairs:
        layer.set_weights(_mended(layer, entry.values))
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with copies of its weights
    return left


def _leaves(network):
    """The layers that hold weights, those of nested models in their place."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        elif layer.weights:
            yield layer


def _read(path, where, network):
    """The entries of a file, in its order; None for a state dict, which is loaded at once."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror})") from None
    try:
        if start == b"\x89HDF\r\n\x1a\n":
            return _from_h5(path)
        if start[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            if "config.json" in names:
                return [Entry(layer.name, layer.get_weights()) for layer in _leaves(saved_file.load(path, where))]
            if names and all(name.endswith(".npy") for name in names):
                return _from_torch(network, path, where)
    except DAMAGE as error:
        raise UserError(f"{where}: is damaged or of no use here ({' '.join(str(error).split())[:200]})") from None
    raise UserError(f"{where}: is none of .keras, .weights.h5, .h5 and .npz by its content")


def _from_torch(network, path, where):
    """Loads a state dict whose names are those of the network's layers; the classifier stays the new one."""
    with np.load(path, allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files}
    head = network.layers[-1]
    state = {name: value for name, value in state.items() if name.rpartition(".")[0] not in (head.name, "fc", "linear")}
    for parameter, value in (("weight", head.kernel), ("bias", getattr(head, "bias", None))):
        if value is not None:
            array = np.asarray(keras.ops.convert_to_numpy(value))
            turned = array.T if parameter == "weight" and isinstance(head, keras.layers.Dense) else array
            state[f"{head.name}.{parameter}"] = turned
    try:
        load_torch_weights(network, state)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return None


def _from_h5(path):
    import h5py

    from cmo_tf.models.weights import hdf5

    with h5py.File(path, "r") as file:
        hdf5.check(file)
        whole = file.get("model_weights", file)
        if "layer_names" in whole.attrs:
            return [entry for name in _texts(whole.attrs["layer_names"]) for entry in _old_layer(whole[name], name)]
        found = []
        file.visititems(lambda name, group: found.append(_new_layer(name, group, h5py)))
    entries = sorted((_natural(name), entry) for name, entry in filter(None, found) if entry.values)
    if not entries:
        raise ValueError("no weights of layers in it")
    return [entry for _, entry in entries]


def _old_layer(group, name):
    """One entry; of a nested model one for each of its layers, whose names lead the names of the weights."""
    parts: dict[str, list] = {}
    for weight in _texts(group.attrs["weight_names"]):
        owner = weight.rpartition("/")[0].split("/")[-1] or name
        parts.setdefault(owner, []).append(np.asarray(group[weight]))
    return [Entry(name if len(parts) == 1 else part, values) for part, values in parts.items()]


def _new_layer(path, group, h5py):
    if not isinstance(group, h5py.Group) or path.split("/")[-1] != "vars" or not path.startswith(("layers/", "_layer")):
        return None
    values = [np.asarray(group[str(k)]) for k in range(len(group))]
    name = group.attrs.get("name") or path.split("/")[-2]
    return path, Entry(str(name), [] if "seed_generator" in path else values)


def _texts(values):
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _natural(path):
    """Sorts conv2d, conv2d_1, conv2d_2, conv2d_10."""
    return [(re.sub(r"_\d+$", "", part), int((re.search(r"_(\d+)$", part) or [0, 0])[1])) for part in path.split("/")]


def _pairs(targets, entries, where, network):
    """(layer, entry) of all targets, and the names that are left out."""
    pools: dict[str, list[Entry]] = {}
    for entry in entries:
        pools.setdefault(_base(entry.name), []).append(entry)
    pairs, used = [], set()
    for layer in targets:
        own = _kind(layer)
        # A name that Keras gave says how many layers were made before, not which layer it is.
        numbered = _base(layer.name) == own
        fits = [e for e in pools.get(own if numbered else _base(layer.name), [])
                if id(e) not in used and (numbered or e.name == layer.name)]
        if not fits:
            raise UserError(f"{where}: has no weights for layer {layer.name!r} of {network}; is it of another network?")
        used.add(id(fits[0]))
        pairs.append((layer, fits[0]))
    left = [entry.name for entry in entries if id(entry) not in used]
    odd = [name for name in left if not _TOP.fullmatch(name) and _base(name) not in ("dense", "normed_linear")]
    # MobileNetV3 widens its features in a convolution that belongs to the classifier.
    odd = [name for name in odd if not (name == "conv_2" and "mobilenetv3" in network)]
    if odd:
        raise UserError(f"{where}: {network} has no layer {odd[0]!r}; is it of another network?")
    return pairs, left


def _base(name):
    return re.sub(r"_\d+$", "", name)


def _kind(layer):
    """The name that Keras gives the first layer of a class."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", type(layer).__name__))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _check(layer, entry, where):
    shapes = [tuple(value.shape) for value in entry.values]
    wanted = [tuple(weight.shape) for weight in layer.weights]
    if shapes != wanted:
        raise UserError(f"{where}: layer {layer.name!r} needs weights of shapes {wanted}, the file has {shapes}")


def _mended(layer, values):
    """Weights as the network needs them. Keras' EfficientNet files hold deviations where the layer wants variances, for
    which `weights="imagenet"` adds a layer that a network made without it does not have."""
    if isinstance(layer, keras.layers.Normalization) and np.allclose(values[1], (0.229, 0.224, 0.225), atol=1e-6):
        return [values[0], np.square(values[1]), *values[2:]]
    return values
