"""tools/sweep.py: which rows a queue, a grid and seeds make, what is resumed, what is kept."""

import os
from types import SimpleNamespace

import pytest

from cmo_tf import config
from cmo_tf.report import results, studies
from tools import sweep, sweep_rows

QUEUE = "# a comment\nce  --method=ce  # and another\nce_cmo --method=ce --mix=cmo\n"


@pytest.fixture
def queue(tmp_path):
    path = tmp_path / "kept" / "queue.txt"
    path.parent.mkdir()
    path.write_text(QUEUE)
    return path


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Stands for `cmo_tf.main`: leaves what a run leaves, at once; the flags of its calls, and exit codes to come."""
    found = SimpleNamespace(calls=[], codes=[])
    example = studies.read(f"{sweep.ROOT}/docs/results/cifar10lt/runs.jsonl")["full_ce"]

    def run(command, **_):
        assert command[1:3] == ["-m", "cmo_tf.main"]
        settings, _, _ = config.parse(command[3:], base=sweep.ROOT)
        found.calls.append(settings)
        if found.codes and (code := found.codes.pop(0)):
            return SimpleNamespace(returncode=code)
        os.makedirs(settings.run_dir, exist_ok=True)
        made = {key: value for key, value in example.items() if key != "history"}
        made["accuracy"] = {"all": 60.0 + 2 * settings.seed, "many": 70.0, "medium": 50.0 + settings.seed, "few": None}
        made["flags"] = vars(settings)
        results.write_results(settings.run_dir, made)
        return SimpleNamespace(returncode=0)
    monkeypatch.setattr(sweep.subprocess, "run", run)
    found.runs = tmp_path / "runs"
    return found


def main(program, *arguments):
    return sweep.main([*map(str, arguments), f"--runs={program.runs}"])


def names(program):
    return [os.path.basename(call.run_dir) for call in program.calls]


def test_a_queue_runs_in_order_and_goes_on(queue, program, capsys):
    program.codes = [0, 143]
    assert main(program, f"--queue={queue}", "--data_dir=/somewhere") == 143
    assert "ce_cmo: exit code 143" in capsys.readouterr().err
    state = (queue.parent / "state.md").read_text()
    assert f"`python tools/sweep.py --queue={queue}` goes on with it." in state
    assert "| ce | done | 3880 |" in state and "| ce_cmo | waiting | 0 |" in state and "Mean" not in state
    assert main(program, f"--queue={queue}", "--data_dir=/somewhere") == 0
    assert names(program) == ["ce", "ce_cmo", "ce_cmo"]
    assert program.calls[2].mix == "cmo" and program.calls[2].data_dir == "/somewhere"
    kept = studies.read(queue.parent / "runs.jsonl")
    assert list(kept) == ["ce", "ce_cmo"] and {"data_dir", "run_dir"}.isdisjoint(kept["ce_cmo"]["flags"])
    assert main(program, f"--queue={queue}") == 0 and len(program.calls) == 3
    assert capsys.readouterr().out.splitlines()[-1] == f"2 rows done; {queue.parent / 'state.md'}"


def test_seeds_make_a_run_each_and_means(queue, program):
    assert main(program, f"--queue={queue}", "--seeds=0,1,2") == 0
    assert names(program) == ["ce-s0", "ce_cmo-s0", "ce-s1", "ce_cmo-s1", "ce-s2", "ce_cmo-s2"], "seed after seed"
    assert [call.seed for call in program.calls] == [0, 0, 1, 1, 2, 2]
    state = (queue.parent / "state.md").read_text()
    assert "| ce_cmo | 3 of 3 | 62.00 ± 2.00 | 70.00 ± 0.00 | 51.00 ± 1.00 | - |" in state
    assert "--seeds=0,1,2` goes on" in state
    kept = studies.read(queue.parent / "runs.jsonl")
    studies.write(queue.parent / "runs.jsonl", {name: run for name, run in kept.items() if name != "ce-s2"})
    program.codes = [1]
    assert main(program, f"--queue={queue}", "--seeds=0,1,2") == 1
    assert "| ce | 2 of 3 | 61.00 ± 1.41 |" in (queue.parent / "state.md").read_text()


def test_a_row_that_is_there_is_its_own_seed(queue, program):
    assert main(program, f"--queue={queue}") == 0
    assert main(program, f"--queue={queue}", "--seeds=1,0") == 0
    assert names(program) == ["ce", "ce_cmo", "ce-s1", "ce_cmo-s1"]
    assert "| ce | 2 of 2 |" in (queue.parent / "state.md").read_text()


def test_a_grid_of_flags(program, tmp_path):
    arguments = ["--grid=method=ce,bs mix=none,cmo lr=0.1", f"--out={tmp_path / 'out'}", "--seeds=3",
                 "--epochs=7", "--nodownload"]
    assert main(program, *arguments) == 0
    assert names(program) == [f"method_{m}-mix_{x}-lr_0.1-s3" for m in ("ce", "bs") for x in ("none", "cmo")]
    assert [(c.method, c.mix, c.lr, c.seed) for c in program.calls] == [
        (m, x, 0.1, 3) for m in ("ce", "bs") for x in ("none", "cmo")]
    assert all(call.epochs == 7 and not call.download for call in program.calls)
    state = (tmp_path / "out" / "state.md").read_text()
    assert "'--grid=method=ce,bs mix=none,cmo lr=0.1'" in state and "--epochs=7" in state
    assert main(program, *arguments) == 0 and len(program.calls) == 4


def test_a_queue_times_a_grid(queue, program):
    assert main(program, f"--queue={queue}", "--grid=lr=0.1,0.05") == 0
    assert names(program) == [f"{row}-lr_{rate}" for row in ("ce", "ce_cmo") for rate in ("0.1", "0.05")]
    assert [call.mix for call in program.calls] == ["none", "none", "cmo", "cmo"]


def test_names_are_plain_folder_names():
    (name, flags), = sweep_rows.grid("dataset=folder:/a/b model=resnet20")
    assert name == "dataset_folder_a_b-model_resnet20" and flags == ["--dataset=folder:/a/b", "--model=resnet20"]


@pytest.mark.parametrize("arguments, said", [
    ([], "--queue: name a queue file"), (["--grid=mix=cmo"], "--out: with --grid alone"),
    (["--queue=nowhere.txt"], "--queue=nowhere.txt: cannot be read"), (["--queue=Q", "--seeds=a"], "--seeds=a"),
    (["--queue=Q", "--grid=mix"], "--grid=mix: write flags"), (["--queue=Q", "--grid=mix=cmo,cmo"], "write flags with"),
    (["--queue=Q", "--grid=mix=cmo mix=none"], "names no flag, or one twice"), (["--queue=Q", "x"], "'x' is no flag"),
    (["--queue=Q", "--epoch=3"], "ce: --epoch: no such flag"),
    (["--queue=Q", "--grid=mix=cmoo"], "ce-mix_cmoo: --mix")])
def test_refusals_are_one_line_before_anything_runs(queue, program, capsys, arguments, said):
    assert main(program, *(a.replace("=Q", f"={queue}") for a in arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0], lines
    assert not program.calls and not (queue.parent / "state.md").exists()


@pytest.mark.parametrize("text, said", [
    ("", "holds no row"), ("--mix=cmo", ":1: a row is a name"), ("a b", ":1: a row is a name"),
    ("a\na", ":2: the name 'a' stands there twice"), ("a/b", "is no plain folder name"), ("a 'x", "No closing")])
def test_bad_lines_of_a_queue_are_named(queue, program, capsys, text, said):
    queue.write_text(text)
    assert main(program, f"--queue={queue}") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]


@pytest.mark.slow
def test_a_real_sweep_of_two_seeds_is_compared(tmp_path, capsys):
    from tools import compare_runs
    arguments = ["--grid=mix=none,cmo", "--seeds=0,1", f"--out={tmp_path / 'kept'}", f"--runs={tmp_path / 'runs'}",
                 f"--flagfile={sweep.ROOT}/flags/digits_recipe.cfg", "--max_per_class=20", "--max_steps=4"]
    assert sweep.main(arguments) == 0
    assert "| mix_cmo | 2 of 2 |" in (tmp_path / "kept" / "state.md").read_text()
    assert compare_runs.main([str(tmp_path / "kept/runs.jsonl")]) == 0
    assert "\nmix_cmo " in capsys.readouterr().out
