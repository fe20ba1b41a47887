"""`--mode=export`: a trained run in other formats, each checked on real images, with a model card."""

import hashlib
import json
import os

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import deep
from cmo_tf.report.results import plain
from cmo_tf.run import classes, folder, split_file, versions
from cmo_tf.serving import card, check, model, pictures
from cmo_tf.serving.flags import formats
from cmo_tf.serving.formats import FORMATS
from cmo_tf.serving.interrupt import ending
from cmo_tf.serving.whole_folder import whole_folder

ABOUT = "export.json"


def run(config, files, arguments) -> int:
    """Writes the formats that `--format` lists into `--output`, by default RUN/export; returns the exit code.

    Raises:
        UserError: no finished run, a package missing, an output folder that holds something else, a converter that
            fails, an exported model that differs.
    """
    names = formats(config.format)
    target = os.path.abspath(os.path.expanduser(config.output or os.path.join(config.run_dir, "export")))
    _check_free(target, names)
    own = folder.read_config(config.run_dir, arguments)
    served = model.load(config.run_dir, own).in_float32()
    data = split_file.load(config.run_dir, own)
    with ending(), whole_folder(target) as place:
        write(served, data, names, place)
    print(f"written to {target}")
    return 0


def write(served, data, names, place: str) -> None:
    """Writes formats with their descriptions into a folder and prints a line for each."""
    images, labels = check.images_of(data)
    expected = {key: np.asarray(value) for key, value in served.classifier()(images, training=False).items()}
    _write_text(place, classes.FILE, classes.as_json(served.class_names))
    written = {}
    for name in names:
        file, outputs = FORMATS[name](served, place, data)
        checked = check.compare(name, expected, outputs(images), labels)
        size = _size(os.path.join(place, file))
        written[name] = {"file": file, "bytes": size, "check": checked}
        print(check.line(name, checked, size), flush=True)
    about = _about(served, written)
    _write_text(place, ABOUT, json.dumps(plain(about), indent=1, ensure_ascii=False) + "\n")
    _write_text(place, card.FILE, card.text(served, about))


def _about(served, written):
    """The content of export.json."""
    read = pictures.reader(served.config.dataset, served.image_shape, split_file.bits(served.run_dir))
    with open(os.path.join(served.run_dir, "model.keras"), "rb") as file:
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
    return {"run": os.path.basename(os.path.abspath(served.run_dir)), "model_keras_sha256": fingerprint,
            "input": {"name": "image", "dtype": "float32", "shape": [None, *served.image_shape], "range": [0, 255]},
            "reading": {"centre_square_resized_to": read.side, "centre_crop": served.image_shape[0],
                        "bits_of_16_bit_pictures": read.bits or deep.FULL},
            "outputs": {"logits": "as the network gives them",
                        "probabilities": "softmax(logit_scale * logits + logit_offset)"},
            "logit_scale": served.scale, "logit_offset": served.offset, "test_prior": served.config.test_prior,
            "class_names": served.class_names, "formats": written, "versions": versions.versions()}


def _check_free(target, names):
    """Only an earlier export is overwritten, and only one that is made again whole."""
    if os.path.isdir(target) and os.listdir(target):
        try:
            with open(os.path.join(target, ABOUT), encoding="utf-8") as file:
                lost = sorted(set(json.load(file)["formats"]) - set(names))
        except (OSError, ValueError, KeyError):
            raise UserError(f"--output={target}: holds something else than an export; name another folder") from None
        if lost:
            raise UserError(f"--output={target}: holds an export to {', '.join(lost)} too; name those with the others, "
                            f"--format={','.join([*names, *lost])}, or another folder")
    elif os.path.lexists(target) and not os.path.isdir(target):
        raise UserError(f"--output={target}: is a file; name a folder")


def _write_text(place, name, text):
    with open(os.path.join(place, name), "wb") as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def _size(path):
    files = [os.path.join(at, name) for at, _, names in os.walk(path) for name in names] or [path]
    return sum(os.path.getsize(file) for file in files)
