"""`make docs` and the notebooks. They need requirements-docs.txt, which `make slow` installs."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support import browser
from tests.support.program import ROOT, SHORT, program

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
# What a page may load: links that a reader follows are free.
LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]+src=["'](?:https?:)?//|<link[^>]+href=["'](?:https?:)?//"""
                    r"""|@import|url\(["']?(?:https?:)?//""")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages."""
    target = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={target}"], cwd=ROOT,
                          capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return target


def test_every_page_is_built(site):
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").exists()
    assert (site / "MODEL_ZOO.html").exists() and (site / "results/index.html").exists()


def test_nothing_is_fetched_when_it_is_read(site):
    for path in [*site.rglob("*.html"), site / "site.css"]:
        assert not LOADED.search(path.read_text(encoding="utf-8")), path


def test_links_lead_somewhere(site):
    """Those that mkdocs does not check: to copies of files of the project, and in pages written as HTML."""
    for path in site.glob("*.html"):
        if path.name != "404.html":  # which is served at any depth
            for link in re.findall(r'href="([^"#?]+)["#?]', path.read_text(encoding="utf-8")):
                assert ":" in link or (path.parent / link).exists(), f"{path.name}: {link}"


@pytest.mark.parametrize("name", ["index", "methods", "MODEL_ZOO"])
def test_in_a_browser(site, name, tmp_path):
    """Nothing from elsewhere, by scripts neither, and no page wider than a phone."""
    for told in browser.look(site / f"{name}.html", tmp_path, "light").values():
        assert all(address.startswith(site.as_uri()) for address in told["fetched"]), told["fetched"]
        assert told["wide"] <= told["seen"]


def test_the_api_page_has_the_signatures_and_examples(site):
    page = re.sub(r"<[^>]+>", "", (site / "api.html").read_text(encoding="utf-8"))
    for told in ("cmo_tf.CMO", "probability", "[0.75, 0.4375]", "[5000, 2997, 1796", "cmo_tf.models.create"):
        assert told in page, told


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, tmp_path, monkeypatch):
    """From the first cell to the last, beside a finished run."""
    import nbclient
    import nbformat
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    if path.stem == "results":
        assert program(*SHORT, "--run_dir=runs/quickstart-s0").code == 0
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored without outputs"
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    drawn = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "image/png" in
             output.get("data", {})]
    assert len(drawn) >= 2
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
