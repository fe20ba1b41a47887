"""Flags: what to do, and on which images."""

import dataclasses

from cmo_tf.datasets import BIG, DATA_FORMATS, DATASETS
from cmo_tf.datasets.bad_images import ACTIONS as BAD_IMAGES
from cmo_tf.fields.flag import flag

MODES = ("train", "eval", "inspect", "predict", "export", "preview")


@dataclasses.dataclass(frozen=True)
class DataFields:
    """What to do, and on which images."""

    mode: str = flag("train", "what to do", choices=MODES, replay=False)
    run_dir: str = flag(None, "run folder; default runs/<flagfile>-s<seed>", kind=str, replay=False)
    input: str = flag(None, "predict: pictures and folders of them, with commas", kind=str, replay=False)
    output: str = flag(None, "predict: CSV file, default standard output; export: folder, default export in the run's",
                       kind=str, replay=False)
    top: int = flag(5, "predict: classes named for each picture", low=1, replay=False)
    format: str = flag(None, "export: keras, savedmodel, onnx, litert or litert_int8, with commas", kind=str,
                       replay=False)
    dataset: str = flag("digits", f"{', '.join(DATASETS)}, tfds:NAME or folder:DIR")
    data_dir: str = flag(None, "TensorFlow Datasets directory (default ~/tensorflow_datasets), or of a set's lists and "
                         "pictures", kind=str)
    data_format: str = flag("auto", f"what {' and '.join(BIG)} are read from: files with the published lists, records "
                            "of TensorFlow Datasets, or (auto) what is in --data_dir", choices=DATA_FORMATS)
    cache: str = flag("none", "what of a set read from files or records is kept in memory: encoded pictures (for slow "
                      "disks; they are decoded all the same), the pixels of evaluations, or both",
                      choices=("none", "encoded", "eval", "all"))
    data_service: str = flag(None, "host:port of processes that make the training batches, with commas; "
                             "tools/data_service.py starts them", kind=str, replay=False)
    download: bool = flag(True, "download small sets that are missing (big ones never by themselves)")
    image_size: int = flag(None, "height and width of the network's input; default the set's own", kind=int, low=4)
    imbalance_ratio: float = flag(None, "largest over smallest class; default the set's own", kind=float, low=1)
    profile: str = flag("exp", "shape of the long tail", choices=("exp", "step"))
    max_per_class: int = flag(None, "cap of the largest class (a prefix of the same shuffles)", kind=int, low=1)
    val_fraction: float = flag(0.0, "validation images in parts of the training split", low=0, high=0.5)
    bad_images: str = flag("error", "what a picture of folder:DIR that cannot be read does: ends the run, or is left "
                           "out and listed in skipped.txt of the run folder", choices=BAD_IMAGES)
    max_bad: float = flag(0.05, "with --bad_images=skip: the most that may be left out; below 1 a share of all", low=0)
    split_seed: int = flag(0, "seed of the long-tailed split (0: the published one)", low=0, high=2**32 - 1)
    many_above: int = flag(100, "many-shot classes have more training images than this", low=0)
    few_below: int = flag(20, "few-shot classes have fewer training images than this", low=0)
