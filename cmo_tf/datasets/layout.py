"""How a folder of pictures is laid out: classes alone, or in folders for training, validation and testing."""

import os
import unicodedata

from cmo_tf.core.errors import UserError
from cmo_tf.datasets.kinds import NAMED, SUFFIXES, pictures_below, visible

ROLES = {"train": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test", "testing")}
VALIDATION_TESTS = "there is no test folder, so that {} is the test set"


def class_folders(path: str) -> tuple[str, ...]:
    """Sorted names of the visible folders in `path`; none if it does not exist.

    Raises:
        UserError: one is a link to nowhere.
    """
    if not os.path.isdir(path):
        return ()
    with os.scandir(path) as entries:
        seen = sorted(entry.name for entry in entries if visible(entry.name))
    for name in seen:
        place = os.path.join(path, name)
        if os.path.islink(place) and not os.path.exists(place) and not name.lower().endswith(SUFFIXES):
            raise UserError(f"{place} is a link to nowhere ({os.readlink(place)}); mend or remove it")
    return tuple(name for name in seen if os.path.isdir(os.path.join(path, name)))


def parts(root: str, where: str) -> tuple[dict[str, str], list[str]]:
    """({part: folder name} of "train", "validation" and "test", notes); no parts where classes lie in `root` itself.

    Names count in any case. Validation pictures without a test folder are the test set.
    """
    found = {}
    for name in class_folders(root):
        role = next((role for role, names in ROLES.items() if name.lower() in names), None)
        # A class may be called "train" (between "car" and "tram"): only a folder of folders is a part.
        if role and _holds_classes(os.path.join(root, name)):
            if role in found:
                raise UserError(f"{where}: {found[role]} and {name} in {root} are both for {role}; keep one")
            found[role] = name
    if not found:
        return {}, []
    if "train" not in found:
        raise UserError(f"{where}: {os.path.join(root, next(iter(found.values())))} has class folders, but there is "
                        f"none for training beside it; add {os.path.join(root, 'train')} with class folders inside")
    if set(found) == {"train"}:
        train = os.path.join(root, found["train"])
        raise UserError(f"{where}: {os.path.join(root, 'test')} has no class folders but {train} has; make both, or "
                        f"hold out a share of the latter, --dataset=folder:{train}")
    notes = []
    if "test" not in found:
        found["test"] = found.pop("validation")
        notes.append(VALIDATION_TESTS.format(found["test"] + "/"))
    beside = [name for name in class_folders(root) if name not in found.values()
              and pictures_below(os.path.join(root, name))]
    if beside:
        notes.append(f"not read, beside {' and '.join(sorted(found.values()))}: {', '.join(beside)}")
    return found, notes


def _holds_classes(folder):
    with os.scandir(folder) as entries:
        if any(visible(entry.name) and entry.name.lower().endswith(SUFFIXES) for entry in entries):
            return False
    return bool(class_folders(folder))


def same_name(names: tuple[str, ...]) -> dict[str, str]:
    """{composed form: name}: systems write the é of a name in one character or in two."""
    return {unicodedata.normalize("NFC", name): name for name in names}


def check_trained(classes, others: dict[str, tuple[str, ...]], where: str) -> None:
    """A UserError where a class is in `others` (part -> class names) and not among the training `classes`."""
    trained = set(same_name(classes))
    for part, names in others.items():
        unknown = sorted(set(same_name(names)) - trained)
        if not unknown:
            continue
        lonely = sorted(trained - set(same_name(names)))
        alike = [name for name in lonely if name.casefold() == unknown[0].casefold()]
        hint = f"; {alike[0]} differs in case alone" if alike else ""
        hint = hint or (f"; only in train: {', '.join(lonely)}" if lonely else "")
        raise UserError(f"{where}: classes without training pictures: {', '.join(unknown)} (only in {part}{hint}); "
                        "rename or remove them, or add training pictures")


def why_empty(root: str, folder: str, where: str) -> UserError:
    """The error about a class folder without pictures, which says where they are if they lie deeper."""
    inside = [name for name in class_folders(folder) if pictures_below(os.path.join(folder, name))]
    if not inside:
        return UserError(f"{where}: the class folder {folder} has no picture ({NAMED}); add some or remove it")
    if len(class_folders(root)) == 1:
        return UserError(f"{where}: {root} holds the one folder {os.path.basename(folder)}, in which the class folders "
                         f"are; name that, --dataset=folder:{folder}")
    return UserError(f"{where}: {folder} has no pictures, but the folders in it have ({', '.join(inside[:3])}); move "
                     f"the pictures up into it, or, if those are the classes, --dataset=folder:{folder}")
