"""Pictures of images in rows with captions, uint8 (height, width, 3)."""

import numpy as np
import tensorflow as tf

CELL, GAP, LINE = 96, 4, 16
INK = (60, 60, 60)


def strip(images, captions, cell: int = CELL) -> np.ndarray:
    """One row: images (H,W,1 or 3; 0..255, any dtype) of `cell` pixels with a caption below each; line breaks in
    captions count."""
    lines = max((text.count("\n") + 1 for text in captions), default=1)
    columns = [np.concatenate([_cell(image, cell), _caption(text, cell, lines)])
               for image, text in zip(images, captions, strict=True)]
    return np.concatenate(columns, axis=1)


def sheet(title: str, images, captions, columns: int, cell: int = CELL) -> np.ndarray:
    """Rows of `columns` images below a title."""
    starts = range(0, len(images), columns)
    rows = [strip(images[at:at + columns], captions[at:at + columns], cell) for at in starts]
    width = columns * (cell + 2 * GAP)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate([_text(title, width, 30, 14, left=True), *rows])


def cell_of(image_shape) -> int:
    """Pixels that an image of a shape is shown at: its own up to a limit, and never too few to be seen."""
    return max(CELL, min(160, image_shape[0]))


def png(picture) -> bytes:
    """The PNG file of a picture."""
    return tf.io.encode_png(picture).numpy()


def _cell(image, cell):
    # Whole pixels of small images stay sharp; large ones are averaged, or thin lines would break.
    method = "nearest" if image.shape[0] <= cell else "area"
    picture = tf.image.resize(tf.cast(image, tf.float32), (cell, cell), method=method)
    picture = tf.image.grayscale_to_rgb(picture) if picture.shape[-1] == 1 else picture
    picture = tf.cast(tf.clip_by_value(tf.round(picture), 0, 255), tf.uint8).numpy()
    return np.pad(picture, ((GAP, 0), (GAP, GAP), (0, 0)), constant_values=255)


def _caption(text, cell, lines):
    parts = [*text.split("\n"), *[""] * lines][:lines]
    return np.concatenate([_text(part, cell + 2 * GAP, LINE, 12) for part in parts])


def _text(text, width, height, size, left=False):
    from PIL import Image, ImageDraw, ImageFont
    label, font = Image.new("RGB", (width, height), "white"), ImageFont.load_default(size)
    draw = ImageDraw.Draw(label)
    while draw.textlength(text, font) > width - 2 * GAP and len(text) > 1:
        text = text.rstrip("…")[:-1] + "…"
    place = (GAP, height // 2) if left else (width // 2, height // 2)
    draw.text(place, text, fill=INK, font=font, anchor="lm" if left else "mm")
    return np.asarray(label)
