"""tools/reproduce.py: which runs a table asks for, and what is said of those that are there."""

import json
import os

import pytest

from cmo_tf import config
from cmo_tf.report import studies
from tools import comparison, reproduce

DIGITS = ("--flagfile=flags/digits_recipe.cfg",)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(reproduce.ROOT)


def finish(folder, accuracy):
    """A folder with the results of a run."""
    os.makedirs(folder)
    found = studies.read(os.path.join(reproduce.ROOT, "docs/results/cifar10lt/runs.jsonl"))["full_ce"]
    found |= {"accuracy": {"all": accuracy, "many": None, "medium": accuracy, "few": 0.0}, "seconds": 7.4,
             "best": {"accuracy": {"all": accuracy + 1}, "epoch": 3, "split": "test"}, "images_per_second": 1000.0}
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
        json.dump(found, file)


def rows(table, *extra, without=None):
    return reproduce.read_rows(reproduce.table_file(table), list(extra), without)


def test_rows_of_table_3():
    found = rows("3")
    assert [r.title for r in found[:4]] == ["CE", "CE + ROS", "CE + Remix", "CE + CMO"]
    assert found[3].printed["all"] == 43.9 and found[3].elsewhere == ""
    assert [r.title for r in rows("3", without="ride")] == [r.title for r in found if "RIDE" not in r.title]
    assert len(found) - len(rows("3", without="RIDE")) == 4


def test_equal_rows_of_two_tables_share_a_run():
    (of_nine,) = [r for r in rows("9") if r.title == "CMO"]
    (of_ten,) = [r for r in rows("10") if "q(1)" in r.title]
    assert of_nine.key == of_ten.key
    assert len({r.key for r in rows("10")}) == 4


def test_flags_behind_a_row_count(tmp_path):
    plain, short = rows("9")[1], rows("9", "--epochs=3")[1]
    assert short.config.epochs == 3 and plain.key != short.key
    assert rows("9", *DIGITS)[0].elsewhere == "digits ratio 20"
    command = reproduce.command(short, str(tmp_path / "run"), 4)
    assert config.parse(command[3:])[0].seed == 4


def test_comparison_of_finished_runs(tmp_path):
    found = rows("9", *DIGITS)
    for row, figures in zip(found, ((80.0, 82.0), (85.0, 89.0)), strict=True):
        for seed, accuracy in enumerate(figures):
            finish(reproduce.run_dir(str(tmp_path), row, seed), accuracy)
    table = reproduce.compare(found, [0, 1], str(tmp_path))
    found = table[1]["ours"]["all"]
    assert (found.mean, found.n) == (87.0, 2) and found.sd == pytest.approx(8**0.5)
    assert "many" not in table[0]["ours"] and table[1]["best"] == 88.0
    header, lines = comparison._cells(table)
    line = dict(zip(header, lines[1], strict=True))
    assert line["run on"] == "digits ratio 20" and line["all ours"] == "87.0 ± 2.8"
    assert line["all printed"] == "43.9" and "diff" not in line
    # 5 and 7 points: 6 on average, 12.706 (Student's t, one degree of freedom) times a standard error of 1.
    assert line["gain ours"] == "+6.0 ± 12.7" and line["gain printed"] == "+8.3" and line["seconds"] == "7"


def test_tables_are_written(tmp_path, capsys):
    found = rows("F1", *DIGITS)
    for number, row in enumerate(found):
        finish(reproduce.run_dir(str(tmp_path), row, 0), 70.0 + number)
    out = tmp_path / "out"
    assert reproduce.main(["--table=F1", f"--runs={tmp_path}", f"--out={out}", *DIGITS]) == 0
    printed = capsys.readouterr().out
    assert "75.0" in printed and str(out / "table.html") in printed
    assert {p.name for p in out.iterdir()} == {"table.md", "table.html", "alpha.svg", "rows.json"}
    kept = json.loads((out / "rows.json").read_text())
    assert kept[5]["seeds"] == {"0": 75.0} and os.path.exists(kept[5]["file"].partition(":")[0])
    assert "other data than printed" in (out / "table.md").read_text()
    page = (out / "table.html").read_text()
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org", "")


def test_dry_run_lists_what_is_left(tmp_path, capsys):
    first = rows("9", *DIGITS)[0]
    finish(reproduce.run_dir(str(tmp_path), first, 0), 80.0)
    assert reproduce.main(["--table=9", "--seeds=0,1", "--dry_run", f"--runs={tmp_path}", *DIGITS]) == 0
    out = capsys.readouterr().out
    assert out.count("-m cmo_tf.main") == 4 and out.count(": finished") == 1 and "minutes for what is not" in out


@pytest.mark.parametrize("arguments, said", [
    ([], "--table: name one"), (["--table=99"], "no such table"), (["--table=x"], "no such table"),
    (["--table=9", "--seeds=a"], "--seeds=a"), (["--table=9", "--epoch=3"], "epochs"),
    (["--table=9", "--jobs=0"], "jobs")])
def test_refusals_are_one_line(arguments, said, capsys):
    assert reproduce.main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


@pytest.mark.slow
def test_a_table_is_run_and_goes_on(tmp_path, capsys):
    arguments = ["--table=9", f"--runs={tmp_path}", *DIGITS, "--max_steps=2", "--max_per_class=20", "--jobs=2"]
    assert reproduce.main(arguments) == 0
    first = capsys.readouterr()
    assert "[2/2]" in first.err
    assert reproduce.main(arguments) == 0
    second = capsys.readouterr()
    assert second.out == first.out and "[" not in second.err


@pytest.mark.slow
def test_a_row_that_fails_is_named(tmp_path, capsys):
    assert reproduce.main(["--table=9", f"--runs={tmp_path}", *DIGITS, "--dataset=folder:/nowhere"]) == 2
    assert "CutMix, seed 0: exit code 2" in capsys.readouterr().err
