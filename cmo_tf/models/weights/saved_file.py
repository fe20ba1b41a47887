"""`.keras` files of anybody: what they are, their bytes say, and what they are made of is looked at before Keras does.

Keras' safe mode refuses code that lies in a file. Here every class that a file names must also be one of Keras' own
that runs no code and opens no file, or one that `import cmo_tf` registers, and the archive must hold what a `.keras`
file holds and nothing else: Keras unpacks what it does not know.
"""

import contextlib
import json
import os
import tempfile
import zipfile

import keras

from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError

MEMBERS = {"metadata.json", "config.json", "model.weights.h5", "classes.json"}
CONFIG_LIMIT = 2**26
# Weights are stored as they are; what grows more than this while it is unpacked is there to fill the memory.
EXPANSION, FLOOR = 100, 2**20

# Where Keras' own classes may come from, as its files write it.
MODULES = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.activations",
           "keras.dtype_policies", "keras.quantizers", "keras.src.layers", "keras.src.models", "keras.src.ops",
           "keras.src.applications")
TOP = {"DTypePolicy", "FloatDTypePolicy", "QuantizedDTypePolicy", "Functional", "Model", "Sequential"}
# Layers of those modules that hold Python code, run another framework, or open a file that their settings name.
REFUSED = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "IndexLookup", "StringLookup",
           "IntegerLookup", "TextVectorization"}
# Values that Keras writes like objects.
PLAIN = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__")
FUNCTIONS = ("builtins", "keras.activations")

_STARTS = ((b"\x89HDF\r\n\x1a\n", "HDF5"), (b"\x80\x02", "a pickle"), (b"\x80\x03", "a pickle"),
           (b"\x80\x04", "a pickle"), (b"\x80\x05", "a pickle"), (b"\x1f\x8b", "a gzip archive"))


def load(path: str, where: str | None = None) -> keras.Model:
    """The model of a `.keras` file, not compiled.

    Args:
        path: of the file, whatever its name.
        where: leads the error; by default the path.

    Raises:
        UserError: it is no such file, holds something that is not loaded, or is damaged.
    """
    where = where or str(path)
    check(path, where)
    with _named(path) as name:
        try:
            return keras.models.load_model(name, compile=False, safe_mode=True)
        except Exception as error:  # of a damaged file: Keras has no common base
            reason = " ".join((str(error).strip() or type(error).__name__).split("\n", 1)[0].split())[:200]
            raise UserError(f"{where}: cannot be loaded ({reason}); it must come from this version of "
                            "cmo_tf") from None


def check(path: str, where: str | None = None) -> None:
    """A UserError unless a file is a `.keras` file that `load` loads. Reads no weights."""
    where = where or str(path)
    try:
        _check_kind(path)
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist())
            config = json.loads(archive.read("config.json"))
        if isinstance(config, dict):
            config = {key: value for key, value in config.items() if key != "compile_config"}  # is not loaded
        _check_classes(config)
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error})") from None
    except DAMAGE as error:
        raise UserError(f"{where}: is no .keras file that is loaded here ({str(error)[:200]})") from None


def _check_kind(path):
    if os.path.isdir(path):
        raise ValueError("it is a folder")
    with open(path, "rb") as file:
        start = file.read(16)
    if not start.startswith(b"PK\x03\x04"):
        kind = next((kind for begin, kind in _STARTS if start.startswith(begin)), None)
        raise ValueError(f"by its content it is {kind or 'no zip archive' if start else 'empty'}")


def _check_members(members):
    names = [member.filename for member in members]
    if any(name.endswith((".pkl", ".pickle")) for name in names):
        raise ValueError("it holds a pickle, as PyTorch's files do")
    odd = next((name for name in names if name not in MEMBERS or names.count(name) > 1), None)
    if odd is not None:
        raise ValueError(f"{odd!r} in it does not belong there")
    for member in members:
        if member.file_size > max(EXPANSION * member.compress_size, FLOOR) or \
                (member.filename != "model.weights.h5" and member.file_size > CONFIG_LIMIT):
            raise ValueError(f"{member.filename} in it unpacks to {member.file_size:,} bytes")
    missing = {"config.json", "model.weights.h5"} - set(names)
    if missing:
        raise ValueError(f"there is no {min(missing)} in it")


def _check_classes(config):
    if isinstance(config, list):
        for part in config:
            _check_classes(part)
    elif isinstance(config, dict):
        if "class_name" in config and config["class_name"] not in PLAIN and not _known(config):
            raise ValueError(f"it needs {config['class_name']!r} of {config.get('module')!r}, which is not loaded from "
                             "files")
        for part in config.values():
            _check_classes(part)


def _known(config):
    """Whether the class of an object in a config is Keras' own and harmless, or ours."""
    name, module, registered = (config.get(key) for key in ("class_name", "module", "registered_name"))
    if not isinstance(name, str) or not isinstance(module, str):
        return False  # written by Keras 2, whose reader knows no safe mode
    if isinstance(registered, str) and ">" in registered:
        return registered.startswith("cmo_tf>") and registered in keras.saving.get_custom_objects()
    if name == "function":
        return module in FUNCTIONS
    if name in REFUSED or name.startswith("__"):
        return False
    return name in TOP if module == "keras" else module in MODULES or \
        module.startswith(tuple(f"{known}." for known in MODULES))


@contextlib.contextmanager
def _named(path):
    """Keras goes by the name: one that ends in `.keras` for any file."""
    with tempfile.TemporaryDirectory() as folder:
        named = os.path.join(folder, "model.keras")
        os.symlink(os.path.abspath(path), named)
        yield named
