"""The catalogue of image sets: a name, `tfds:NAME` or `folder:DIR` -> Source. Nothing heavy is imported by it."""

from cmo_tf.datasets.source import Source, Split
from cmo_tf.errors import UserError
from cmo_tf.registry import Registry

__all__ = ["DATASETS", "PREFIXES", "Source", "Split", "check", "load"]

# Each entry is a function (data_dir, download, image_size, seed, test_fraction) -> Source, all by keyword.
DATASETS = Registry("data set", {
    "digits": "cmo_tf.datasets.digits:load",
    "cifar10": "cmo_tf.datasets.tfds_sets:load_cifar10",
    "cifar100": "cmo_tf.datasets.tfds_sets:load_cifar100",
    "fashion_mnist": "cmo_tf.datasets.tfds_sets:load_fashion_mnist",
}, flag="dataset")

# The same, with what follows the colon as first argument.
PREFIXES = Registry("kind of data set", {
    "tfds": "cmo_tf.datasets.tfds_sets:load_any",
    "folder": "cmo_tf.datasets.folder:load",
})


def check(name: str) -> str:
    """Returns `name` if it is an entry, `tfds:NAME` or `folder:DIR`; otherwise a UserError. Touches no disk."""
    prefix, colon, rest = str(name).partition(":")
    if colon and prefix in PREFIXES:
        if not rest:
            raise UserError(f"--dataset={name}: something must follow the colon (tfds:NAME or folder:DIR)")
        return name
    try:
        return DATASETS.check(name)
    except UserError as error:
        raise UserError(f"{error} (tfds:NAME takes any TensorFlow Datasets builder, folder:DIR your own "
                        "pictures)") from None


def load(name, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2) -> Source:
    """Reads a set: an entry of DATASETS, `tfds:NAME` (any image-classification builder) or `folder:DIR`.

    Args:
        name: as `--dataset` takes it.
        data_dir: TFDS directory; None for TFDS' own default, ~/tensorflow_datasets.
        download: whether a small set (under 1 GiB) that is missing may be downloaded; big ones never are.
        image_size: side that the network sees, for sets whose pictures are resized; None for the set's default.
        seed: of the held-out test images, for sets that come without a test split.
        test_fraction: share of each class held out then.

    Raises:
        UserError: no such set, or it is not there and cannot be fetched; the line names the way out.
    """
    check(name)
    if image_size is not None and not 4 <= image_size <= 4096:
        raise UserError(f"--image_size={image_size}: must be 4 to 4096")
    options = dict(data_dir=data_dir, download=download, image_size=image_size, seed=seed, test_fraction=test_fraction)
    prefix, colon, rest = name.partition(":")
    if colon:
        return PREFIXES[prefix](rest, **options)
    return DATASETS[name](**options)
