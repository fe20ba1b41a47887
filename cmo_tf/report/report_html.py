"""report.html: one file that shows everything offline, on a phone, in the dark and on paper."""

import base64
import html
import re
from importlib import resources

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<main>
<header>
<h1>{title}</h1>
<p class="subtitle">{subtitle}</p>
</header>
{body}
</main>
</body>
</html>
"""


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def escape(text: str) -> str:
    """`text` as HTML shows it; characters that are no text (a name of a file may hold any) become U+FFFD."""
    return html.escape(_CONTROL.sub("\ufffd", text))


def render(report) -> str:
    """The whole page of a `report.Report`. Every text is escaped here; there is no script and no outside reference."""
    groups, *tables = report.tables
    body = [_headline(report.headline), *(f"<p class='note'>{escape(note)}</p>" for note in report.notes),
            _table(groups), _figures(report.figures), _panel(report.panel), *(_table(table) for table in tables)]
    css = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    return _PAGE.format(title=escape(report.title), subtitle=escape(report.subtitle), css=css,
                        body="\n".join(filter(None, body)))


def _headline(cards) -> str:
    if not cards:
        return ""
    cells = (f"<div class='card {escape(label.split()[0].lower())}'><dt>{escape(label)}</dt><dd>{escape(value)}</dd>"
             f"<dd class='small'>{escape(note)}</dd></div>" for label, value, note in cards)
    return f"<dl class='cards'>{''.join(cells)}</dl>"


def _figures(figures) -> str:
    # Inside HTML an SVG needs no namespace, and the page stays free of anything that looks like an address.
    blocks = (f"<figure><h2>{escape(figure.title)}</h2>\n{figure.svg.replace(_NAMESPACE, '')}"
              f"<figcaption>{escape(figure.caption)}</figcaption></figure>" for figure in figures)
    return f"<section class='figures'>{''.join(blocks)}</section>"


_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'


def _panel(png: bytes | None) -> str:
    if png is None:
        return ""
    data = base64.b64encode(png).decode("ascii")
    return (f"<section class='panel'><h2>What the network saw</h2><img alt='Training images before and after mixing' "
            f"src='data:image/png;base64,{data}'><p class='caption'>Background images, foreground images and their "
            "mixtures, from this run's own stream.</p></section>")


def _table(table) -> str:
    if not table.rows:
        return ""
    aligned = [" class='n'" if column in table.numbers else "" for column in range(len(table.header))]
    head = "".join(f"<th{c}>{escape(text)}</th>" for c, text in zip(aligned, table.header, strict=True))
    head = f"<thead><tr>{head}</tr></thead>" if any(table.header) else ""
    rows = ("".join(f"<td{c}>{escape(text)}</td>" for c, text in zip(aligned, row, strict=True)) for row in table.rows)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    kind = " class='pairs'" if len(table.header) == 2 else ""
    grid = f"<div class='scroll'><table{kind}>{head}<tbody>\n{body}\n</tbody></table></div>"
    if table.folded:
        return f"<details><summary>{escape(table.title)}</summary>{grid}</details>"
    return f"<section><h2>{escape(table.title)}</h2>{grid}</section>"
