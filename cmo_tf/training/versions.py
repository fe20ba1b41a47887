"""Versions of what a run ran on."""

import importlib.metadata
import platform

PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "keras-cv", "scikit-learn")


def versions() -> dict[str, str]:
    """Package -> version, with Python, the machine and ours."""
    found = {"cmo_tf": __import__("cmo_tf").__version__, "python": platform.python_version(),
             "machine": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
