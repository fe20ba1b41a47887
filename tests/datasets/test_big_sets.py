"""ImageNet-LT and iNaturalist 2018 from trees of their layouts and from prepared records."""

import json
import os
import time

import numpy as np
import pytest

from cmo_tf import datasets
from cmo_tf.core.errors import UserError
from cmo_tf.datasets.lists import read_list
from cmo_tf.datasets.record_store import INDEX_FILE, RecordStore
from tests.support.big_sets import (
    IMAGENET,
    INATURALIST,
    long_tail,
    make_imagenet_tree,
    make_inaturalist_tree,
    make_records,
    synset,
)

COUNTS = long_tail(5, 8)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Data set -> its tree."""
    root = tmp_path_factory.mktemp("trees")
    return {IMAGENET: make_imagenet_tree(root / "a", COUNTS, 2),
            INATURALIST: make_inaturalist_tree(root / "b", COUNTS, 2)}


@pytest.fixture(scope="module")
def records(trees, tmp_path_factory):
    """File format -> directory of ImageNet-LT prepared in it."""
    root = tmp_path_factory.mktemp("records")
    for file_format in ("tfrecord", "array_record"):
        make_records(root / file_format, IMAGENET, trees[IMAGENET], file_format)
    return root


@pytest.mark.parametrize("name", datasets.BIG)
def test_trees(name, trees):
    source = datasets.load(name, data_dir=str(trees[name]))
    assert source.image_shape == (224, 224, 3) and source.stored_shape == (256, 256, 3) and source.published
    assert np.bincount(source.train.labels).tolist() == COUNTS and np.bincount(source.test.labels).tolist() == [2] * 5
    assert source.train.images.dtype.kind == "S" and all(map(os.path.isfile, source.train.images.tolist()))
    if name == IMAGENET:
        assert source.class_names == tuple(map(synset, range(5))) and source.augment == "crop_jitter"
        assert (source.mean, source.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    else:
        assert source.class_names == ("0", "1", "2", "3", "4") and source.augment == "resized_crop_flip"
        assert (source.mean, source.std) == ((0.466, 0.471, 0.380), (0.195, 0.194, 0.192))


def test_annotations_give_what_the_lists_give(trees, tmp_path):
    lists = datasets.load(INATURALIST, data_dir=str(trees[INATURALIST]), image_size=64)
    for file in ("train2018.json", "val2018.json"):
        (tmp_path / file).write_text((trees[INATURALIST] / file).read_text())
    os.symlink(trees[INATURALIST] / "train_val2018", tmp_path / "train_val2018")
    found = datasets.load(INATURALIST, data_dir=str(tmp_path), image_size=64)
    assert found.image_shape == (64, 64, 3) and found.class_names[3] == "Species 3"
    for split in ("train", "test"):
        one, other = getattr(lists, split), getattr(found, split)
        assert one.labels.tolist() == other.labels.tolist()
        assert list(map(os.path.basename, one.images)) == list(map(os.path.basename, other.images))
    names = [{"id": 4 - k, "name": f"Genus {4 - k}"} for k in range(5)]
    (tmp_path / "categories.json").write_text(json.dumps(names))
    assert datasets.load(INATURALIST, data_dir=str(tmp_path)).class_names == tuple(f"Genus {k}" for k in range(5))


def test_lists_may_lie_in_a_folder_of_their_own(trees, tmp_path):
    for folder in ("train", "val"):
        os.symlink(trees[IMAGENET] / folder, tmp_path / folder)
    (tmp_path / "ImageNet_LT").mkdir()
    for split in ("train", "test"):
        name = f"ImageNet_LT_{split}.txt"
        (tmp_path / "ImageNet_LT" / name).write_text((trees[IMAGENET] / name).read_text())
    assert len(datasets.load(IMAGENET, data_dir=str(tmp_path)).train) == sum(COUNTS)


@pytest.mark.parametrize("line,message", [
    ("train/n01440764/a.JPEG", r"row 3 has no label behind 'train/n01440764/a.JPEG'"),
    ("train/n01440764/a.JPEG one", "row 3 has the label 'one'"),
    ("train/n01440764/a.JPEG -1", "row 3 has the label '-1'"),
    ("train/n01440764/a.JPEG 1.5", "row 3 has the label '1.5'"),
    ("", "row 3 is empty"),
    ("../../etc/passwd 0", r"row 3 has the path '../../etc/passwd', which leads out"),
    ("train/../../x.JPEG 0", "row 3 has the path .* which leads out"),
    ("/etc/passwd 0", "row 3 has the path '/etc/passwd', which leads out"),
])
def test_bad_lines_are_named(line, message, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(f"a b..c.JPEG 0\nb/c.JPEG 1\n{line}\nd.JPEG 2\n")
    with pytest.raises(UserError, match=f"^--data_dir: .*list.txt, {message}") as error:
        read_list(str(path), str(tmp_path))
    assert "\n" not in str(error.value)


def test_good_lines(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"a b..c.JPEG 0\r\nb/c.JPEG\t12\n\n")
    images, labels = read_list(str(path), "/root")
    assert images.tolist() == [b"/root/a b..c.JPEG", b"/root/b/c.JPEG"] and labels.tolist() == [0, 12]
    path.write_text("\n")
    with pytest.raises(UserError, match="is empty"):
        read_list(str(path), "/root")


def rewritten(trees, tmp_path, change):
    """A copy of the ImageNet lists with `change(lines)` of the training list."""
    for folder in ("train", "val"):
        os.symlink(trees[IMAGENET] / folder, tmp_path / folder)
    (tmp_path / "ImageNet_LT_test.txt").write_text((trees[IMAGENET] / "ImageNet_LT_test.txt").read_text())
    lines = (trees[IMAGENET] / "ImageNet_LT_train.txt").read_text().splitlines()
    (tmp_path / "ImageNet_LT_train.txt").write_text("\n".join(change(lines)))
    return str(tmp_path)


def swapped(line):
    name, label = line.rsplit(" ", 1)
    return f"{name} {dict(zip('01', '10', strict=True)).get(label, label)}"


@pytest.mark.parametrize("change,message", [
    (lambda lines: [line for line in lines if not line.endswith(" 3")], "no image with the label 3, though"),
    (lambda lines: [line for line in lines if not line.endswith(" 4")], "test.txt, row .* has the label 4; .*0 to 3"),
    (lambda lines: [*lines, "train/x.JPEG 99999"], "row .* has the label 99999, more than there can be"),
    (lambda lines: list(map(swapped, lines)), "labels 0 and 1 are n01441764 and n01440764; .*sorted"),
    (lambda lines: [*lines, f"train/{synset(1)}/x.JPEG 0"], "gives label 0 to n01441764, other rows to n01440764"),
    (lambda lines: ["train/cat/x.JPEG 0", *lines], "cat/x.JPEG, row 1 of .*is not there"),
])
def test_lists_that_cannot_be_right(change, message, trees, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        datasets.load(IMAGENET, data_dir=rewritten(trees, tmp_path, change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text,message", [
    ("{", "is no JSON"), ('{"images": []}', "not in COCO's format"), ('{"images": [], "annotations": []}', "no images"),
    ('{"images": [{"id": 1, "file_name": "a"}], "annotations": []}', r"image 0 \(id 1\) has the category None"),
    ('{"images": [{"id": 1, "file_name": "../a"}], "annotations": [{"image_id": 1, "category_id": 0}]}', "leads out"),
])
def test_bad_annotations(text, message, tmp_path):
    for split in ("train", "val"):
        (tmp_path / f"{split}2018.json").write_text(text)
    with pytest.raises(UserError, match=f"^--data_dir: .*train2018.json.*{message}"):
        datasets.load(INATURALIST, data_dir=str(tmp_path))


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="has neither the lists ImageNet_LT_train.txt.* nor the prepared TFDS set"):
        datasets.load(IMAGENET, data_dir=str(tmp_path))
    with pytest.raises(UserError, match="iNaturalist18_train.txt and .* or train2018.json and .* not found"):
        datasets.load(INATURALIST, data_dir=str(tmp_path), data_format="files")
    with pytest.raises(UserError, match="--data_format=files: is for imagenet_lt"):
        datasets.load("digits", data_format="files")


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_records_hold_the_pictures_of_the_files(file_format, trees, records):
    from cmo_tf.pipeline.pictures import encoded_of
    files = datasets.load(IMAGENET, data_dir=str(trees[IMAGENET]))
    source = datasets.load(IMAGENET, data_dir=str(records / file_format), download=False)
    assert source.records.streams == (file_format == "tfrecord") and not source.in_memory
    for split in ("train", "test"):
        one, other = getattr(files, split), getattr(source, split)
        rows = np.random.RandomState(0).permutation(len(other))
        found = encoded_of(source.records.read(other.images[rows])).numpy().tolist()
        expected = {open(path, "rb").read(): label for path, label in zip(one.images, one.labels, strict=True)}
        assert set(found) == set(expected)
        assert [expected[data] for data in found] == other.labels[rows].tolist()


def test_the_index_is_kept_and_made_again(records, tmp_path):
    source = datasets.load(IMAGENET, data_dir=str(records / "tfrecord"), download=False).records
    folder = os.path.dirname(source.files[0])
    index = os.path.join(folder, INDEX_FILE)
    before = os.stat(index).st_mtime_ns
    again = RecordStore(source.files, source.count, False, "x")
    assert os.stat(index).st_mtime_ns == before and np.array_equal(again.labels, source.labels)
    with open(index, "wb") as file:
        file.write(b"half")
    again = RecordStore(source.files, source.count, False, "x")
    assert np.array_equal(again.labels, source.labels) and os.stat(index).st_size > 4


def test_damaged_records_are_named(records, tmp_path):
    source = datasets.load(IMAGENET, data_dir=str(records / "tfrecord"), download=False).records
    data = open(source.files[0], "rb").read()
    for name, content, message in (("cut", data[:-20], "cut short at byte"),
                                   ("other", b"\0" * 64, "has [0-9]+ records|is damaged"),
                                   ("few", data, "records, 999 are recorded")):
        path = tmp_path / name / "x.tfrecord"
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as error:
            RecordStore([path], [999 if name == "few" else source.count[0]], False, "--dataset=mine")
        assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_list_of_the_true_size_is_read_quickly(tmp_path):
    """437,513 lines of iNaturalist. Time printed, not asserted: the machine is shared."""
    path, labels = tmp_path / "iNaturalist18_train.txt", np.random.RandomState(0).randint(0, 8142, 437_513)
    path.write_text("".join(f"train_val2018/Plantae/{label}/{k:032x}.jpg {label}\n" for k, label in enumerate(labels)))
    began = time.process_time()
    images, found = read_list(str(path), "/data/inat")
    print(f"437,513 lines in {time.process_time() - began:.2f} s of CPU time, {images.nbytes / 2**20:.0f} MiB of paths")
    assert np.array_equal(found, labels) and images[7].endswith(b"7.jpg")
