"""Small TFDS directories of the true layout, made of crops of real photographs, for tests that need no network."""

import importlib.util
from pathlib import Path

import numpy as np

CLASSES = {"cifar10": 10, "cifar100": 100, "fashion_mnist": 10}
JITTER = 24
# Images a class, in training and in test, of the sets that tests share.
TINY = {"cifar10": (30, 5), "cifar100": (100, 2), "fashion_mnist": (20, 5)}


def load_tool(name: str):
    """A program of tools/ as a module."""
    path = Path(__file__).resolve().parents[2] / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photographs() -> np.ndarray:
    """scikit-learn's two bundled photographs, uint8 (2, 427, 640, 3)."""
    from sklearn.datasets import load_sample_images

    return np.stack(load_sample_images().images)


def crops(labels: np.ndarray, num_classes: int, side: int, seed: int) -> np.ndarray:
    """A crop of a photograph for each label, uint8 (N, side, side, 3): each class has its own place, jittered."""
    random = np.random.RandomState(seed)
    photos = photographs()
    windows = np.lib.stride_tricks.sliding_window_view(photos, (side, side), axis=(1, 2))  # photo, y, x, c, h, w
    height, width = (size - JITTER for size in windows.shape[1:3])
    place = np.arange(num_classes) * 0.618034 % 1, np.arange(num_classes) * 0.754878 % 1  # spread over the picture
    y = (place[0] * height).astype(int)[labels] + random.randint(0, JITTER, len(labels))
    x = (place[1] * width).astype(int)[labels] + random.randint(0, JITTER, len(labels))
    return np.moveaxis(windows[labels % len(photos), y, x], 1, -1)


def tiny_arrays(name: str, train_per_class: int, test_per_class: int) -> dict:
    """split -> (uint8 images, int64 labels) in original file order, classes mixed as in the true sets."""
    num_classes = CLASSES[name]
    arrays = {}
    for seed, (split, per_class) in enumerate((("train", train_per_class), ("test", test_per_class))):
        labels = np.random.RandomState(seed).permutation(np.repeat(np.arange(num_classes), per_class))
        if name == "fashion_mnist":
            images = crops(labels, num_classes, 28, seed).mean(axis=-1, keepdims=True).astype(np.uint8)
        else:
            images = crops(labels, num_classes, 32, seed)
        arrays[split] = images, labels
    return arrays


def make_tfds_set(data_dir, name: str, train_per_class: int = 100, test_per_class: int = 10) -> str:
    """Prepares a small `name` (cifar10, cifar100, fashion_mnist) in `data_dir`; returns the directory of the set.

    Version, features, ids and record shuffling are those of TFDS' own builder; pictures are `tiny_arrays`.
    """
    names = {} if name == "fashion_mnist" else {"label": [f"fine_{k:02d}" for k in range(CLASSES[name])]}
    if name == "cifar100":
        names["coarse_label"] = [f"coarse_{k:02d}" for k in range(20)]

    def records(split, images, labels):
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            record = {"image": image, "label": int(label)}
            if name != "fashion_mnist":
                record["id"] = f"{split}_{row:05d}"
            if name == "cifar100":
                record["coarse_label"] = int(label) // 5
            yield record

    arrays = tiny_arrays(name, train_per_class, test_per_class)
    rows = {split: records(split, *pair) for split, pair in arrays.items()}
    return load_tool("prepare_data").write_tfds(name, rows, str(data_dir), names)
