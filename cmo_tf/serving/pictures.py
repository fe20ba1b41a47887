"""Picture files for a trained network: finding them, and reading them as the run read its own."""

import os
from dataclasses import dataclass

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import BIG, OWN
from cmo_tf.datasets.decode import read_image
from cmo_tf.datasets.kinds import NAMED, is_picture, visible
from cmo_tf.datasets.source import stored_size


def find(given: str) -> list[str]:
    """Paths of pictures: files as they are named, whatever their suffix, and the picture files of folders and of what
    lies in them, sorted; hidden files and folders are skipped.

    Args:
        given: paths with commas between; one that exists as it is may hold commas itself. `~` is a home folder.

    Raises:
        UserError: a path that does not exist, a folder without pictures.
    """
    found = []
    for name in [given] if os.path.exists(os.path.expanduser(given)) else given.split(","):
        path = os.path.expanduser(name.strip())
        if not os.path.exists(path):
            raise UserError(f"--input={name}: no such file or folder")
        below = _in_folder(path) if os.path.isdir(path) else [path]
        if not below:
            raise UserError(f"--input={name}: no picture in it ({NAMED})")
        found += below
    return found


def _in_folder(root):
    found, visited = [], set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        # A link to a folder above would go round for ever.
        below[:] = [] if real in visited else sorted(name for name in below if visible(name))
        if real not in visited:
            paths = (os.path.join(folder, name) for name in files if visible(name))
            found += [path for path in paths if is_picture(path)]
        visited.add(real)
    return sorted(found)


@dataclass(frozen=True)
class Reader:
    """Reads a picture file as evaluation on the run's data set saw its pictures: upright centre square, brought to
    `side`, then the central `shape`.

    Attributes:
        shape: (height, width, channels) that the network takes.
        side: of the square; 8/7 of the network's where the set's pictures have that margin.
        bits: what pictures of 16 bits a channel hold; None: 16.
        published: by the rule of published sets, which knows no orientation marks (see augment.encoded).

    `reader(path)` is uint8 of `shape`; a UserError names a file that cannot be read.
    """

    shape: tuple[int, int, int]
    side: int
    published: bool
    bits: int | None = None

    def __call__(self, path: str) -> np.ndarray:
        square = self._published(path) if self.published else \
            read_image(path, self.side, self.shape[2], bits=self.bits)
        first = (self.side - self.shape[0]) // 2
        return square[first:first + self.shape[0], first:first + self.shape[1]]

    def _published(self, path):
        import tensorflow as tf

        from cmo_tf.augment.encoded import squares
        try:
            with open(path, "rb") as file:
                return squares(tf.constant([file.read()]), self.side)[0].numpy()
        except (OSError, tf.errors.OpError) as error:
            reason = str(getattr(error, "strerror", None) or "it cannot be decoded")
            raise UserError(f"{path}: not a readable picture ({reason})") from None


def reader(dataset: str, shape: tuple[int, int, int], bits: int | None = None) -> Reader:
    """The Reader for a network that was trained on `--dataset`, whose 16-bit pictures held `bits`.

    Raises:
        UserError: its images are no squares.
    """
    height, width, _ = shape
    if height != width:
        raise UserError(f"--dataset={dataset}: its images are {height}x{width}; picture files are read as squares only")
    # As the data sets have it: small images are stored at their own size, pictures with a margin for random crops.
    margin = dataset.partition(":")[0] in OWN or dataset in BIG or (dataset.startswith("tfds:") and height > 64)
    return Reader(shape, stored_size(height) if margin else height, dataset in BIG, bits)
