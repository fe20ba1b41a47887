"""Writes MODEL_ZOO.md anew from what is kept under docs/results: every run made, whatever its figure.

    python tools/maintain/model_zoo.py [--check]

With --check nothing is written; exit code 1 if the page is not current. Sections are the queues (docs/results/*/
queue.txt, a row a run, unfinished ones listed as such) and the tables of digits (docs/results/digits/*/rows.json).
"""

import functools
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout that is not installed

from cmo_tf import config as configuration  # noqa: E402
from cmo_tf.evaluation.estimates import Estimate  # noqa: E402
from cmo_tf.report import studies  # noqa: E402
from cmo_tf.report.results import write_atomically  # noqa: E402
from tools import comparison, sweep  # noqa: E402
from tools.maintain import method_figures  # noqa: E402

PAGE, RESULTS = ROOT / "MODEL_ZOO.md", ROOT / "docs/results"
# What makes two runs the same method, on whatever data and network.
METHOD = ("method", "loss", "reweight", "mix", "sampler", "augment", "q_power", "q_kind", "probability", "alpha")
HEAD = """# Model zoo

Every run whose result is kept, whatever came out; [docs/results](docs/results/README.md) says what holds and what does
not. `python tools/maintain/model_zoo.py` writes this page from the studies kept there (`runs.jsonl`), which have the
flags in full, the package versions, history, per-class accuracy, calibration and the split's fingerprint.

- Hardware: two cores of an AMD EPYC, shared with other work, no GPU; minutes are what the clock said there.
- Accuracy in percent on the whole test set, of the last epoch; `best` is the best epoch on the test set, which is what
  most papers print.
- "printed": the paper's figure for the same method on CIFAR-100-LT at ratio 100 with ResNet-32 and 200 epochs. **The
  runs here are on other data, with smaller networks and shorter schedules**, so only the order of methods can be
  compared. The paper prints nothing for CIFAR-10-LT or digits.
- Weights are not kept: `--flagfile` and seed give them back bit for bit on the same machine and versions.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for queue in sorted(RESULTS.glob("*/queue.txt")):
        parts.append(queue_section(queue))
    parts.append(digits_section(sorted(RESULTS.glob("digits/*/rows.json"))))
    return "\n".join(parts)


def queue_section(queue: Path) -> str:
    """A queue's rows, done or not."""
    rows = sweep.read_queue(str(queue))
    done = studies.read(study) if (study := queue.with_name("runs.jsonl")).exists() else {}
    hours = sum(run["seconds"] for run in done.values()) / 3600
    title = queue.parent.name
    lines = [f"## {title}: {len(done)} of {len(rows)} rows of [its queue](docs/results/{title}/queue.txt) done, "
             f"{hours:.1f} hours", "",
             "| run | flags | seed | images | steps | minutes | all | many | medium | few | best (epoch) | ECE | "
             "printed |", "|" + "---|" * 13]
    for name, arguments in rows:
        lines.append("| " + " | ".join(queue_row(title, name, arguments, done.get(name))) + " |")
    return "\n".join(lines) + "\n"


def queue_row(title: str, name: str, arguments: list[str], found: dict | None) -> list[str]:
    """The cells of one run."""
    flags = f"`{' '.join(arguments)}`"
    if found is None:
        return [name, flags, "", "", "", "", "not run yet", "", "", "", "", "", ""]
    values = [found["accuracy"][k] for k in ("all", "many", "medium", "few")]
    best = found["best"]
    return [f"[{name}](docs/results/{title}/runs.jsonl)", flags, str(found["seed"]),
            f"{sum(found['class_counts']):,}", f"{found['steps']:,}", f"{found['seconds'] / 60:.1f}",
            *("-" if v is None else f"{v:.2f}" for v in values),
            f"{best['accuracy']['all']:.2f} ({best['epoch']})" if best else "", f"{100 * found['ece']:.1f}",
            printed(arguments)]


def printed(arguments: list[str]) -> str:
    """The paper's figure for CIFAR-100-LT at ratio 100 with the same method, if it prints one; "pretrained" for a run
    that did not start from nothing as its runs did."""
    if any(argument.startswith("--init_weights=") for argument in arguments):
        return "pretrained"
    wanted = _identity(arguments)
    return next((figure for identity, figure in _printed_rows() if identity == wanted), "")


def _identity(arguments):
    config = configuration.parse(list(arguments))[0]
    return tuple(repr(getattr(config, name)) for name in METHOD if hasattr(config, name))


@functools.cache
def _printed_rows():
    """(identity, "43.9 (Table 3)") of the rows for CIFAR-100-LT at ratio 100."""
    rows = []
    for place, row in method_figures.printed_rows().items():
        if row.table.startswith("Paper") and row.data == "CIFAR-100-LT ratio 100" and "all" in row.printed:
            figure = f"{row.printed['all']} ({row.table.removeprefix('Paper ')})"
            rows.append((_identity([f"--flagfile={ROOT / place}"]), figure))
    return rows


def digits_section(paths: list[Path]) -> str:
    """The tables that were run on scikit-learn's digits, a row a setting."""
    lines = ["## digits: the rows of the paper's tables on scikit-learn's digits", "",
             "ResNet-20, 30 epochs, ratio 20 (flags/digits_recipe.cfg): 502 training images of 8x8 pixels, 300 test "
             "images. Mean and standard deviation over seeds; a gain, over the table's first row, has its 95 % "
             "interval (Student's t, differences seed by seed).", "",
             "| table | row | seeds | all | gain | printed gain | many | medium | few | best | seconds a run |",
             "|" + "---|" * 11]
    for path in paths:
        table = json.loads(path.read_text(encoding="utf-8"))
        for row in table:
            row["ours"] = {column: Estimate(*values) for column, values in row["ours"].items()}
            there = sorted(int(seed) for seed in row["seeds"])
            printed_gain, gain = comparison.gains(row, table)
            cells = [f"[{path.parent.name}](docs/results/digits/{path.parent.name}/table.md)",
                     f"[{row['title']}]({row['file'].partition(':')[0]})", ", ".join(map(str, there)) or "not run yet",
                     comparison.mean(row["ours"].get("all")), gain, printed_gain,
                     *(comparison.mean(row["ours"].get(c)) for c in ("many", "medium", "few")),
                     "" if row["best"] is None else f"{row['best']:.1f}",
                     "" if row["seconds"] is None else f"{row['seconds']:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments=None) -> int:
    """The command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if set(arguments) - {"--check"}:
        print(f"model_zoo: {' '.join(arguments)}: the only flag is --check", file=sys.stderr)
        return 2
    text = page()
    if "--check" not in arguments:
        write_atomically(str(PAGE), text)
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("model_zoo: MODEL_ZOO.md is not what docs/results says; run python tools/maintain/model_zoo.py",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
