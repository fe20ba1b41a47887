"""iNaturalist's annotations in COCO's format: images, annotations and categories in one JSON file a split."""

import json
import os

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.lists import check_classes, check_first
from cmo_tf.datasets.source import Split


def read_json(data_dir: str, train: str, test: str) -> tuple[Split, Split, tuple[str, ...]]:
    """Training and test split and class names from the annotation files of these names in `data_dir`.

    Labels are the category ids, 0..C-1. UserError names the file, and the image or category that is wrong.
    """
    root, splits, num_classes = os.path.expanduser(str(data_dir)), [], None
    for name in (train, test):
        path = os.path.join(root, name)
        annotations = _load(path)
        images, labels = _images(annotations, path, root)
        check_first(images, path)
        if num_classes is None:
            names = _names(annotations.get("categories", ()), path)
            num_classes = max(len(names), check_classes(labels, path))
        check_classes(labels, path, num_classes)
        splits.append(Split(images, labels))
    return *splits, read_categories(root, num_classes, names)


def read_categories(data_dir: str, num_classes: int, given=()) -> tuple[str, ...]:
    """Class names: those of categories.json where it is there, else `given` ones, else the category ids."""
    path = os.path.join(os.path.expanduser(str(data_dir)), "categories.json")
    names = _names(_load(path), path) if os.path.isfile(path) else list(given)
    if not names:
        return tuple(str(label) for label in range(num_classes))
    if len(names) != num_classes:
        raise UserError(f"--data_dir: {path} has {len(names)} categories, the training list {num_classes}")
    return tuple(names)


def _load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise UserError(f"--data_dir: {path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"--data_dir: {path} is no JSON ({error})") from None


def _images(annotations, path, root):
    """Paths and labels in the order of `images`."""
    try:
        label_of = {one["image_id"]: one["category_id"] for one in annotations["annotations"]}
        named = [(one["id"], one["file_name"]) for one in annotations["images"]]
        hash(tuple(number for number, _ in named))  # a list is no number: TypeError
    except KeyError as error:
        raise UserError(f"--data_dir: {path} is not in COCO's format ({error} is missing)") from None
    except TypeError as error:
        raise UserError(f"--data_dir: {path} is not in COCO's format ({error})") from None
    for row, (number, name) in enumerate(named):
        label = label_of.get(number)
        if type(label) is not int or not 0 <= label < 10**9:
            raise UserError(f"--data_dir: {path}, image {row} (id {number}) has the category {label!r}; a whole number "
                            "from 0 on is needed")
        if not isinstance(name, str) or not name or "\0" in name:
            raise UserError(f"--data_dir: {path}, image {row} (id {number}) has the file name {name!r}")
        if os.path.isabs(name) or ".." in name.split("/"):
            raise UserError(f"--data_dir: {path}, image {row} has the path {name!r}, which leads out of the folder; "
                            "paths are relative to it")
    if not named:
        raise UserError(f"--data_dir: {path} has no images")
    paths = np.array([os.fsencode(os.path.join(root, name)) for _, name in named])
    return paths, np.array([label_of[number] for number, _ in named], dtype=np.int64)


def _names(categories, path):
    """Names in the order of the ids, which must be 0..C-1."""
    try:
        found = {int(one["id"]): str(one["name"]) for one in categories}
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"--data_dir: {path}: every category needs an id and a name") from None
    if sorted(found) != list(range(len(found))):
        raise UserError(f"--data_dir: {path}: the ids of categories are not 0 to {len(found) - 1}")
    return [found[label] for label in range(len(found))]
