"""Flags: the images, and which of them."""

import dataclasses

from cmo_tf.config.flag import flag
from cmo_tf.datasets import BIG, DATA_FORMATS, DATASETS
from cmo_tf.datasets.bad_images import ACTIONS as BAD_IMAGES


@dataclasses.dataclass(frozen=True)
class DataFields:
    """The images, and which of them."""

    dataset: str = flag("digits", f"{', '.join(DATASETS)}, tfds:NAME, folder:DIR or csv:FILE")
    data_dir: str = flag(None, "TensorFlow Datasets directory (default ~/tensorflow_datasets), or of a set's lists and "
                         "pictures", kind=str)
    imbalance_ratio: float = flag(None, "largest over smallest class; default the set's own", kind=float, low=1)
    image_size: int = flag(None, "height and width of the network's input; default the set's own", kind=int, low=4)
    max_per_class: int = flag(None, "cap of the largest class (a prefix of the same shuffles)", kind=int, low=1)
    val_fraction: float = flag(0.0, "validation images in parts of the training split", low=0, high=0.5)
    profile: str = flag("exp", "shape of the long tail", choices=("exp", "step"))
    split_seed: int = flag(0, "seed of the long-tailed split (0: the published one)", low=0, high=2**32 - 1)
    download: bool = flag(True, "download small sets that are missing (big ones never by themselves), and Keras' own "
                          "weights for --init_weights=imagenet")
    data_format: str = flag("auto", f"what {' and '.join(BIG)} are read from: files with the published lists, records "
                            "of TensorFlow Datasets, or (auto) what is in --data_dir", choices=DATA_FORMATS)
    cache: str = flag("none", "what of a set read from files or records is kept in memory: encoded pictures (for slow "
                      "disks; they are decoded all the same), the pixels of evaluations, or both",
                      choices=("none", "encoded", "eval", "all"))
    csv_columns: str = flag(None, "headings of csv:FILE where they are not guessed: path=...,label=...,split=...",
                            kind=str)
    bad_images: str = flag("error", "what a picture of folder:DIR or csv:FILE that cannot be read does: ends the run, "
                           "or is left out and listed in skipped.txt of the run folder", choices=BAD_IMAGES)
    max_bad: float = flag(0.05, "with --bad_images=skip: the most that may be left out; below 1 a share of all", low=0)
