"""What is said of a comparison of runs: as text for a terminal, and as the Report that becomes a page and Markdown."""

from pathlib import Path

from cmo_tf.evaluation.estimates import estimate
from cmo_tf.report import comparison_plots, plots, report_html, report_md
from cmo_tf.report import comparison_tables as tables
from cmo_tf.report.comparison import Comparison, gain
from cmo_tf.report.report import Figure, Report
from cmo_tf.report.report_tables import NONE, Table, percent
from cmo_tf.report.results import write_atomically

MAX_CARDS = 6
MAX_DRAWN = 8  # settings that get drawings of their own; more make a page that nobody scrolls through


def write(comparison: Comparison, folder) -> Path:
    """Writes compare.html (one self-contained file) and compare.md into a folder that is there; returns the page."""
    folder, report = Path(folder), assemble(comparison)
    write_atomically(folder / "compare.md", report_md.render(report))
    write_atomically(folder / "compare.html", report_html.render(report))
    return folder / "compare.html"


def text(comparison: Comparison) -> str:
    """The comparison for a terminal: the notes, accuracies, gains, calibration, the flags that differ."""
    parts = [*comparison.notes]
    for make in (tables.accuracy_table, tables.gain_table, tables.calibration_table, tables.flag_table):
        table = make(comparison)
        if table.rows:
            parts.append(f"{table.title}\n{_aligned(table)}")
    return "\n\n".join(parts)


def _aligned(table: Table) -> str:
    lines = [table.header, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    cells = ((cell.rjust if column in table.numbers else cell.ljust)(widths[column])
             for line in lines for column, cell in enumerate(line))
    return "\n".join("  ".join(next(cells) for _ in widths).rstrip() for _ in lines)


def assemble(comparison: Comparison) -> Report:
    """The page: accuracies, gains by class, calibration, flags that differ, all runs."""
    runs = [run for setting in comparison.settings for run in setting.runs]
    flags = runs[0].flags
    said = [str(flags["dataset"])] if flags.get("dataset") else []
    return Report(
        title=f"{len(runs)} runs compared",
        subtitle=" · ".join([*said, f"{len(comparison.settings)} settings", f"gains over {comparison.baseline.name}"]),
        headline=_cards(comparison),
        notes=[*comparison.notes, *_reading(comparison)],
        figures=_figures(comparison),
        tables=[tables.accuracy_table(comparison), tables.gain_table(comparison), tables.calibration_table(comparison),
                tables.flag_table(comparison), tables.class_table(comparison), tables.run_table(comparison)],
    )


def _cards(comparison: Comparison) -> list[tuple[str, str, str]]:
    if len(comparison.settings) > MAX_CARDS:
        return []
    cards = []
    for setting in comparison.settings:
        found = estimate(setting.values("accuracy", "all"))
        more = gain(setting, comparison.baseline, "all")
        note = "baseline" if setting is comparison.baseline else f"{more.mean:+.2f} points" if more else NONE
        seeds = f", {found.n} seeds" if found and found.n > 1 else ""
        cards.append((setting.name, percent(found and found.mean), f"accuracy %{seeds}: {note}"))
    return cards


def _reading(comparison: Comparison) -> list[str]:
    """How the figures are to be read, in the words that this comparison needs."""
    notes = ["Accuracies are percentages of the test images at the end of each run; the value of a shot group is the "
             "mean over its classes."]
    seeds = [len(setting.runs) for setting in comparison.settings]
    if max(seeds) > 1:
        notes.append("± is the standard deviation over seeds, brackets are 95 % confidence intervals of the mean "
                     "(Student's t). The interval of a gain is that of the paired differences where both settings "
                     "have the same seeds, otherwise Welch's.")
    single = seeds.count(1)
    if single:
        notes.append(f"{'All settings have' if single == len(seeds) else f'{single} settings have'} one seed only: "
                     "their differences say nothing about chance.")
    return notes


def _figures(comparison: Comparison) -> list[Figure]:
    settings, baseline = comparison.settings, comparison.baseline
    figures = [Figure("Accuracy by shot group", "Bars are 95 % confidence intervals over seeds, where there are two "
                      "or more.", comparison_plots.accuracies(settings))]
    if any(setting.values("overconfidence", "all") for setting in settings):
        figures.append(Figure("Over-confidence by shot group", "Over the test images of each group; 0 is well "
                              "calibrated.", comparison_plots.overconfidences(settings)))
    others = [setting for setting in settings if setting is not baseline][:MAX_DRAWN]
    figures += [Figure(f"{setting.name}: gain by class", f"Accuracy of each class minus that of {baseline.name}, mean "
                       "over seeds. Horizontal lines are the means of the groups.",
                       comparison_plots.class_gains(setting, baseline)) for setting in others]
    drawn = [(setting, setting.reliability()) for setting in settings[:MAX_DRAWN]]
    return figures + [Figure(f"{setting.name}: reliability", "A well calibrated network ends on the dashed line.",
                             plots.reliability(bins)) for setting, bins in drawn if bins]
