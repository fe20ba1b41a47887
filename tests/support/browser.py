"""Headless Chromium for tests: what a page fetches and whether it can be read, by width, in light, dark and print."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync", "--disable-default-apps", "--hide-scrollbars",
           "--allow-file-access-from-files", "--virtual-time-budget=4000")
SCHEMES = {"dark": 0, "light": 1}  # of --blink-settings=preferredColorScheme
WIDTHS = {"phone": 390, "desktop": 1280}

# What a page says about itself once it has loaded: widths, what it fetched, and its least readable words.
PROBE = """<script>addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement, numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const shine = c => c.slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor);
    if (c.length == 3 || c[3] > .9) return c } return canvas };
  const blank = document.body.appendChild(Object.assign(document.createElement("i"), {style: "background: Canvas"}));
  const canvas = numbers(getComputedStyle(blank).backgroundColor); blank.remove();
  const words = [...document.body.querySelectorAll("*")].filter(e => !e.closest("svg, script, style, [hidden]") &&
    e.checkVisibility() && [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()));
  const read = words.map(e => { const [a, b] = [numbers(getComputedStyle(e).color), ground(e)].map(shine);
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.textContent.trim().slice(0, 40)] });
  parent.postMessage({place: location.hash.slice(1), wide: root.scrollWidth, seen: root.clientWidth,
    high: root.scrollHeight, page: ground(document.body),
    fetched: performance.getEntriesByType("resource").map(e => e.name),
    faint: read.sort((x, y) => x[0] - y[0])[0]}, "*") }, 300))</script>"""
FRAMES = """<!doctype html><body style="margin:0"><pre id="found"></pre><script>const found = [];
addEventListener("message", e => { found.push(e.data);
  document.getElementById("found").textContent = JSON.stringify(found) })</script>
%s</body>"""


def program() -> str:
    """Path of the browser; without one the test fails, it is not skipped."""
    found = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.fail("no Chromium found: install it (Debian, Ubuntu: apt install chromium) or set CHROME to its path",
                    pytrace=False)
    return found


def run(folder: Path, *arguments) -> str:
    """Starts the browser with a profile in `folder`; what it wrote on standard output."""
    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # the sandbox refuses root
    done = subprocess.run([program(), *OPTIONS, *root, f"--user-data-dir={folder / 'profile'}", *map(str, arguments)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def look(page: Path, folder: Path, scheme: str) -> dict[str, dict]:
    """Width name -> what PROBE found, in `scheme`, on a copy of the page beside it, where what it links to is."""
    copy = page.with_name(f"{page.stem}-probed.html")
    copy.write_text(page.read_text(encoding="utf-8") + PROBE, encoding="utf-8")
    frames = "".join(f'<iframe src="{copy.as_uri()}#{name}" style="border:0;width:{width}px;height:900px"></iframe>'
                     for name, width in WIDTHS.items())
    outer = folder / f"{scheme}.html"
    outer.write_text(FRAMES % frames, encoding="utf-8")
    try:
        told = run(folder, f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", "--window-size=1400,2000",
                   "--dump-dom", outer.as_uri())
    finally:
        copy.unlink()
    found = re.search(r'<pre id="found">(.+?)</pre>', told)
    assert found, told[:2000]
    return {entry["place"]: entry for entry in json.loads(html.unescape(found[1]))}


def printed(page: Path, folder: Path) -> int:
    """Pages of the page's PDF."""
    target = folder / "page.pdf"
    run(folder, f"--print-to-pdf={target}", "--no-pdf-header-footer", page.as_uri())
    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    return len(re.findall(rb"/Type\s*/Page\b", content))
