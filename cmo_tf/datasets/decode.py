"""One rule that turns a picture file into a square of pixels, for loading into memory and for reading while training.

Pillow decodes: unlike TensorFlow's own ops it honours the EXIF orientation that phones write, and it treats
palettes, transparency and 16-bit pictures rightly. It releases the interpreter while it works, so threads help.
"""

import datetime
import io
import os
import struct
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageChops, ImageOps

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import deep, png_text
from cmo_tf.datasets.bad_images import BadImages, reason
from cmo_tf.datasets.kinds import FORMATS

# What Pillow raises on damaged files, EXIF blocks included; anything else is a bug of ours.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, MemoryError, struct.error,
          zlib.error, Image.DecompressionBombError)


def read_image(file, size: int, channels: int = 3, name: str | None = None, bits: int | None = None) -> np.ndarray:
    """Decodes one picture to uint8 (size, size, channels): upright, centre square, antialiased bilinear resize.

    This is "shorter side to `size`, then centre crop" in one step. Transparent parts become white, CMYK and
    palettes become RGB; of pictures with 16 bits a channel the upper 8 of `bits` are taken, of an animation the first
    frame.

    Args:
        file: path, or the encoded bytes of one of FORMATS.
        size: side in pixels.
        channels: 3 for RGB, 1 for grey.
        name: how an error calls it; by default the path.
        bits: what 16-bit pictures of the set hold (`deep.scale_of`); None: 16.

    Raises:
        UserError: names the file when it cannot be read or decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF, large pictures; twice as large is still an error
            data = file if isinstance(file, bytes) else _bytes_of(file)
            image = png_text.reading(data, lambda data: _upright(data, size, channels, bits or deep.FULL))
    except DAMAGE as error:
        raise UserError(f"{name or file}: not a readable picture ({_reason(error, file)})") from None
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.asarray(image, dtype=np.uint8).reshape(size, size, channels)


def _upright(data, size, channels, bits):
    """The whole picture in RGB or grey, turned as its EXIF mark says."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.draft(None, (2 * size, 2 * size))  # lets a JPEG of a large photograph decode at 1/2 to 1/8
        upright = ImageOps.exif_transpose(_with_eight_bits(image, data, bits))
        return _opaque(ImageChops.invert(upright) if _is_ink(image) else upright, "L" if channels == 1 else "RGB")


def _bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def _with_eight_bits(image, data, bits):
    """The picture, with 8 bits a channel where Pillow itself would not take the upper 8 of `bits`."""
    if not deep.is_deep(image, data[:32]) or (bits == deep.FULL and image.mode[0] not in "IF"):
        return image
    return deep.to_eight(image, data, bits)


def _reason(error, file):
    if isinstance(file, bytes):
        return f"in record: {reason(error, file)}"
    try:
        with open(file, "rb") as opened:
            return reason(error, opened.read(64))
    except OSError as unreadable:
        return unreadable.strerror or "cannot be opened"


def _is_ink(image: Image.Image) -> bool:
    """Whether this is a CMYK JPEG that holds amounts of ink. Pillow takes all of them for Adobe's, which hold the
    inverse and have its mark."""
    return image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """The picture in `mode` (L or RGB), transparent parts on white."""
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def decode_image_file(path, stored_size: int, bits: int | None = None):
    """The same rule inside a tf.data graph: scalar string tensor -> uint8 (stored_size, stored_size, 3) tensor.

    A file that cannot be read stops the iterator with a tf.errors.OpError whose message ends in the UserError.
    """
    import tensorflow as tf  # here, so that loading into memory does not need it

    def read(raw: bytes) -> np.ndarray:
        return read_image(os.fsdecode(raw), stored_size, bits=bits)

    # The pixels depend on the path alone: not stateful, so tf.data may run it in parallel and reorder freely.
    image = tf.numpy_function(read, [path], tf.uint8, stateful=False)
    return tf.ensure_shape(image, (stored_size, stored_size, 3))


def read_images(paths, stored_size: int, what: str, bad: BadImages | None = None, bits=None) -> np.ndarray:
    """Decodes many files in parallel threads to uint8 (N, stored_size, stored_size, 3), with progress when long.

    Args:
        paths: N paths.
        what: name of the set, for the progress line and errors.
        bad: takes what cannot be read, whose rows stay as they come; None: the first one is an error.
        bits: what 16-bit pictures hold, see `read_image`.
    """
    images = np.empty((len(paths), stored_size, stored_size, 3), dtype=np.uint8)
    for row, pixels in each_image(paths, stored_size, what, bad, bits):
        images[row] = pixels
    return images


def each_image(paths, stored_size: int, what: str, bad: BadImages | None = None, bits=None):
    """Yields (row, pixels) of the files in order, as `read_images` decodes them; rows that `bad` takes are left out."""
    def read(row: int) -> np.ndarray | UserError:
        try:
            return read_image(str(paths[row]), stored_size, name=f"{what}: {paths[row]}", bits=bits)
        except UserError as error:
            return error

    bad = bad or BadImages(what, len(paths))
    progress = Progress(what.removeprefix("--dataset="), len(paths))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            # In portions: what is decoded ahead of the reader stays small.
            for start in range(0, len(paths), 1024):
                rows = range(start, min(start + 1024, len(paths)))
                for row, pixels in zip(rows, pool.map(read, rows), strict=True):
                    if isinstance(pixels, UserError):
                        bad.add(row, pixels)
                    else:
                        yield row, pixels
                    progress(row + 1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # one bad picture must not wait for all the others
            raise


class Progress:
    """Calls with the number of pictures done; every few seconds a line on stderr says so, short loads stay silent."""

    def __init__(self, what: str, total: int, seconds: float = 5.0):
        self.what, self.total, self.seconds = what, total, seconds
        self._began = time.monotonic()
        self._next = self._began + seconds

    def __call__(self, done: int) -> None:
        if time.monotonic() < self._next or done >= self.total:
            return
        self._next = time.monotonic() + self.seconds
        left = datetime.timedelta(seconds=round((time.monotonic() - self._began) * (self.total - done) / max(done, 1)))
        print(f"{self.what}: read {done:,} of {self.total:,} pictures ({100 * done // self.total} %), about "
              f"{left} left", file=sys.stderr, flush=True)
