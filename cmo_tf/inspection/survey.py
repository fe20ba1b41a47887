"""Every picture looked at once: size, mode, hash of the content, perceptual hash, and what is wrong with it."""

import functools
import hashlib
import io
import os
import re
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import png_text
from cmo_tf.datasets.decode import DAMAGE, FORMATS, Progress, read_image

SIDE = 36
NAMES = {**dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"), ".png": "PNG", ".webp": "WEBP", ".gif": "GIF",
         **dict.fromkeys((".bmp", ".dib"), "BMP"), **dict.fromkeys((".tif", ".tiff"), "TIFF")}
LEAST_TURNS = 24  # of 224: below lie smooth gradients, skies above all, which all look alike
TINY = 8  # pixels of the shorter side below which a picture shows nothing


@dataclass(frozen=True)
class Picture:
    """What is known of one picture; `error` says why it cannot be read, `note` what is odd but harmless.

    `digest` is a hash of the content. `marks` are 128 bits, uint8 (16,): of a 9 x 9 grey copy whether each point is
    darker than its right and its lower neighbour; None where there is too little to see.
    """

    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    digest: bytes = b""
    marks: np.ndarray | None = None
    error: str = ""
    note: str = ""


def files(paths, what: str, bits: int | None = None) -> tuple[list[Picture], float]:
    """Pictures of files, in order, read in parallel, and the mean time that one takes a core, in seconds.

    Args:
        bits: what those of 16 bits a channel hold, see `decode.read_image`.
    """
    progress, began = Progress(what, len(paths)), time.monotonic()
    found = []
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for picture in pool.map(functools.partial(of_file, bits=bits), map(str, paths)):
            found.append(picture)
            progress(len(found))
    return found, (time.monotonic() - began) / max(len(paths), 1)


def arrays(images) -> list[Picture]:
    """Pictures of uint8 (N, H, W, C)."""
    height, width, channels = images.shape[1:]
    mode = {1: "L", 3: "RGB"}.get(channels, f"{channels} channels")
    return [Picture(width, height, mode, "array", _digest(image.tobytes()), marks(image)) for image in images]


def of_file(path: str, bits: int | None = None) -> Picture:
    """One file, opened once."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        return Picture(error=f"cannot be opened ({error.strerror})")
    digest = _digest(data)
    try:
        pixels = read_image(data, SIDE, name="picture", bits=bits)
    except UserError as error:
        inside = re.search(r"\((?:in record: )?(.*)\)$", str(error))
        return Picture(digest=digest, error=inside[1] if inside else str(error))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header, note = png_text.reading(data, lambda data: _header(data, path))
    except DAMAGE as error:
        return Picture(digest=digest, error=str(error))
    return Picture(**header, digest=digest, marks=marks(pixels), note=note)


def _header(data, path):
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return dict(width=image.width, height=image.height, mode=image.mode, format=image.format), _note(image, path)


def _note(image, path):
    notes = []
    said = NAMES.get(os.path.splitext(path)[1].lower())
    if said != image.format.replace("MPO", "JPEG"):
        notes.append(f"is {image.format}, though its name {f'says {said}' if said else 'does not say so'}")
    if getattr(image, "is_animated", False):
        notes.append("is animated; its first frame is taken")
    if min(image.size) < TINY:
        notes.append(f"is only {image.width} x {image.height} pixels")
    elif max(image.size) > 8 * min(image.size):
        notes.append(f"is a strip of {image.width} x {image.height}; its central square is taken")
    return "; ".join(notes)


def _digest(data):
    return hashlib.blake2b(data, digest_size=16).digest()


def marks(image) -> np.ndarray | None:
    """The perceptual hash of uint8 (H, W, C) (a difference hash in both directions); see `Picture`."""
    grey = Image.fromarray(image.mean(axis=-1).astype(np.uint8)).resize((9, 9), Image.Resampling.BOX)
    grey = np.asarray(grey).astype(int)
    if grey.std() < 4:
        return None
    right, down = grey[:8, :8] < grey[:8, 1:], grey[:8, :8] < grey[1:, :8]
    turns = sum(np.count_nonzero(np.diff(bits, axis=axis)) for bits in (right, down) for axis in (0, 1))
    if turns < LEAST_TURNS:
        return None
    return np.packbits(np.concatenate([right.ravel(), down.ravel()]))
