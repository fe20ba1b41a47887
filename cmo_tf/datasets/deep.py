"""Pictures of 16 bits a channel that hold fewer: cameras write 10, 12 or 14 bits, whose upper eight are nearly black.

A set has one scale, so that a brighter picture stays a brighter picture.
"""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

BITS = (8, 10, 12, 14, 16)
FULL = BITS[-1]
_PNG = b"\x89PNG\r\n\x1a\n"
_COLOURED = {2: "RGB", 4: "LA", 6: "RGBA"}  # colour types of PNG that Pillow brings down to 8 bits itself


@dataclass(frozen=True)
class Scale:
    """What the deep pictures of a set hold: `bits` (8 to 16) by their sBIT chunk or the `largest` value of all
    `number`."""

    bits: int
    largest: int
    number: int
    declared: bool

    def __str__(self):
        why = "by their sBIT chunk" if self.declared else f"their largest value is {self.largest}"
        return (f"pictures of 16 bits a channel: {self.number}; they hold {self.bits} bits ({why}), of which the upper "
                "8 are taken, by one scale for all")


def is_deep(image: Image.Image, head: bytes) -> bool:
    """Whether an opened picture with these first bytes has more than 8 bits a channel."""
    return image.mode.startswith(("I", "F")) or (head.startswith(_PNG) and head[24:25] == b"\x10")


def samples(image: Image.Image, data: bytes) -> np.ndarray:
    """All bits of a deep picture, int64 (H, W) or (H, W, channels).

    Raises:
        ValueError: it holds fractions, negative values or more than 16 bits.
    """
    if image.mode.startswith("F"):
        raise ValueError("it holds fractions (floating point); save it with 8 or 16 bits")
    if data.startswith(_PNG) and data[25] in _COLOURED:
        image.load()  # for Pillow's checks of what is cut short
        values = _coloured(data)
    else:
        values = np.asarray(image).astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() < 1 << FULL:
        raise ValueError(f"it holds values from {values.min()} to {values.max()}; 0 to 65535 are read")
    return values


def _coloured(data):
    import tensorflow as tf  # Pillow has no colours of 16 bits
    try:
        return tf.io.decode_png(data, dtype=tf.uint16).numpy().astype(np.int64)
    except tf.errors.OpError as error:
        raise ValueError(str(error.message)) from None


def to_eight(image: Image.Image, data: bytes, bits: int) -> Image.Image:
    """A deep picture with 8 bits a channel: of `bits` the upper 8, values beyond them white."""
    values = (samples(image, data) >> (bits - 8)).clip(0, 255).astype(np.uint8)
    eight = Image.fromarray(values[..., 0] if values.shape[2:] == (1,) else values)
    if "exif" in image.info:
        eight.info["exif"] = image.info["exif"]
    return eight


def scale_of(paths) -> Scale | None:
    """The Scale of the deep pictures among some files, None where there are none; what cannot be read is passed by.

    The bits are those of the sBIT chunk where there is one and values keep within it (a writer that follows PNG's
    specification stretches them to 16 bits); else the fewest of BITS that hold the largest value of all.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        deep = [path for path, so in zip(paths, pool.map(_looks_deep, paths), strict=True) if so]
        facts = [fact for fact in pool.map(_facts, deep) if fact]
    if not facts:
        return None
    largest, declared = (max(column) for column in zip(*facts, strict=True))
    if declared and largest < 1 << declared:
        return Scale(max(declared, 8), largest, len(facts), True)
    bits = FULL if declared else next(bits for bits in BITS if largest < 1 << bits)
    return Scale(bits, largest, len(facts), bool(declared))


def _looks_deep(path):
    try:
        with open(path, "rb") as file:
            head = file.read(32)
            if head.startswith(_PNG):
                return head[24] == 16
            if head[:2] not in (b"II", b"MM"):
                return False
        with Image.open(path, formats=("TIFF",)) as image:
            return is_deep(image, head)
    except (OSError, SyntaxError, ValueError, LookupError):
        return False


def _facts(path):
    """(largest value, bits by sBIT or 0), None for what cannot be read."""
    from cmo_tf.datasets.decode import DAMAGE
    try:
        with open(path, "rb") as file:
            data = file.read()
        with Image.open(io.BytesIO(data)) as image:
            values = samples(image, data)
    except DAMAGE:
        return None
    if values.shape[2:] in ((2,), (4,)):
        values = values[..., :-1]  # opacity fills its range whatever the colours hold
    return int(values.max(initial=0)), declared_bits(data)


def declared_bits(data: bytes) -> int:
    """The most significant bits that the sBIT chunk of a PNG gives a channel of colour; 0 without one."""
    at = len(_PNG)
    while data.startswith(_PNG) and at + 12 <= len(data):
        length, name = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        if name == b"sBIT":
            colours = 1 if data[25] in (0, 4) else 3
            return max(data[at + 8:at + 8 + min(length, colours)], default=0)
        if name == b"IDAT":
            break
        at += 12 + length
    return 0
