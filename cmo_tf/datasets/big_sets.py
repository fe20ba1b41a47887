"""ImageNet-LT and iNaturalist 2018, from a tree of pictures with the published lists, or from TensorFlow Datasets."""

import os

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.category_json import read_categories, read_json
from cmo_tf.datasets.lists import check_classes, check_first, read_list
from cmo_tf.datasets.source import Source, Split
from cmo_tf.datasets.synsets import synset_names
from cmo_tf.datasets.tfds_records import find_store

IMAGE_SIZE = 224
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Of the official code, RIDE, Decoupling, MiSLAS and PaCo.
INATURALIST = ((0.466, 0.471, 0.380), (0.195, 0.194, 0.192))
IMAGENET_LISTS = ("ImageNet_LT_train.txt", "ImageNet_LT_test.txt")
INATURALIST_LISTS = ("iNaturalist18_train.txt", "iNaturalist18_val.txt")
INATURALIST_JSON = ("train2018.json", "val2018.json")


def load_imagenet_lt(*, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2,
                     data_format="auto") -> Source:
    """ImageNet-LT: 115,846 training pictures of 1,000 classes of 1,280 to 5, tested on the 50,000 of ILSVRC's val.

    Files: `train/` and `val/` below `data_dir`, and in it, or in its folder ImageNet_LT, the lists
    ImageNet_LT_train.txt and ImageNet_LT_test.txt. Class names are the synset ids, whose sorted order the labels must
    have. ImageNet_LT_val.txt is not used, as in the official code. Records: the TFDS set `imagenet_lt`.

    The default augmentation is `crop_jitter`; constants are those of ImageNet.
    Source: Liu et al. (OLTR, CVPR 2019).
    """
    name = "imagenet_lt"
    if _use_files(name, data_dir, data_format, [IMAGENET_LISTS], ("", "ImageNet_LT")):
        train, test, num_classes = _from_lists(data_dir, _find(data_dir, IMAGENET_LISTS, ("", "ImageNet_LT")))
        names, store = synset_names(train.images, train.labels, num_classes, data_dir), None
    else:
        train, test, names, store = _from_records(name, "imagenet_lt", "test", data_dir, download, data_format,
                                                  IMAGENET_LISTS)
    return _source(name, train, test, names, image_size, IMAGENET, "crop_jitter", store)


def load_inaturalist2018(*, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2,
                         data_format="auto") -> Source:
    """iNaturalist 2018: 437,513 training pictures of 8,142 classes of 1,000 to 2, tested on the 24,426 of val.

    Files: `train_val2018/` below `data_dir`, and in it the lists iNaturalist18_train.txt and iNaturalist18_val.txt, or
    the competition's train2018.json and val2018.json. Class names are the category ids; with categories.json (or names
    in train2018.json) the names of the species. Records: the TFDS set `i_naturalist2018`.

    The default augmentation is `resized_crop_flip`, that of the official code; the paper has colour jitter here too
    (`--augment=crop_jitter`). Source: Van Horn et al. (CVPR 2018).
    """
    name = "inaturalist2018"
    if not _use_files(name, data_dir, data_format, [INATURALIST_LISTS, INATURALIST_JSON], ("",)):
        train, test, names, store = _from_records(name, "i_naturalist2018", "validation", data_dir, download,
                                                  data_format, INATURALIST_LISTS)
        return _source(name, train, test, names, image_size, INATURALIST, "resized_crop_flip", store)
    lists = _find(data_dir, INATURALIST_LISTS, ("",))
    if lists:
        train, test, num_classes = _from_lists(data_dir, lists)
        names = read_categories(data_dir, num_classes)
    else:
        train, test, names = read_json(data_dir, *INATURALIST_JSON)
    return _source(name, train, test, names, image_size, INATURALIST, "resized_crop_flip", None)


def _source(name, train, test, names, image_size, constants, augment, store) -> Source:
    side = image_size or IMAGE_SIZE
    return Source(name, train, test, tuple(names), (side, side, 3), *constants, augment, records=store, published=True)


def _use_files(name, data_dir, data_format, lists, folders) -> bool:
    """Whether pictures are read from files: as `data_format` says, else whether their lists are there."""
    found = data_dir is not None and any(_find(data_dir, pair, folders) for pair in lists)
    if data_format == "files" and not found:
        wanted = " or ".join(" and ".join(pair) for pair in lists)
        raise UserError(f"--data_dir={data_dir}: {wanted} not found; --dataset={name} from files needs them beside the "
                        "folders of pictures")
    return found and data_format != "records"


def _from_records(name, builder, test, data_dir, download, data_format, lists):
    """What `find_store` returns; where there is nothing at all, the line also says which lists would do."""
    try:
        return find_store(name, builder, test, data_dir, download)
    except UserError as error:
        if data_format == "records" or "it is not in" not in str(error):
            raise
        raise UserError(f"--dataset={name}: {data_dir or 'the default folder'} has neither the lists "
                        f"{' and '.join(lists)} nor the prepared TFDS set {builder}; give --data_dir=DIR that has one "
                        "of them") from None


def _find(data_dir, names, folders):
    """Paths of all `names` in the first of the folders that has them; None if none has."""
    for folder in folders:
        paths = [os.path.join(os.path.expanduser(str(data_dir)), folder, name) for name in names]
        if all(os.path.isfile(path) for path in paths):
            return paths
    return None


def _from_lists(data_dir, lists):
    """Training and test split, and the number of classes."""
    root, splits, num_classes = os.path.expanduser(str(data_dir)), [], None
    for path in lists:
        images, labels = read_list(path, root)
        check_first(images, path)
        num_classes = check_classes(labels, path, num_classes)
        splits.append(Split(images, labels))
    return *splits, num_classes
