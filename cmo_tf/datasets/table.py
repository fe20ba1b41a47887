"""`csv:FILE`: a table of people's own pictures, a row each, with path, label and perhaps the split it is for."""

import csv
import io
import os

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.datasets import kept_split, layout, own_pictures
from cmo_tf.datasets.bad_images import MAX_BAD
from cmo_tf.datasets.own_pictures import MEMORY_LIMIT, PARTS, Listing
from cmo_tf.datasets.source import Source, Split

DELIMITERS = ",;\t|"
# Column -> headings that it is known by, in any case; `columns` tells others.
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "picture"),
    "label": ("label", "labels", "class", "class_name", "category", "target", "species", "y"),
    "split": ("split", "set", "subset", "partition", "part"),
}


def load(file, *, data_dir=None, download=True, image_size=None, seed=0, test_fraction=0.2, memory_limit=MEMORY_LIMIT,
         bad_images="error", max_bad=MAX_BAD, kept=None, columns=None) -> Source:
    """Reads the pictures of a table; paths are relative to it. Without a split column a share of each class is held
    out for testing.

    Args:
        file: UTF-8, fields separated by comma, semicolon, tab or bar, quoted where they hold one.
        columns: "path=HEADING,label=HEADING,split=HEADING", of those that COLUMNS would not guess.
        kept: a kept_split.KeptSplit; its pictures are read, whatever the table says now.

    The other arguments are those of `folder.load`. Labels that are all whole numbers are in their order, from 0, from 1
    or with gaps; others are names, in alphabetic order.

    Raises:
        UserError: names the row that is wrong, counted as a spreadsheet does, the heading being row 1.
    """
    name, path = f"csv:{file}", os.path.expanduser(str(file))
    where, root = f"--dataset={name}", os.path.dirname(path) or "."
    if kept is not None:
        try:
            present = {picture for _, picture, _, _ in _rows(path, where, columns)}
        except UserError:
            present = set()  # the table is not needed any more
        return kept_split.read(kept, kept_split.listing(kept, root, where, present), name, image_size, memory_limit)
    return own_pictures.read(find(path, where, columns), name, image_size=image_size, seed=seed,
                             test_fraction=test_fraction, memory_limit=memory_limit, bad_images=bad_images,
                             max_bad=max_bad)


def find(path: str, where: str, columns=None) -> Listing:
    """The pictures of a table."""
    rows, root = _rows(path, where, columns), os.path.dirname(path) or "."
    _check_files(rows, root, where)
    names = _class_names([label for _, _, label, _ in rows])
    number = {label: names.index(_label(label) if _label(label) in names else label)
              for label in {label for _, _, label, _ in rows}}
    splits = {}
    for part in PARTS:
        chosen = [(picture, number[label]) for _, picture, label, of in rows if of == part]
        if chosen:
            pictures, labels = (np.array(column) for column in zip(*chosen, strict=True))
            paths = np.array([os.path.join(root, picture) for picture in pictures.tolist()])
            splits[part] = Split(paths, labels.astype(np.int64), pictures)
    if "train" not in splits:
        raise UserError(f"{where}: no row is for training; mark some with train in the split column")
    notes = []
    if "validation" in splits and "test" not in splits:
        splits["test"] = splits.pop("validation")
        notes.append(layout.VALIDATION_TESTS.format("validation").replace("test folder", "test row"))
    trained = {names[k] for k in splits["train"].labels.tolist()}
    layout.check_trained([name for name in names if name in trained],
                         {part: tuple(names[k] for k in np.unique(splits[part].labels)) for part in splits
                          if part != "train"}, where)
    untested = sorted(set(range(len(names))) - set(splits["test"].labels.tolist())) if "test" in splits else ()
    if untested:
        notes.append(f"classes without test pictures, which stay untested: {', '.join(names[k] for k in untested)}")
    return Listing(root, names, **splits, notes=tuple(notes))


def _label(text):
    """A label as its class is called: 01 and 1 are one number."""
    return str(int(text)) if _is_number(text) else text


def _is_number(text):
    return text.isascii() and text.removeprefix("-").isdigit()


def _class_names(labels):
    numbers = all(map(_is_number, labels))
    return tuple(sorted({_label(label) if numbers else label for label in labels}, key=int if numbers else None))


def _read(path, where):
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{where}: cannot be opened ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: is no UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from None


def _rows(path, where, columns):
    """(row number, name relative to the table, label, part of PARTS) of each row."""
    text = _read(path, where)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark))) if first else 0)
    try:
        read = enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), 1)
        table = [(number, [cell.strip() for cell in row]) for number, row in read if any(map(str.strip, row))]
    except csv.Error as error:
        raise UserError(f"{where}: is no table ({error})") from None
    if len(table) < 2:
        raise UserError(f"{where}: has no rows; it needs a heading, as path,label, and a row for each picture")
    place = _places(table[0][1], where, columns)
    return [_row(number, row, place, where) for number, row in table[1:]]


def _places(heading, where, columns):
    """Column -> its place in a row."""
    lower, told = [cell.casefold() for cell in heading], {}
    for pair in filter(None, (columns or "").split(",")):
        column, _, name = pair.partition("=")
        if column not in COLUMNS or name.casefold() not in lower:
            raise UserError(f"--csv_columns={columns}: {pair!r} is not path=, label= or split= with a heading of the "
                            f"table ({', '.join(heading)})")
        told[column] = lower.index(name.casefold())
    guessed = {column: next(lower.index(name) for name in names if name in lower) for column, names in COLUMNS.items()
               if set(names) & set(lower)}
    place = guessed | told
    for column in ("path", "label"):
        if column not in place:
            raise UserError(f"{where}: row 1 has no heading for the {column} ({', '.join(heading)}); name it, "
                            f"--csv_columns={column}=HEADING, or write one, as {column}")
    return place


def _row(number, row, place, where):
    cells = {column: row[at] if at < len(row) else "" for column, at in place.items()}
    for column in ("path", "label"):
        if not cells[column]:
            raise UserError(f"{where}: row {number} has no {column}")
    part = next((part for part, names in layout.ROLES.items() if cells.get("split", "train").lower() in names), None)
    if part is None:
        raise UserError(f"{where}: row {number} has the split {cells['split']!r}; write train, validation or test")
    return number, os.path.normpath(cells["path"]), cells["label"], part


def _check_files(rows, root, where):
    """A UserError where files are missing or two rows name one picture."""
    missing = [(number, name) for number, name, _, _ in rows if not os.path.isfile(os.path.join(root, name))]
    if missing:
        shown = ", ".join(f"row {number} ({name})" for number, name in missing[:3])
        raise UserError(f"{where}: {len(missing)} of {len(rows)} files are not there, relative to {root}: {shown}"
                        + ", ..." * (len(missing) > 3) + "; mend the paths or take the rows out")
    seen = {}
    for number, name, label, part in rows:
        if name in seen:
            before, *other = seen[name]
            differ = "" if other == [label, part] else (f", once as {other[0]} for {other[1]}, once as {label} for "
                                                        f"{part}")
            raise UserError(f"{where}: rows {before} and {number} are both {name}{differ}; take one out")
        seen[name] = number, label, part
