"""Pages that people open, in headless Chromium: they fetch nothing, fit a phone, and can be read in light, dark and
print."""

import shutil

import pytest

from tests.support import browser
from tests.support.photo_folder import make
from tests.support.program import ROOT, SHORT, program

pytestmark = pytest.mark.slow


def report(folder):
    """report.html of a run with everything in it."""
    assert program(*SHORT, f"--run_dir={folder}").code == 0
    return folder / "report.html"


def inspection(folder):
    """inspect.html of a folder with a bad file and copies across classes."""
    pictures = make(folder / "pictures", largest=24, ratio=8)
    (pictures / "cat" / "broken.jpg").write_bytes(b"")
    shutil.copy(next((pictures / "flower").glob("*.jpg")), pictures / "coffee" / "copy.jpg")
    ended = program("--mode=inspect", f"--dataset=folder:{pictures}", "--image_size=32", f"--run_dir={folder / 'out'}")
    assert ended.code == 0, ended.err
    return folder / "out" / "inspect.html"


def comparison(folder):
    """compare.html of the kept runs on CIFAR-10-LT of one size."""
    from tools import compare_runs
    runs = [f"{ROOT}/docs/results/cifar10lt/runs.jsonl:{name}" for name in ("full_ce", "full_ce_cmo")]
    assert compare_runs.main([*runs, f"--out={folder}"]) == 0
    return folder / "compare.html"


def table(folder):
    """table.html of a reproduced table."""
    return shutil.copy(ROOT / "docs/results/digits/table03/table.html", folder / "table.html")


PAGES = (report, inspection, comparison, table)


@pytest.fixture(scope="module", params=PAGES, ids=lambda make: make.__name__)
def page(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


@pytest.mark.parametrize("scheme", browser.SCHEMES)
def test_it_is_whole_and_readable(page, scheme, tmp_path):
    found = browser.look(page, tmp_path, scheme)
    assert set(found) == set(browser.WIDTHS)
    for width, told in found.items():
        assert told["fetched"] == [], told["fetched"]
        assert told["wide"] <= told["seen"] == browser.WIDTHS[width], (width, told)
        assert told["faint"][0] >= 4.5, told["faint"]  # WCAG AA for text


def test_light_and_dark_differ(page, tmp_path):
    grounds = {scheme: browser.look(page, tmp_path, scheme)["desktop"]["page"] for scheme in browser.SCHEMES}
    assert grounds["light"] != grounds["dark"]


def test_it_prints(page, tmp_path):
    assert 1 <= browser.printed(page, tmp_path) <= 30


def test_faults_are_seen(tmp_path):
    """What the tests above look for is found where it is."""
    page = tmp_path / "bad.html"
    page.write_text('<!doctype html><body><p style="color: #bbb; background: #fff">faint</p>'
                    '<img src="http://127.0.0.1:9/picture.png"><div style="width: 900px">wide</div></body>')
    told = browser.look(page, tmp_path, "light")["phone"]
    assert told["fetched"] == ["http://127.0.0.1:9/picture.png"] and told["wide"] > 900 and told["faint"][0] < 2


def test_without_a_browser_the_tests_say_so(monkeypatch):
    monkeypatch.delenv("CHROME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pytest.fail.Exception, match="apt install chromium"):
        browser.program()
