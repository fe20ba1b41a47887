"""The report of a run, made from the files of its folder alone: results.json, metrics.csv, predictions.npz, panel.png.

This module and report_tables.py decide what is said, report_html.py and report_md.py how it looks. TensorFlow is never
imported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.long_tail import GROUPS
from cmo_tf.report import class_plots, plots, report_html, report_md
from cmo_tf.report import report_tables as tables
from cmo_tf.report.report_tables import NONE, Table, percent, rule
from cmo_tf.report.results import read_history, read_predictions, read_results, write_atomically


@dataclass(frozen=True)
class Figure:
    """One drawing: heading, a sentence on how to read it, the SVG text."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Report:
    """What both forms of the report show, in this order."""

    title: str
    subtitle: str
    headline: Sequence[tuple[str, str, str]]  # (label, value, explanation)
    notes: Sequence[str]
    figures: Sequence[Figure] = ()
    panel: bytes | None = None
    tables: Sequence[Table] = ()


def write_report(run_dir, results: Mapping | None = None) -> tuple[Path, Path]:
    """Writes report.html (one self-contained file) and report.md into the run folder and returns their paths.

    Needs results.json, unless its content is given as `results`, and predictions.npz; metrics.csv and panel.png are
    shown when they are there.

    Raises:
        UserError: a needed file is missing or damaged, or the two do not belong together.
    """
    run_dir = Path(run_dir)
    report = assemble(run_dir, results)
    html, markdown = run_dir / "report.html", run_dir / "report.md"
    write_atomically(html, report_html.render(report))
    write_atomically(markdown, report_md.render(report))
    return html, markdown


def assemble(run_dir: Path, results: Mapping | None = None) -> Report:
    """Reads the run folder (but for `results`, if given) and collects what the report says."""
    results, predictions = results or read_results(run_dir), read_predictions(run_dir)
    num_classes = len(results["per_class"])
    if len(predictions) and max(predictions.labels.max(), predictions.predicted.max()) >= num_classes:
        raise UserError(f"{run_dir / 'predictions.npz'}: has classes beyond the {num_classes} of results.json; the two "
                        "files are from different runs: delete both and run the same command again")
    panel = run_dir / "panel.png"
    return Report(
        title=run_dir.resolve().name,
        subtitle=_subtitle(results),
        headline=_headline(results),
        notes=_notes(results),
        figures=_figures(results, predictions, read_history(run_dir)),
        panel=panel.read_bytes() if panel.is_file() else None,
        tables=[tables.group_table(results), tables.run_table(results), tables.confused_table(results, predictions),
                tables.class_table(results), tables.mapping_table("Flags", "flag", results.get("flags")),
                tables.mapping_table("Versions", "package", results.get("versions"))],
    )


def _subtitle(results: Mapping) -> str:
    flags = results.get("flags") or {}
    said = [str(flags[key]) for key in ("dataset", "model", "loss", "mix") if flags.get(key) not in (None, "")]
    if results.get("epochs") is not None:
        said.append(f"{results['epochs']} epochs")
    return " · ".join([*said, f"seed {results['seed']}"] if results.get("seed") is not None else said)


def _headline(results: Mapping) -> list[tuple[str, str, str]]:
    accuracy, ece = results["accuracy"], results.get("ece")
    cards = [("All", percent(accuracy.get("all")), f"accuracy %, {_which(results)}")]
    cards += [(name.capitalize(), percent(accuracy.get(name)), rule(results, name)) for name in GROUPS]
    best, epoch = _best(results)
    if best is not None:
        cards.append(("Best epoch", percent(best), f"accuracy %, epoch {epoch}"))
    return [*cards, ("ECE", percent(None if ece is None else 100 * ece), "calibration error %, 15 bins")]


def _which(results: Mapping) -> str:
    """The epoch that the figures are of."""
    kept = results.get("kept") or {}
    return f"epoch {kept['epoch']}, best on validation" if kept.get("which") == "best" else "last epoch"


def _best(results: Mapping) -> tuple[float | None, object]:
    best = results.get("best") or {}
    accuracy = best.get("accuracy")
    return (accuracy.get("all") if isinstance(accuracy, Mapping) else accuracy), best.get("epoch", NONE)


