"""The table of export formats: what each is called, where it is written, which packages it needs."""

import importlib.util
from collections.abc import Iterable

from cmo_tf.core.errors import UserError
from cmo_tf.core.registry import Registry

# Each entry is a function (served, folder, data) -> (name of the file or folder written, function images -> outputs).
FORMATS = Registry("export format", {
    "keras": "cmo_tf.serving.keras_file:write",
    "savedmodel": "cmo_tf.serving.savedmodel:write",
    "onnx": "cmo_tf.serving.onnx_file:write",
    "litert": "cmo_tf.serving.litert:write",
    "litert_int8": "cmo_tf.serving.litert:write_int8",
}, flag="format")

# Modules that the program does without.
EXTRAS = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "litert": ("ai_edge_litert",), "litert_int8": ("ai_edge_litert",)}


def check_installed(names: Iterable[str]) -> None:
    """A UserError that names the packages missing for a format."""
    for name in names:
        missing = [module for module in EXTRAS.get(name, ()) if importlib.util.find_spec(module) is None]
        if missing:
            packages = ", ".join(module.replace("_", "-") for module in missing)
            raise UserError(f"--format={name}: needs {packages}; pip install -r requirements-export.txt, or "
                            "pip install 'cmo-tf[export]'")
