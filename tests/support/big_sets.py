"""Small ImageNet-LT and iNaturalist 2018 of the true layouts, made of crops of real photographs: trees with lists or
annotations, and TFDS sets in both record formats. Sizes are mixed; grey, CMYK and PNG files with a .jpg name are among
them."""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

IMAGENET, INATURALIST = "imagenet_lt", "inaturalist2018"


def photographs():
    """Bundled photographs of scikit-image and scikit-learn, uint8 RGB."""
    from skimage import data
    from sklearn.datasets import load_sample_images
    return [*load_sample_images().images, data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]


def long_tail(classes, largest):
    """Images a class, falling from `largest` to 2 or so."""
    return [max(2, int(largest * 0.02 ** (k / max(classes - 1, 1)))) for k in range(classes)]


def pictures(counts, seed, side=(40, 90), odd=8):
    """(label, encoded picture) for each image, classes mixed: JPEGs of mixed sizes and shapes, each class from a place
    of its own. One in `odd` each is grey, CMYK or a PNG."""
    random = np.random.RandomState(seed)
    photos = photographs()
    for number, label in enumerate(random.permutation(np.repeat(np.arange(len(counts)), counts))):
        photo = photos[label % len(photos)]
        height, width = random.randint(*side), random.randint(*side)
        room = np.array(photo.shape[:2]) - (height, width)
        place = (np.array([label * 0.618034 % 1, label * 0.754878 % 1]) * 0.8 + random.random_sample(2) * 0.2) * room
        top, left = place.astype(int)
        image = Image.fromarray(photo[top:top + height, left:left + width])
        kind = {0: "L", 1: "CMYK", 2: "PNG"}.get(number % odd, "RGB")
        yield int(label), encode(image, kind)


def encode(image, kind="RGB", quality=90):
    """Bytes of a JPEG of the mode `kind`, or of a PNG."""
    file = io.BytesIO()
    if kind == "PNG":
        image.save(file, "PNG")
    else:
        image.convert(kind).save(file, "JPEG", quality=quality)
    return file.getvalue()


def synset(label):
    return f"n{1440764 + 1000 * label:08d}"


def make_imagenet_tree(root, counts, test_per_class=1, **options):
    """train/<synset>/*.JPEG, val/*.JPEG and the lists of ImageNet-LT; returns the root."""
    root = Path(root)
    lists = {"train": [], "test": []}
    for number, (label, data) in enumerate(pictures(counts, 0, **options)):
        _write(root, f"train/{synset(label)}/{synset(label)}_{number}.JPEG", data, label, lists["train"])
    for number, (label, data) in enumerate(pictures([test_per_class] * len(counts), 1, **options)):
        _write(root, f"val/ILSVRC2012_val_{number + 1:08d}.JPEG", data, label, lists["test"])
    for split, lines in lists.items():
        (root / f"ImageNet_LT_{split}.txt").write_text("\n".join(lines) + "\n")
    (root / "ImageNet_LT_val.txt").write_text("\n".join(lists["train"][:len(counts)]) + "\n")
    return root


def make_inaturalist_tree(root, counts, test_per_class=1, lists=True, **options):
    """train_val2018/<kingdom>/<category>/*.jpg, the annotation files, and with `lists` the text lists."""
    root = Path(root)
    for split, seed, split_counts in (("train", 2, counts), ("val", 3, [test_per_class] * len(counts))):
        lines, images, annotations = [], [], []
        for number, (label, data) in enumerate(pictures(split_counts, seed, **options)):
            name = f"train_val2018/{('Aves', 'Plantae')[label % 2]}/{label}/{seed:02d}{number:030x}.jpg"
            _write(root, name, data, label, lines)
            images.append({"id": 1000 + number, "file_name": name})
            annotations.append({"id": number, "image_id": 1000 + number, "category_id": label})
        categories = [{"id": label, "name": f"Species {label}"} for label in range(len(counts))]
        text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
        (root / f"{split}2018.json").write_text(text)
        if lists:
            (root / f"iNaturalist18_{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def _write(root, name, data, label, lines):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    lines.append(f"{name} {label}")


def make_records(data_dir, dataset, tree, file_format="tfrecord"):
    """Prepares the TFDS set of a tree in `data_dir`, with the features of TFDS' own builder; returns its folder."""
    import tensorflow_datasets as tfds

    from cmo_tf import datasets
    data_dir = Path(data_dir)
    source = datasets.load(dataset, data_dir=str(tree), data_format="files")
    name, test = {IMAGENET: ("imagenet_lt", "test"), INATURALIST: ("i_naturalist2018", "validation")}[dataset]
    key = "file_name" if dataset == IMAGENET else "id"

    def examples(split):
        for number, (path, label) in enumerate(zip(split.images.tolist(), split.labels.tolist(), strict=True)):
            yield f"{number:08d}", {"image": Path(path.decode()).read_bytes(), "label": label, key: path.decode()}

    class Small(tfds.builder_cls(name), skip_registration=True):
        def _info(self):
            return tfds.core.DatasetInfo(builder=self, description=name, features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=source.class_names),
                key: tfds.features.Text()}))

        def _split_generators(self, manager):
            return {"train": examples(source.train), test: examples(source.test)}

    Small.name = name
    builder = Small(data_dir=str(data_dir), file_format=file_format)
    config = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=3)
    with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare(download_dir=str(data_dir / "unused"), download_config=config)
    return Path(builder.data_dir)
