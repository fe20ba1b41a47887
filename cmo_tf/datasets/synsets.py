"""ImageNet's class names: the synset ids in the paths, whose sorted order is that of the labels."""

import os
import re

import numpy as np

from cmo_tf.core.errors import UserError

SYNSET = re.compile(rb"n\d{8}")


def synset_names(paths: np.ndarray, labels: np.ndarray, num_classes: int, where: str) -> tuple[str, ...]:
    """The synset id of each label, from training paths such as `train/n01440764/n01440764_190.JPEG`.

    Raises:
        UserError: a path without one, two ids for a label, or ids that are not in sorted order: labels made from
            another list of classes.
    """
    folders = [os.path.basename(os.path.dirname(path)) for path in paths.tolist()]
    names: list[bytes | None] = [None] * num_classes
    for row, (folder, label) in enumerate(zip(folders, labels.tolist(), strict=True)):
        if names[label] is None:
            if not SYNSET.fullmatch(folder):
                raise UserError(f"--data_dir={where}: {os.fsdecode(paths[row])} does not lie in a folder named by a "
                                "synset, such as n01440764")
            names[label] = folder
        elif names[label] != folder:
            raise UserError(f"--data_dir={where}: row {row + 1} of the training list gives label {label} to "
                            f"{_text(folder)}, other rows to {_text(names[label])}")
    for label, (one, following) in enumerate(zip(names, names[1:], strict=False)):
        if one >= following:
            raise UserError(f"--data_dir={where}: labels {label} and {label + 1} are {_text(one)} and "
                            f"{_text(following)}; labels must follow the sorted synset ids")
    return tuple(map(_text, names))


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
