"""Name -> object, imported when asked for: the names are known without importing what stands behind them."""

import difflib
import importlib
from collections.abc import Iterator, Mapping

from cmo_tf.core.errors import UserError


class Registry(Mapping):
    """A closed table of names, each with the place of its object as `"module:attribute"`.

    Args:
        kind: what the entries are, for messages ("loss", "mixer", ...).
        flag: the command-line flag that selects an entry, or None.
        places: name -> "module:attribute". A new entry is one new file and one line here.

    Names come from the table alone, so that listing or validating them imports nothing.
    """

    def __init__(self, kind: str, places: dict[str, str], flag: str | None = None):
        self.kind = kind
        self.flag = flag
        self._places = dict(places)

    def __getitem__(self, name: str):
        module, attribute = self.place(name).split(":")
        return getattr(importlib.import_module(module), attribute)

    def place(self, name: str) -> str:
        """"module:attribute" of an entry, without importing it."""
        return self._places[self.check(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def check(self, name: str, flag: str | None = None) -> str:
        """Returns `name` if it is an entry; otherwise a UserError that suggests the nearest one and names `flag`."""
        if name in self._places:
            return name
        near = difflib.get_close_matches(str(name), self._places, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self._places))}"
        flag = flag or self.flag
        where = f"--{flag}={name}" if flag else repr(name)
        raise UserError(f"{where}: no such {self.kind}; {hint}")
