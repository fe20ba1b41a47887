"""Shows our figures beside printed ones: a terminal table, Markdown, one self-contained HTML page, the alpha plot."""

import html
import json
import os

from cmo_tf.evaluation.estimates import estimate
from cmo_tf.report.results import write_atomically

COLUMNS = ("all", "many", "medium", "few")


def show(table: list[dict], name: str, extra: list[str], seeds: list[int], out: str | None) -> None:
    """Prints the comparison; with `out` also writes table.md, table.html and rows.json there, and alpha.svg where alpha
    varies."""
    header, lines = _cells(table)
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    for line in [header, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if not out:
        return
    os.makedirs(out, exist_ok=True)
    note = (f"Ours: last epoch, mean and standard deviation over seeds {', '.join(map(str, seeds))}; a difference is "
            f"ours minus printed. Best: best epoch on the test set, which is what the printed figures most likely are. "
            f"Flags beside the rows': {' '.join(extra) or 'none'}.")
    if any(row["elsewhere"] for row in table):
        note += (" The rows were run on other data than printed, so accuracies compare nothing; what can be "
                 "compared is the gain over the first row with the same data, with its 95 % interval (Student's t of "
                 "the differences seed by seed).")
    plot = _alpha_plot(table) if len({row["alpha"] for row in table}) > 2 else None
    if plot:
        write_atomically(os.path.join(out, "alpha.svg"), plot)
    write_atomically(os.path.join(out, "rows.json"), json.dumps(table, indent=1) + "\n")
    write_atomically(os.path.join(out, "table.md"), _markdown(_title(name), note, header, lines, bool(plot)))
    write_atomically(os.path.join(out, "table.html"), _html(_title(name), note, header, lines, plot))
    print(os.path.join(out, "table.html"))


def _title(name):
    """"3" -> Table 3, "S1" -> Supplement, Table 1, "F1" -> Supplement, Figure 1."""
    kind = {"S": "Supplement, Table ", "F": "Supplement, Figure "}.get(name[0].upper())
    return kind + name[1:] if kind else f"Table {name}"


def _cells(table):
    shown = [c for c in COLUMNS if any(_printed(row, c) is not None or c in row["ours"] for row in table)]
    moved = any(row["elsewhere"] for row in table)
    printed_for = {c for c in shown if any(_printed(row, c) is not None for row in table)}
    header = ["printed for", *(["run on"] if moved else []), "method"]
    for column in shown:
        header += [*([f"{column} printed"] if column in printed_for else []), f"{column} ours",
                   *(["diff"] if column in printed_for and not moved else [])]
    lines = []
    for row in table:
        line = [row["data"], *([row["elsewhere"] or row["data"]] if moved else []), row["title"]]
        for column in shown:
            printed, ours = _printed(row, column), row["ours"].get(column)
            line += [*(["" if printed is None else f"{printed:.1f}"] if column in printed_for else []), mean(ours)]
            if column in printed_for and not moved:
                line.append(f"{ours.mean - printed:+.1f}" if ours and printed is not None else "")
        if moved:
            line += gains(row, table)
        lines.append([*line, "" if row["best"] is None else f"{row['best']:.1f}",
                      "" if row["seconds"] is None else f"{row['seconds']:.0f}"])
    return [*header, *(["gain printed", "gain ours"] if moved else []), "best all", "seconds"], lines


def _printed(row, column):
    return row["printed"].get("med" if column == "medium" else column)


def gains(row, table) -> list[str]:
    """Printed and own gain in all-class accuracy over the first row with the same data, seed by seed."""
    first = next(other for other in table if other["data"] == row["data"])
    if first is row:
        return ["", ""]
    printed = [r["printed"].get("all") for r in (first, row)]
    ours = estimate([row["seeds"][seed] - first["seeds"][seed] for seed in row["seeds"] if seed in first["seeds"]])
    interval = "" if ours is None or ours.half is None else f" ± {ours.half:.1f}"
    return ["" if None in printed else f"{printed[1] - printed[0]:+.1f}",
            "" if ours is None else f"{ours.mean:+.1f}{interval}"]


def mean(ours) -> str:
    """"91.5 ± 1.2": mean and standard deviation of an Estimate."""
    return "" if ours is None else ours.shown(1)


def _markdown(title, note, header, lines, plotted):
    rows = [header, ["---"] * len(header), *lines]
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    picture = ["", "![accuracy against alpha](alpha.svg)"] if plotted else []
    return "\n".join([f"# {title}", "", note, "", *body, *picture]) + "\n"


def _html(title, note, header, lines, plot):
    named = header.index("method") + 1
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return (f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{html.escape(title)}</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,"
            f"sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}}div{{overflow-x:auto}}table{{border-collapse:"
            f"collapse;font-variant-numeric:tabular-nums}}td,th{{padding:.3rem .7rem;border-bottom:1px solid #8884;"
            f"text-align:right;white-space:nowrap}}td:nth-child(-n+{named}),th:nth-child(-n+{named}){{text-align:left}}"
            f"svg{{width:36rem;max-width:100%;height:auto}}</style><h1>{html.escape(title)}</h1><p>{html.escape(note)}</p><div><table><thead><tr>"
            f"{head}</tr></thead><tbody>{body}</tbody></table></div>{plot or ''}</html>\n")


def _alpha_plot(table):
    """SVG of accuracy against alpha, with the spread over seeds."""
    from cmo_tf.report.svg import drawing

    @drawing("accuracy against alpha")
    def draw(figure):
        axes = figure.subplots()
        points = sorted((row["alpha"], *row["ours"]["all"][:2]) for row in table if "all" in row["ours"])
        alphas, means, spreads = ([p[i] or 0.0 for p in points] for i in range(3))
        axes.errorbar(alphas, means, spreads, marker="o", capsize=3)
        axes.set(xscale="log", xlabel="alpha", ylabel="accuracy (%)")
        axes.set_xticks([p[0] for p in points], [f"{p[0]:g}" for p in points])
        axes.minorticks_off()

    return draw()
