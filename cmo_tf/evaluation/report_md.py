"""report.md: the report's numbers as tables that read well in a terminal and on a code host."""

import re

_SPECIAL = re.compile(r"([\\`*\[\]|])")


def render(report) -> str:
    """A `report.Report` as GitHub-flavoured Markdown, without the drawings."""
    blocks = [f"# {_text(report.title)}", _text(report.subtitle)]
    blocks.append(_rows(["", "value", ""], [[label, value, note] for label, value, note in report.headline], (1,)))
    blocks += [_text(note) for note in report.notes]
    for table in report.tables:
        if table.rows:
            blocks += [f"## {_text(table.title)}", _rows(table.header, table.rows, table.numbers)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _rows(header, rows, numbers) -> str:
    rule = ["---:" if column in numbers else "---" for column in range(len(header))]
    lines = [map(_text, header), rule, *(map(_text, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text) -> str:
    """One line in which nothing is read as a table border, as markup or as HTML."""
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text)