def _notes(results: Mapping) -> list[str]:
    notes = []
    best, epoch = _best(results)
    if best is not None:
        split = results["best"].get("split", "test")
        words = {"test": "the test set, which is what most papers report; it is chosen by looking at the test images "
                         "and so a little flattering",
                 "val": "the test set; it is chosen on the validation split"}.get(split, f"the {split} split")
        notes.append(f"All figures are those of {'the ' * (_which(results) == 'last epoch')}{_which(results)}, unless "
                     f"another is named. The best epoch was {epoch} with {percent(best)} % on {words}.")
    if results.get("stopped_early"):
        flags = results.get("flags") or {}
        notes.append(f"The run was stopped after epoch {results.get('epochs', NONE)} of {flags.get('epochs', NONE)}: "
                     f"{flags.get('early_stop', NONE)} epochs brought nothing better on the validation images.")
    if results.get("skipped_images"):
        notes.append(f"{results['skipped_images']:,} pictures could not be read and were left out; skipped.txt names "
                     "them.")
    gap = (results.get("overconfidence") or {}).get("all")
    if gap is not None:
        kind = "over-confident" if gap > 0 else "under-confident"
        notes.append(f"Mean confidence is {abs(100 * gap):.1f} points {'above' if gap > 0 else 'below'} the accuracy: "
                     f"the network is {kind} on this test set." if abs(gap) >= 0.0005 else
                     "Mean confidence equals the accuracy to a tenth of a point.")
    found = results.get("calibration")
    if found and found["temperature"] is not None:
        before, after = (percent(100 * found["test"][when]["ece"]) for when in ("before", "after"))
        notes.append(f"Confidences are calibrated: logits are divided by {found['temperature']:.3f}, which was fitted "
                     f"on {found['images']:,} validation images. On the test images the ECE goes from {before} to "
                     f"{after} %.")
    empty = [name for name in GROUPS if results["accuracy"].get(name) is None]
    if empty:
        notes.append(f"No class with test images is in: {', '.join(empty)}.")
    untested = [row["name"] for row in results["per_class"] if not row["test_count"]]
    if untested:
        shown = ", ".join(untested[:10]) + (f" and {len(untested) - 10} more" if len(untested) > 10 else "")
        notes.append(f"Untested, for want of test images: {shown}. Figures of groups and means over classes are "
                     "without them.")
    return notes


def _figures(results: Mapping, predictions: Predictions, history: Sequence[Mapping]) -> list[Figure]:
    rows = results["per_class"]
    figures = [Figure("Accuracy by shot group", "The value of a group is the mean over its classes.",
                      plots.group_accuracy(results["accuracy"]))]
    if results.get("overconfidence"):
        figures.append(Figure("Over-confidence by shot group", "Over the test images of each group; 0 is well "
                              "calibrated.", plots.group_overconfidence(results["overconfidence"])))
    figures += [
        Figure("Accuracy against class counts", "Classes from most to fewest training images; the line is their "
               "number. × marks a class without test images.", class_plots.class_accuracy(rows)),
        Figure("Training images", "The long tail that was trained on.", class_plots.class_counts(rows)),
        Figure("Confusion matrix", "Rows are true classes and sum to 100 %. Colour grows with the root of the share, "
               "so that rare confusions show.",
               class_plots.confusion(predictions.labels, predictions.predicted, rows)),
    ]
    return figures + _reliability(results) + _curves(history)


def _reliability(results: Mapping) -> list[Figure]:
    if not results.get("reliability"):
        return []
    figures = [Figure("Reliability", "A well calibrated network ends on the dashed line: of all answers given "
                      "with 80 % confidence, 80 % are right.", plots.reliability(results["reliability"]))]
    found = results.get("calibration")
    if found and found["temperature"] is not None:
        before = found["test"]["before"]["reliability"]
        figures.append(Figure("Reliability before calibration", "The same network without the temperature "
                              f"{found['temperature']:.3f}.", plots.reliability(before)))
    return figures


def _curves(history: Sequence[Mapping]) -> list[Figure]:
    figures = []
    if any(row.get("all") is not None for row in history):
        figures.append(Figure("Accuracy while training", "On the evaluation split, after each evaluated epoch.",
                              plots.accuracy_curves(history)))
    if any(row.get("loss") is not None for row in history):
        figures.append(Figure("Loss and learning rate", "The training loss is the one optimised: class weights and "
                              "mixed labels included.", plots.loss_curves(history)))
    return figures
