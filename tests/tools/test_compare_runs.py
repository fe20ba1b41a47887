"""tools/compare_runs.py: which runs are one setting, what they are compared by, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats

from cmo_tf.evaluation import estimates
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.long_tail import class_counts, shot_groups
from cmo_tf.report import comparison, results
from tools import compare_runs

KEPT = f"{compare_runs.ROOT}/docs/results"


def make_run(folder, *, right=0.7, seed=0, classes=10, fingerprint="aa", flags=(), confidence=0.9):
    """A run folder with results.json alone, right on a share of the images of each class that falls to the tail."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 30)
    falling = np.linspace(min(right + 0.2, 1), max(right - 0.2, 0), classes)[labels]
    predicted = np.where(rng.random(len(labels)) < falling, labels, (labels + 1) % classes)
    counts = class_counts(classes, 300, 100)
    found = results.evaluate(Predictions(labels, predicted, np.full(len(labels), confidence)), counts,
                             [f"class {k}" for k in range(classes)], shot_groups(counts))
    found |= {"best": {"accuracy": found["accuracy"], "epoch": 3, "split": "test"}, "seed": seed, "epochs": 3,
              "steps": 30, "seconds": 61.0, "images_per_second": 100.0, "split_fingerprint": fingerprint,
              "flags": {"dataset": "digits", "seed": seed, "mix": "none", "run_dir": str(folder), **dict(flags)}}
    folder.mkdir(parents=True)
    results.write_results(folder, found)
    return folder


@pytest.fixture
def four(tmp_path):
    """Two settings of two seeds."""
    return [make_run(tmp_path / f"{name}-s{seed}", right=right + 0.03 * seed, seed=seed, flags={"mix": mix})
            for name, right, mix in (("ce", 0.6, "none"), ("ce_cmo", 0.75, "cmo")) for seed in (0, 1)]


def compare(*arguments):
    return compare_runs.main([str(a) for a in arguments])


def read(folders):
    return comparison.compare(comparison.read([str(f) for f in folders], {})[0])


def test_seeds_of_one_setting_are_put_together(four):
    found = read([*four[2:], *four[:2]])
    assert [s.name for s in found.settings] == ["ce_cmo", "ce"] and found.baseline.name == "ce_cmo"
    assert [[run.seed for run in s.runs] for s in found.settings] == [[0, 1], [0, 1]]
    assert comparison.differing_flags(found.settings) == ["mix"] and found.notes == []
    accuracy = [results.read_results(folder)["accuracy"]["all"] for folder in four]
    mean = estimates.estimate(found.settings[0].values("accuracy", "all"))
    assert mean.mean == pytest.approx(np.mean(accuracy[2:])) and mean.sd == pytest.approx(np.std(accuracy[2:], ddof=1))
    low, high = stats.t.interval(0.95, 1, loc=mean.mean, scale=mean.sd / 2**0.5)
    assert (mean.mean - mean.half, mean.mean + mean.half) == pytest.approx((low, high))


def test_gains_are_paired_by_seed_and_welch_otherwise(tmp_path):
    groups = {"a": (0, 1, 2), "b": (0, 1, 2), "c": (3, 4)}
    folders = [make_run(tmp_path / f"{n}-s{s}", right=0.5 + 0.1 * (n == "b"), seed=s, flags={"mix": n})
               for n, seeds in groups.items() for s in seeds]
    a, b, c = read(folders).settings
    first, second, third = (np.array(s.values("accuracy", "few")) for s in (a, b, c))
    paired = comparison.gain(b, a, "few")
    assert paired.mean == pytest.approx(np.mean(second - first))
    expected = stats.ttest_rel(second, first).confidence_interval()
    assert (paired.mean - paired.half, paired.mean + paired.half) == pytest.approx(tuple(expected))
    welch = comparison.gain(c, a, "few")
    expected = stats.ttest_ind(third, first, equal_var=False).confidence_interval()
    assert (welch.mean - welch.half, welch.mean + welch.half) == pytest.approx(tuple(expected))
    assert comparison.gain(a, a, "few").mean == 0


