"""tools/maintain/model_zoo.py: the page is what is kept, rows without a result included."""

import pytest

from cmo_tf.report import studies
from tools.maintain import model_zoo


def test_the_page_is_current(capsys, monkeypatch, tmp_path):
    assert model_zoo.main(["--check"]) == 0
    monkeypatch.setattr(model_zoo, "PAGE", tmp_path / "zoo.md")
    assert model_zoo.main(["--check"]) == 1 and "run python tools/maintain/model_zoo.py" in capsys.readouterr().err
    assert model_zoo.main([]) == 0 and model_zoo.main(["--check"]) == 0
    assert model_zoo.main(["--chekc"]) == 2 and "--chekc" in capsys.readouterr().err


def test_rows_without_a_result_stay_listed(tmp_path, monkeypatch):
    kept = tmp_path / "docs/results/mine"
    kept.mkdir(parents=True)
    runs = studies.read(model_zoo.RESULTS / "cifar10lt/runs.jsonl")
    studies.write(kept / "runs.jsonl", {"done": runs["full_ce_cmo"]})
    (kept / "queue.txt").write_text("done --method=ce --mix=cmo --imbalance_ratio=100 --dataset=cifar10\n"
                                    "left --method=ce --mix=cutmix --epochs=3\n")
    lines = model_zoo.queue_section(kept / "queue.txt").splitlines()
    assert "1 of 2 rows" in lines[0]
    done, left = lines[-2:]
    assert "64.28" in done and "| - |" in done and "12,406" in done and "71.12" in done
    assert "not run yet" in left and "`--method=ce --mix=cutmix --epochs=3`" in left


@pytest.mark.parametrize("flags, figure", [
    (["--flagfile=flags/cifar10lt_ce_cmo.cfg"], "43.9 (Table 2)"),
    (["--flagfile=flags/cifar10lt_quick_recipe.cfg", "--method=ce", "--mix=cmo_minor"], "37.9 (Table 11)"),
    (["--flagfile=flags/cifar10lt_quick_recipe.cfg", "--method=ce", "--mix=cmo_minor", "--alpha=3"], "")])
def test_printed_figures_are_those_of_the_same_method(flags, figure, monkeypatch):
    monkeypatch.chdir(model_zoo.ROOT)
    assert model_zoo.printed(flags) == figure
