"""Frozen features (`--train=head`): what a run trains on in place of pictures, worked out once and kept on disk."""

import dataclasses
import functools
import hashlib
import json
import os

import keras
import numpy as np
import tensorflow as tf

from cmo_tf.classifier import build
from cmo_tf.datasets import Split
from cmo_tf.datasets.decode import Progress
from cmo_tf.pipeline import array_file
from cmo_tf.pipeline.view_batches import view_batches
from cmo_tf.run.data import RunData

BATCH = 64
VERSION = 1  # of what a digest stands for


@dataclasses.dataclass(frozen=True)
class FeatureData(RunData):
    """A RunData whose images are features, float32 (N, 1, V, D): V views of each training picture, one of others.

    Attributes:
        trunk: keras.Model, pictures as the network takes them -> features (B, D).
    """

    trunk: object = None

    @property
    def first_views(self) -> np.ndarray:
        """Features (N, D) of the training pictures as they are, not augmented."""
        return self.train.images[:, 0, 0]


def in_place_of(config, data: RunData) -> RunData:
    """The data that a stage trains on: `data` itself, or with `--train=head` its features."""
    if config.train != "head":
        return data
    trunk = build.trunk(config, data)
    network = keras.Sequential([keras.Input(data.image_shape), build.preprocess(config, data), trunk])
    splits = {}
    for name in ("train", "validation", "test"):
        split, views = getattr(data, name), config.feature_views if name == "train" else 1
        splits[name] = None if split is None else Split(_features(config, data, network, name, views), split.labels)
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    return FeatureData(**{**fields, **splits, "decode": None, "image_shape": (1, 1, trunk.output_shape[-1]),
                          "trunk": trunk})


def folder_of(config) -> str:
    """Where features are kept: `--features_dir`, or cmo_tf/features in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return os.path.expanduser(config.features_dir or os.path.join(cache, "cmo_tf", "features"))


def _features(config, data, network, name, views):
    """float32 (N, 1, V, D) of a split, mapped into memory."""
    split = getattr(data, name)
    shape = (len(split), 1, views, network.output_shape[-1])
    rows_from = functools.partial(_rows_from, config, data, network, name, views)
    return array_file.kept(folder_of(config), digest(config, data, network, split, views), shape, rows_from, BATCH)


def digest(config, data, network, split, views: int) -> str:
    """Names all that features depend on: network and its weights, its rule of pixels, size, pictures and views."""
    what = {"version": VERSION, "model": config.model, "upscale": config.upscale, "shape": data.image_shape,
            "pixels": network.layers[0].get_config(), "weights": _hash(network.get_weights()), "views": views,
            "pictures": _pictures(split.images, data.decode)}
    if views > 1:
        what |= {"augment": data.augment, "counts": data.counts.tolist(),
                 **{flag: getattr(config, flag) for flag in build.AUGMENT_FLAGS}}
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _hash(arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()


def _pictures(images, decode):
    """A digest of pictures: of pixels, of records by number, of files by name, length and time of change."""
    if decode is None or images.ndim == 4:
        return _hash([images])
    found = hashlib.sha256(f"{getattr(decode, 'side', '')}{getattr(decode, 'keywords', '')}".encode())
    if isinstance(images, tf.Tensor):
        found.update(b"".join(images.numpy()))
    elif images.dtype.kind in "US":
        for path in images:
            status = os.stat(path)
            found.update(f"{os.fsdecode(path)}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    else:
        found.update(f"{decode.store.where}{_hash([images])}".encode())
    return found.hexdigest()


def _rows_from(config, data, network, name, views, start):
    """Yields float32 (b, 1, V, D) from row `start` on, in batches of one size, the last one cut."""
    split = getattr(data, name)
    compute = tf.function(lambda images: network(images, training=False),
                          input_signature=[tf.TensorSpec((BATCH, *data.image_shape), tf.float32)])
    progress, done = Progress(f"features of {name} pictures", len(split)), start
    policy = build.augment(config, data, data.augment) if views > 1 else None
    for pictures in view_batches(split.images, split.labels, size=data.size, views=views, augment=policy,
                                 decode=data.decode, batch_size=BATCH, start=start):
        found = np.stack([compute(images).numpy() for images in pictures], axis=1)[:, None]
        rows = min(BATCH, len(split) - done)
        yield found[:rows]
        done += rows
        progress(done)
