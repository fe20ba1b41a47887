"""CIFAR-10-LT and its test set as one lossless picture of 38 MB, for a machine that gets few files and fetches none."""

from pathlib import Path

import numpy as np
from PIL import Image

from cmo_tf import long_tail

COLUMNS, SIZE, NUM_CLASSES = 128, 32, 10


def pack(arrays, folder) -> None:
    """Writes folder/cifar.webp and folder/labels.npz from the .npz file of tools/export_arrays.py."""
    with np.load(arrays, allow_pickle=False) as file:
        available = long_tail.count_labels(file["y_train"].reshape(-1), NUM_CLASSES)
        labels = file["y_train"].reshape(-1)
        chosen = long_tail.select_indices(labels, long_tail.long_tailed_counts(available, imbalance_ratio=100), seed=0)
        images, tests = np.concatenate([file["x_train"][chosen], file["x_test"]]), file["y_test"].reshape(-1)
    rows = -(-len(images) // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, SIZE, SIZE, 3), np.uint8)
    sheet[:len(images)] = images
    sheet = sheet.reshape(rows, COLUMNS, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4)
    Path(folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.reshape(rows * SIZE, COLUMNS * SIZE, 3)).save(Path(folder, "cifar.webp"), lossless=True,
                                                                       quality=50, method=4)
    np.savez(Path(folder, "labels.npz"), train=labels[chosen], test=tests)


def load(folder):
    """((images, labels) for training, (images, labels) for the test), as they were packed."""
    Image.MAX_IMAGE_PIXELS = None
    with np.load(Path(folder, "labels.npz"), allow_pickle=False) as file:
        train, test = file["train"], file["test"]
    sheet = np.asarray(Image.open(Path(folder, "cifar.webp")).convert("RGB"))
    images = sheet.reshape(-1, SIZE, COLUMNS, SIZE, 3).transpose(0, 2, 1, 3, 4).reshape(-1, SIZE, SIZE, 3)
    images = np.ascontiguousarray(images)
    return (images[:len(train)], train), (images[len(train):len(train) + len(test)], test)