def test_terminal_and_files(four, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert compare(*four, "--baseline=ce-s1", f"--out={out}") == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.splitlines()[-1] == str(out / "compare.html")
    lines = printed.out.splitlines()
    row = next(line for line in lines if line.startswith("ce_cmo "))
    values = [results.read_results(folder)["accuracy"]["all"] for folder in four]
    assert row.split()[:4] == ["ce_cmo", "2", f"{np.mean(values[2:]):.2f}", "±"]
    gains = lines[lines.index("Gain over ce") + 2]
    assert gains.split()[:2] == ["ce_cmo", f"{np.mean(values[2:]) - np.mean(values[:2]):+.2f}"]
    assert "over-confidence few" in printed.out
    assert "Flags that differ\nsetting  mix\nce       none\nce_cmo   cmo" in printed.out
    page, markdown = (out / "compare.html").read_text(), (out / "compare.md").read_text()
    assert page.count("<svg") == 1 + 1 + 1 + 2 and "http" not in page and "<script" not in page and " src=" not in page
    for told in ("ce_cmo: gain by class", "ce: reliability", "95 % confidence intervals", "paired differences"):
        assert told in page
    assert "## Accuracy of every class" in markdown and "class 9" in markdown
    before = page
    assert compare(*four, "--baseline=ce", f"--out={out}") == 0
    assert (out / "compare.html").read_text() == before, "the same input gives the same bytes"


def test_reliability_of_seeds_is_that_of_all_their_images(tmp_path):
    folders = [make_run(tmp_path / f"a-s{s}", seed=s, confidence=c) for s, c in ((0, 0.9), (1, 0.91), (2, 0.5))]
    (setting,) = read(folders).settings
    bins, single = setting.reliability(), [results.read_results(f)["reliability"] for f in folders]
    assert bins["count"].tolist() == np.sum([b["count"] for b in single], axis=0).tolist()
    top = np.argmax(bins["count"])
    assert bins["count"][top] == 600 and bins["confidence"][top] == pytest.approx(0.905)
    assert bins["accuracy"][top] == pytest.approx(np.mean([b["accuracy"][top] for b in single[:2]]))


def test_kept_runs_do(capsys, tmp_path):
    """Those of docs/results, beside a file that is none; flags that were not there yet."""
    study = f"{KEPT}/cifar10lt/runs.jsonl"
    kept = [f"{study}:full_ce", f"{study}:full_ce_cmo", f"{KEPT}/cifar10lt/queue.txt", f"{study}:quick_ce"]
    assert compare(*kept, f"--out={tmp_path}", "--baseline=full_ce") == 0
    printed = capsys.readouterr()
    assert "queue.txt: left out, no finished run" in printed.err
    assert "\nfull_ce_cmo  64.28" in printed.out and "another training split than" in printed.out
    assert {p.name for p in tmp_path.iterdir()} == {"compare.html", "compare.md"}


def test_a_flag_that_came_later_does_not_separate(tmp_path):
    old = make_run(tmp_path / "x-s0")
    new = make_run(tmp_path / "x-s1", seed=1, flags={"calibrate": "none", "lr_drops": [0.8, 0.9], "data_dir": "/else"})
    assert compare(old, new) == 0
    runs, _ = comparison.read([str(old), str(new)], {"calibrate": "none", "lr_drops": (0.8, 0.9)})
    assert [s.name for s in comparison.compare(runs).settings] == ["x"]


def test_repetitions_and_equal_names(four, tmp_path):
    again = shutil.copytree(four[0], tmp_path / "again")
    other = make_run(tmp_path / "other" / "ce-s0", flags={"mix": "cutmix"})
    found = read([four[0], four[0], again, other])
    assert sum(len(s.runs) for s in found.settings) == 2
    assert "again repeats" in found.notes[0] and len(found.notes) == 1
    assert {s.name for s in found.settings} == {f"{tmp_path.name}/ce-s0", "other/ce-s0"}


def test_results_without_calibration_are_compared_all_the_same(four, capsys, tmp_path):
    for folder in four:
        found = json.loads((folder / "results.json").read_text())
        for key in ("ece", "mce", "overconfidence", "reliability", "group_ece", "best"):
            del found[key]
        (folder / "results.json").write_text(json.dumps(found))
    assert compare(*four, f"--out={tmp_path / 'out'}") == 0
    assert (tmp_path / "out" / "compare.html").read_text().count("<svg") == 2


def test_temperatures_and_what_they_mended(four, capsys):
    for folder, t in zip(four, (1.5, 2.5, None, 0.5), strict=True):
        found = results.read_results(folder)
        before = {"ece": 0.25, "reliability": found["reliability"]}
        results.write_results(folder, found | {"calibration": {"temperature": t, "test": {"before": before}}})
    assert compare(*four) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("Calibration") + 1:]
    assert table[0].split()[-4:] == ["temperature", "ECE", "%", "before"]
    assert table[1].endswith("2.00 ± 0.71  25.00 ± 0.00") and table[2].split()[-4:] == ["0.50", "25.00", "±", "0.00"]


def test_other_pictures_under_the_same_rows_are_refused(four, capsys):
    for folder, of in zip(four, ("cc", "cc", "dd", "cc"), strict=True):
        results.write_results(folder, results.read_results(folder) | {"test_fingerprint": of})
    assert compare(*four) == 2
    assert "were tested on different test images (fingerprints dd and cc" in capsys.readouterr().err


def test_another_training_split_is_said(four, tmp_path, capsys):
    other = make_run(tmp_path / "small", fingerprint="bb", flags={"max_per_class": 50})
    assert compare(*four, other) == 0
    assert "small had another training split than ce-s0" in capsys.readouterr().out


@pytest.mark.parametrize("other, said", [
    ({"flags": {"dataset": "cifar10"}}, "were tested on different data sets (cifar10 and digits)"),
    ({"classes": 8}, "were tested on different classes (8 classes and 10 classes)"),
    ({"per_class": "more"}, "were tested on different test images (301 images and 300 images)")])
def test_another_test_set_is_refused(four, tmp_path, capsys, other, said):
    more = other.pop("per_class", None)
    folder = make_run(tmp_path / "other", **other)
    if more:
        found = json.loads((folder / "results.json").read_text())
        found["per_class"][0]["test_count"] += 1
        (folder / "results.json").write_text(json.dumps(found))
    assert compare(*four, folder, f"--out={tmp_path / 'out'}") == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1 and said in printed.err and printed.out == ""
    assert not (tmp_path / "out").exists()


def test_refusals_are_one_line(four, tmp_path, capsys):
    (tmp_path / "begun").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text("{")
    for arguments, said in (([four[0]], "1 finished run: name at least two"), ([], "0 finished runs"),
                            ([*four, tmp_path / "nowhere"], "nowhere: not there"),
                            ([*four, tmp_path / "broken"], "results.json: cannot be read"),
                            ([*four, "--baseline=cmo"], "--baseline=cmo: there are ce, ce_cmo"),
                            ([*four, "--bas=ce"], "bas"),
                            ([*four, f"--out={four[0] / 'results.json'}"], "cannot be written")):
        assert compare(*arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and said in lines[0], lines
    assert compare(four[0], tmp_path / "begun") == 2
    assert "begun: left out, no finished run (results.json)" in capsys.readouterr().err
