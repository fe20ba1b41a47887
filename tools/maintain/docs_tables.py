"""Writes the tables of docs/method_table.md (methods, mixers, losses) and the gallery in docs/methods.md anew from the
registries, between their markers.

    python tools/maintain/docs_tables.py [--check]

With --check nothing is written; exit code 1 if a table is not current.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout that is not installed
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from cmo_tf.losses import LOSSES  # noqa: E402
from cmo_tf.methods import METHODS  # noqa: E402
from cmo_tf.mixing import MIXERS  # noqa: E402
from tools.maintain import docs_gallery, method_figures  # noqa: E402

TABLE = ROOT / "docs/method_table.md"


def methods() -> list[str]:
    """Rows of `--method`: what it is, what it was checked against, the printed figure, figures measured here."""
    printed = method_figures.printed()
    rows = ["| `--method` | what it is | stands for | file | checked against | printed | digits | CIFAR-10-LT |",
            "|---|---|---|---|---|---|---|---|"]
    for name, method in METHODS.items():
        flags = " ".join(f"`--{key}={_value(value)}`" for key, value in method.flags.items())
        source = f" ({_cell(method.paper)})" if method.paper else ""
        figures = [printed.get(name, ""), *(method_figures.measured(data, name) for data in ("digits", "cifar10lt"))]
        rows.append(f"| `{name}` | {_cell(method.summary)}{source} | {flags} | {_file(name, method)} | "
                    f"{_cell(method.checked)} | {' | '.join(figures)} |")
    return rows


def _file(name, method) -> str:
    path = docs_gallery.method_place(name, method).partition(":")[0].replace(".", "/") + ".py"
    return f"[{path.rpartition('/')[2]}](../{path})"


def classes(registry) -> list[str]:
    """Rows of a registry of classes: the first sentence of each docstring."""
    rows = [f"| `--{registry.flag}` | what it is |", "|---|---|"]
    for name, entry in registry.items():
        rows.append(f"| `{name}` | {_cell(_summary(entry))} |")
    return rows


def _summary(entry) -> str:
    first = " ".join((entry.__doc__ or "").strip().split("\n\n")[0].split())
    return first.removeprefix("`--mix=none`: ")


def _value(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# Page -> marker -> lines between its two comments.
PAGES = {
    TABLE: {"methods": methods, "mixers": lambda: classes(MIXERS), "losses": lambda: classes(LOSSES)},
    ROOT / "docs/methods.md": docs_gallery.TABLES,
}


def render(page: Path) -> str:
    """A page with everything between `<!-- NAME -->` and `<!-- /NAME -->` as the registries have it now."""
    text = page.read_text(encoding="utf-8")
    for name, table in PAGES[page].items():
        block = f"<!-- {name} -->\n" + "\n".join(table()) + f"\n<!-- /{name} -->"
        text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, block=block: block, text,
                              flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"{page.name}: the markers of the table {name} are there {found} times")
    return text


def main(arguments: list[str]) -> int:
    """The command line."""
    after = {page: render(page) for page in PAGES}
    if "--check" in arguments:
        return int(any(page.read_text(encoding="utf-8") != text for page, text in after.items()))
    for page, text in after.items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
