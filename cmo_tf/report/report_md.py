"""report.md: the report's numbers as tables that read well in a terminal and on a code host."""

import re

_SPECIAL = re.compile(r"([\\`*\[\]|])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def render(report) -> str:
    """A `report.Report` as GitHub-flavoured Markdown, without the drawings."""
    blocks = [f"# {escape(report.title)}", escape(report.subtitle)]
    blocks.append(table(["", "value", ""], [[label, value, note] for label, value, note in report.headline], (1,)))
    blocks += [escape(note) for note in report.notes]
    for part in report.tables:
        if part.rows:
            blocks += [f"## {escape(part.title)}", table(part.header, part.rows, part.numbers)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def table(header, cells, numbers) -> str:
    """A table; `numbers` are the columns that are set to the right."""
    rule = ["---:" if column in numbers else "---" for column in range(len(header))]
    lines = [map(escape, header), rule, *(map(escape, row) for row in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text) -> str:
    """`text` as one line in which nothing is read as a table border, as markup or as HTML."""
    text = _CONTROL.sub("\ufffd", " ".join(str(text).split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text)
