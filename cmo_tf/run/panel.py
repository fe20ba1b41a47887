"""The picture of what CMO does: backgrounds, foregrounds and their mixtures, with the label shares."""

import dataclasses
import os

import numpy as np

from cmo_tf.classifier import build
from cmo_tf.monitoring import tiles
from cmo_tf.report.results import write_atomically
from cmo_tf.run.timeline import Timeline

COLUMNS = 8


def write(run_dir, config, data, board) -> None:
    """panel.png in the run folder and on TensorBoard; of the first batch, mixed whatever the window says."""
    picture = grid(config, data)
    write_atomically(os.path.join(run_dir, "panel.png"), tiles.png(picture))
    board.panel(picture)


def grid(config, data) -> np.ndarray:
    """uint8 (height, width, 3): a row of background, foreground and mixed images for each of COLUMNS columns.

    Every column shows another plan, so that one picture gives the range of boxes that training sees.
    """
    batch, mixer, mixed = mixture(config, data, COLUMNS)
    rows = [batch["image"], batch["image_q"], mixed["image"]] if mixer.partner else [batch["image"]]
    captions = [[data.class_names[i] for i in batch["label"].numpy()],
                [data.class_names[i] for i in batch["label_q"].numpy()],
                [f"{lam:.0%} / {1 - lam:.0%}" for lam in mixed["lam"].numpy()]]
    return np.concatenate([tiles.strip(images, names) for images, names in zip(rows, captions, strict=False)])


def mixture(config, data, rows: int):
    """(batch, mixer, mixed batch) of the first `rows` images of training, every one mixed and each by a plan of its
    own."""
    shown = dataclasses.replace(config, batch_size=rows, drop_remainder=False, q_source="index", per_image=True,
                                probability=1.0, augment=None, data_service=None, gradient_accumulation=1,
                                jit_compile=False, mix_skip_first=0, mix_skip_last=0)
    batch = next(iter(build.stream(shown, data, Timeline(shown, 1), shard=(0, 1), fill=False)))
    mixer = build.mixer(shown, data)
    return batch, mixer, mixer(batch, training=True)
