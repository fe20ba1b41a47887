"""The picture of what CMO does: backgrounds, foregrounds and their mixtures, with the label shares."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from cmo_tf.evaluation.results import write_atomically
from cmo_tf.training import build
from cmo_tf.training.timeline import Timeline

COLUMNS, CELL = 8, 96


def write(run_dir, config, data, board) -> None:
    """panel.png in the run folder and on TensorBoard; of the first batch, mixed whatever the window says."""
    picture = grid(config, data)
    write_atomically(os.path.join(run_dir, "panel.png"), tf.io.encode_png(picture).numpy())
    board.panel(picture)


def grid(config, data) -> np.ndarray:
    """uint8 (height, width, 3): a row of background, foreground and mixed images for each of COLUMNS columns.

    Every column shows another plan, so that one picture gives the range of boxes that training sees.
    """
    shown = dataclasses.replace(config, batch_size=COLUMNS, drop_remainder=False, q_source="index", per_image=True,
                                probability=1.0, augment=None)
    timeline = Timeline(dataclasses.replace(shown, mix_skip_first=0, mix_skip_last=0), 1)
    batch = next(iter(build.stream(shown, data, timeline)))
    mixer = build.mixer(shown, data)
    mixed = mixer(batch, training=True)
    rows = [batch["image"], batch["image_q"], mixed["image"]] if mixer.partner else [batch["image"]]
    captions = [[data.class_names[i] for i in batch["label"].numpy()],
                [data.class_names[i] for i in batch["label_q"].numpy()],
                [f"{lam:.0%} / {1 - lam:.0%}" for lam in mixed["lam"].numpy()]]
    return np.concatenate([_row(images, names) for images, names in zip(rows, captions, strict=False)])


def _row(images, captions):
    cells = [np.concatenate([_cell(image), _caption(text)]) for image, text in zip(images, captions, strict=True)]
    return np.concatenate(cells, axis=1)


def _cell(image):
    picture = tf.image.resize(tf.cast(image, tf.float32), (CELL, CELL), method="nearest")
    picture = tf.image.grayscale_to_rgb(picture) if picture.shape[-1] == 1 else picture
    return np.pad(tf.cast(picture, tf.uint8).numpy(), ((4, 0), (4, 4), (0, 0)), constant_values=255)


def _caption(text):
    from PIL import Image, ImageDraw
    label = Image.new("RGB", (CELL + 8, 16), "white")
    text = text if len(text) <= 15 else text[:14] + "…"
    ImageDraw.Draw(label).text((CELL // 2 + 4, 1), text, fill=(60, 60, 60), anchor="ma")
    return np.asarray(label)
