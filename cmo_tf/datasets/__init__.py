"""The catalogue of image sets: a name, `tfds:NAME` or `folder:DIR` -> Source. Nothing heavy is imported by it."""

from cmo_tf.core.errors import UserError
from cmo_tf.core.registry import Registry
from cmo_tf.datasets.bad_images import MAX_BAD
from cmo_tf.datasets.source import Source, Split

__all__ = ["DATASETS", "PREFIXES", "Source", "Split", "check", "load"]

# Each entry is a function (data_dir, download, image_size, seed, test_fraction) -> Source, all by keyword.
DATASETS = Registry("data set", {
    "digits": "cmo_tf.datasets.digits:load",
    "cifar10": "cmo_tf.datasets.tfds_sets:load_cifar10",
    "cifar100": "cmo_tf.datasets.tfds_sets:load_cifar100",
    "fashion_mnist": "cmo_tf.datasets.tfds_sets:load_fashion_mnist",
    "imagenet_lt": "cmo_tf.datasets.big_sets:load_imagenet_lt",
    "inaturalist2018": "cmo_tf.datasets.big_sets:load_inaturalist2018",
}, flag="dataset")

# Kinds of sets that are people's own pictures, known by name.
OWN = ("folder", "csv")
# Sets that come as files or as records; their functions also take data_format.
BIG = ("imagenet_lt", "inaturalist2018")
DATA_FORMATS = ("auto", "files", "records")

# As DATASETS, with what follows the colon as first argument.
PREFIXES = Registry("kind of data set", {
    "tfds": "cmo_tf.datasets.tfds_sets:load_any",
    "folder": "cmo_tf.datasets.folder:load",
    "csv": "cmo_tf.datasets.table:load",
})


def check(name: str) -> str:
    """Returns `name` if it is an entry, `tfds:NAME` or `folder:DIR`; otherwise a UserError. Touches no disk."""
    prefix, colon, rest = str(name).partition(":")
    if colon and prefix in PREFIXES:
        if not rest:
            raise UserError(f"--dataset={name}: something must follow the colon (tfds:NAME, folder:DIR or csv:FILE)")
        return name
    try:
        return DATASETS.check(name)
    except UserError as error:
        raise UserError(f"{error} (tfds:NAME takes any TensorFlow Datasets builder, folder:DIR and csv:FILE "
                        "your own pictures)") from None


def load(name, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2,
         data_format="auto", bad_images="error", max_bad=MAX_BAD, kept=None, csv_columns=None) -> Source:
    """Reads a set: an entry of DATASETS, `tfds:NAME` (any image-classification builder), `folder:DIR`
    or `csv:FILE`.

    Args:
        name: as `--dataset` takes it.
        data_dir: TFDS directory; None for TFDS' own default, ~/tensorflow_datasets. For the sets of BIG also the folder
            of pictures and lists.
        download: whether a small set (under 1 GiB) that is missing may be downloaded; big ones never are.
        image_size: side that the network sees, for sets whose pictures are resized; None for the set's default.
        seed: of the held-out test images, for sets that come without a test split.
        test_fraction: share of each class held out then.
        data_format: of a set of BIG, "files" or "records"; "auto" takes files where their lists are in `data_dir`.
        bad_images, max_bad: of `folder:DIR` and `csv:FILE`, see `folder.load`.
        csv_columns: of `csv:FILE`, see `table.load`.
        kept: the KeptSplit of a run, whose pictures alone are read; of a set without names all are.

    Raises:
        UserError: no such set, or it is not there and cannot be fetched; the line names the way out.
    """
    check(name)
    if kept is not None and kept.named != (name.partition(":")[0] in OWN):
        raise UserError(f"--dataset={name}: the run was trained on a set of another kind; give it the old one")
    if image_size is not None and not 4 <= image_size <= 4096:
        raise UserError(f"--image_size={image_size}: must be 4 to 4096")
    options = dict(data_dir=data_dir, download=download, image_size=image_size, seed=seed, test_fraction=test_fraction)
    if name in BIG:
        options["data_format"] = data_format
    elif data_format != "auto":
        raise UserError(f"--data_format={data_format}: is for {' and '.join(BIG)}; leave it out")
    prefix, colon, rest = name.partition(":")
    if bad_images != "error" and prefix not in OWN:
        raise UserError(f"--bad_images={bad_images}: is for folder:DIR and csv:FILE; leave it out")
    if prefix in OWN:
        options |= dict(bad_images=bad_images, max_bad=max_bad, kept=kept)
    if prefix == "csv":
        options["columns"] = csv_columns
    elif csv_columns:
        raise UserError(f"--csv_columns={csv_columns}: is for csv:FILE; leave it out")
    if colon:
        return PREFIXES[prefix](rest, **options)
    return DATASETS[name](**options)
