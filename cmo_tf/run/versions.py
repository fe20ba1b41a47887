"""Versions of what a run ran on."""

import importlib.metadata
import os
import platform

import cmo_tf

PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "keras-cv", "scikit-learn")


def versions() -> dict[str, str]:
    """Package -> version, with Python, the machine and ours."""
    found = {"cmo_tf": cmo_tf.__version__, "python": platform.python_version(),
             "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{_processor()}"}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's name behind a comma, where Linux tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next((", " + line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return ""
