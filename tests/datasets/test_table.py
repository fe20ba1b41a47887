"""csv:FILE: tables of pictures as people have them."""

import numpy as np
import pytest
from PIL import Image

from cmo_tf import datasets
from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.inspection import findings
from cmo_tf.run import data as run_data
from cmo_tf.run import split_file

NAMES = [f"pics/{k}, odd.png" if k == 3 else f"pics/{k}.png" for k in range(8)]
PLAIN = [(name, ("heron", "stork")[k % 2]) for k, name in enumerate(NAMES)]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pics").mkdir()
    for k, name in enumerate(NAMES):
        Image.new("L", (10, 10), 20 * k).save(tmp_path / name)
    return tmp_path


def write(root, rows, heading=("path", "label"), mark=",", start="", end="\n", encoding="utf-8"):
    lines = [mark.join(f'"{cell}"' if mark in cell else cell for cell in map(str, row)) for row in (heading, *rows)]
    (root / "table.csv").write_bytes((start + end.join(lines) + end).encode(encoding))
    return f"csv:{root / 'table.csv'}"


def load(name, **options):
    return datasets.load(name, image_size=7, **options)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start, end", [("", "\n"), ("\ufeff", "\r\n")])
def test_separators_bom_and_line_ends(root, mark, start, end):
    source = load(write(root, PLAIN, mark=mark, start=start, end=end))
    assert source.class_names == ("heron", "stork") and len(source.train) + len(source.test) == 8
    pixels = {name: int(image[0, 0, 0]) for split in (source.train, source.test)
              for name, image in zip(split.names, split.images, strict=True)}
    assert pixels == {name: 20 * k for k, name in enumerate(NAMES)}


@pytest.mark.parametrize("labels, names", [(("0", "1"), ("0", "1")), (("1", "2"), ("1", "2")),
                                           (("2", "10"), ("2", "10")),
                                           (("b", "A"), ("A", "b")),
                                           (("01", "1x"), ("01", "1x"))])
def test_labels(labels, names, root):
    source = load(write(root, [(name, labels[k % 2]) for k, name in enumerate(NAMES)]))
    assert source.class_names == names
    assert all(names[label] == labels[NAMES.index(name) % 2]
               for name, label in zip(source.train.names, source.train.labels, strict=True))


def test_headings(root):
    rows = [(label, "x", name) for name, label in PLAIN]
    assert len(load(write(root, rows, ("Species", "note", "File_Name"))).train) > 0
    name = write(root, rows, ("kind", "note", "photo"))
    with pytest.raises(UserError, match="row 1 has no heading for the path .kind, note, photo.; .*--csv_columns=path="):
        load(name)
    assert len(load(name, csv_columns="path=photo,label=kind").train) > 0
    with pytest.raises(UserError, match="--csv_columns=path=nothing: 'path=nothing' is not"):
        load(name, csv_columns="path=nothing")
    with pytest.raises(UserError, match="--csv_columns=path=a: is for csv:FILE"):
        load("digits", csv_columns="path=a")


def test_splits(root):
    parts = ["train", "Training", "test", "testing", "val", "valid", "train", "train"]
    rows = [(*row, part) for row, part in zip(PLAIN, parts, strict=True)]
    source = load(write(root, rows, ("path", "label", "split")))
    assert [len(split) for split in (source.train, source.validation, source.test)] == [4, 2, 2]
    rows[2] = (*PLAIN[2], "holdout")
    with pytest.raises(UserError, match="row 4 has the split 'holdout'; write train, validation or test"):
        load(write(root, rows, ("path", "label", "split")))


@pytest.mark.parametrize("rows, said", [
    ([*PLAIN, ("pics/9.png", "stork")], "1 of 9 files are not there, .*row 10 .pics/9.png."),
    ([*PLAIN, PLAIN[2]], "rows 4 and 10 are both pics/2.png; take one out"),
    ([*PLAIN, (PLAIN[2][0], "stork")], "rows 4 and 10 are both pics/2.png, once as heron for train, once as stork"),
    ([*PLAIN[:3], ("pics/5.png", "")], "row 5 has no label"), ([], "has no rows"),
    ([("pics/1.png", "a"), ("./pics/1.png", "a")], "rows 2 and 3 are both")])
def test_wrong_rows_are_named(rows, said, root):
    with pytest.raises(UserError, match=said) as error:
        load(write(root, rows))
    assert "\n" not in str(error.value) and str(error.value).startswith("--dataset=csv:")


def test_what_is_no_table(root):
    with pytest.raises(UserError, match="cannot be opened"):
        load(f"csv:{root / 'nowhere.csv'}")
    with pytest.raises(UserError, match="is no UTF-8 text"):
        load(write(root, PLAIN, encoding="utf-16"))


def test_a_run_keeps_it_and_inspect_sees_it(root, tmp_path):
    name = write(root, PLAIN)
    config = parse([f"--dataset={name}", "--image_size=7"])[0]
    data = split_file.write(str(tmp_path), run_data.load(config))
    Image.new("L", (10, 10)).save(root / "pics/new.png")
    write(root, [*PLAIN, ("pics/new.png", "heron")])
    again = run_data.load(config, split_file.read(str(tmp_path)))
    assert np.array_equal(again.test.images, data.test.images) and "left alone: 1" in again.notes[0]
    assert len(findings.look(config).pictures) == 9
