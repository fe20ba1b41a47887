"""Class names in label order, kept with a model: classes.json in the run folder and, the same file, in model.keras."""

import json
import os
import zipfile
from pathlib import Path

from cmo_tf.core import disk
from cmo_tf.core.damage import DAMAGE
from cmo_tf.core.errors import UserError
from cmo_tf.report.results import read_results, write_atomically

FILE = "classes.json"
TEMPORARY = ".model.tmp.keras"  # Keras wants that ending


def save_model(run_dir: str, network, class_names) -> None:
    """Writes model.keras and classes.json of a run, each whole or not at all."""
    path, temporary = os.path.join(run_dir, "model.keras"), os.path.join(run_dir, TEMPORARY)
    with disk.writing(path, sum(weight.numpy().nbytes for weight in network.weights)):
        try:
            network.save(temporary)
            attach(temporary, class_names)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    write_atomically(os.path.join(run_dir, FILE), as_json(class_names))


def as_json(class_names) -> str:
    """`{"class_names": [...]}`, in label order."""
    return json.dumps({"class_names": list(class_names)}, indent=1, ensure_ascii=False) + "\n"


def attach(path, class_names) -> None:
    """Puts classes.json into a .keras file, which is a zip archive, or behind a .tflite file, which readers of that
    format allow: `zipfile.ZipFile(path).read("classes.json")` gives it back."""
    with zipfile.ZipFile(path, "a") as archive:
        # A fixed date: the same model gives the same bytes.
        archive.writestr(zipfile.ZipInfo(FILE), as_json(class_names).encode("utf-8", "backslashreplace"))


def read(run_dir: str) -> tuple[str, ...]:
    """Class names of a finished run: of model.keras itself, or, where an earlier version has written it, results.json.

    Raises:
        UserError: neither has them.
    """
    path = Path(run_dir) / "model.keras"
    try:
        with zipfile.ZipFile(path) as archive:
            if FILE in archive.namelist():
                names = json.loads(archive.read(FILE))["class_names"]
                if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                    raise ValueError(f"{FILE} in it is no list of names")
                return tuple(names)
    except DAMAGE as error:
        raise UserError(f"{path}: cannot be read ({error}); run the same command again to write it anew") from None
    return tuple(row["name"] for row in read_results(run_dir)["per_class"])
