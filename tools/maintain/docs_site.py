"""Hook of mkdocs: files of the project that pages link to, but that are not in docs/, become part of the site.

A link `../cmo_tf/losses/ldam.py` is right in the repository; on the site it leads to a copy under `project/`. A page of
the root, MODEL_ZOO.md, is built like those of docs/, its links to `docs/x.md` turned into `x.md`.
"""

import os
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
ROOT_PAGES = ("MODEL_ZOO.md",)
FOLDER = "project"
LINK = re.compile(r"(\]\()([\w./-]+)(#[\w-]+)?(\))")
SHOWN = (".md", ".cfg", ".txt", ".py")  # browsers show these as text only under this suffix


def on_files(files, config):
    """Adds the pages of the root and a copy of everything outside docs/ that some page links to."""
    for name in ROOT_PAGES:
        files.append(File.generated(config, name, content=from_root((ROOT / name).read_text(encoding="utf-8"))))
    wanted = set()
    for page in files.documentation_pages():
        wanted.update(path for _, path in outside(page.src_uri, page.content_string))
    for path in sorted(wanted):
        files.append(File.generated(config, copied(path), content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Leads links that leave docs/ to the copies."""
    there = dict(outside(page.file.src_uri, markdown))
    here = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda m: f"{m[1]}{posixpath.relpath(copied(there[m[2]]), here or '.')}{m[4]}"
                    if m[2] in there else m[0], markdown)


def outside(page: str, markdown: str) -> list[tuple[str, str]]:
    """(link, path in the project) of the links of a page of docs/ to files beside docs/."""
    found = []
    for match in LINK.finditer(markdown):
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), match[2]))
        if not path.startswith(("docs/", "..")) and (ROOT / path).is_file():
            found.append((match[2], path))
    return found


def copied(path: str) -> str:
    """Where a file of the project lies on the site."""
    return f"{FOLDER}/{path}" + (".txt" if path.endswith(SHOWN) else "")


def from_root(markdown: str) -> str:
    """A page of the root as a page of docs/."""
    return LINK.sub(lambda m: f"{m[1]}{os.path.relpath(m[2], 'docs')}{m[3] or ''}{m[4]}", markdown)
