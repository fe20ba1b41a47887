"""CIFAR-100-LT by the headline flag file, on a small set of the true layout."""

import numpy as np
import pytest

from cmo_tf.report.results import read_results
from tests.support.program import ROOT, program

FLAGFILE = "--flagfile=flags/cifar100lt.cfg"


@pytest.fixture(scope="module")
def one_epoch(tiny, tmp_path_factory):
    """The command with nothing but a directory and a length added, written as in the shell, `--flagfile FILE`."""
    run_dir = tmp_path_factory.mktemp("cifar100lt") / "run"
    return run_dir, program("--flagfile", "flags/cifar100lt.cfg", "--data_dir", tiny, "--epochs=1",
                            f"--run_dir={run_dir}")


def test_it_runs_to_its_report(one_epoch):
    run_dir, ended = one_epoch
    assert ended.code == 0, ended.err
    assert ended.out.startswith("accuracy: all=")
    assert (run_dir / "report.html").stat().st_size > 50_000
    found = read_results(str(run_dir))
    assert (found["flags"]["model"], found["flags"]["batch_size"], found["epochs"]) == ("resnet32", 128, 1)
    assert len(found["class_counts"]) == len(found["per_class"]) == 100
    assert found["class_counts"][0] == 100 and found["class_counts"][-1] == 1
    assert found["accuracy"]["many"] is None and found["groups"]["many"]["classes"] == 0


def test_a_run_too_short_for_its_window_warns_in_one_line(one_epoch):
    lines = [line.split(" ", 2)[2] for line in (one_epoch[0] / "log.txt").read_text().splitlines()]
    warned = [line for line in lines if line.startswith("warning: --mix=cmo")]
    assert warned == ["warning: --mix=cmo: 1 epochs leave none between --mix_skip_first=4 and --mix_skip_last=3; "
                      "training unmixed"]
    assert sum(line.startswith("warning: ") for line in lines) == len({w for w in lines if w.startswith("warning")})


def test_the_split_is_that_of_the_ratio(tiny):
    """Another ratio by flag; the smaller subset is contained in the larger one."""
    from cmo_tf import config
    from cmo_tf.run import data
    chosen = {}
    for ratio in (100, 10):
        settings, _, _ = config.parse([FLAGFILE, f"--data_dir={tiny}", f"--imbalance_ratio={ratio}", "--nodownload"])
        found = data.load(settings)
        assert found.counts.max() == 100 and found.counts.min() == 100 // ratio
        chosen[ratio] = {image.tobytes() for image in found.train.images}
        assert len(found.groups["few"]) == np.sum(found.counts < 20)
    assert chosen[100] < chosen[10]


def test_without_data_one_line_names_the_ways_out(tmp_path, monkeypatch):
    missing = tmp_path / "nothing"
    for flag in ("--nodownload", "--download"):
        monkeypatch.setattr("requests.get", no_network)
        ended = program(FLAGFILE, f"--data_dir={missing}", flag, f"--run_dir={tmp_path / 'run'}")
        assert ended.code == 2 and ended.out == ""
        last = ended.err.splitlines()[-1]
        for way in ("cifar100", "--data_dir=DIR", "tools/prepare_data.py", "--download"):
            assert way in last
    assert len(ended.err.splitlines()) == 2  # that it tries to download, and that it could not


def test_nodownload_is_one_line(tmp_path):
    ended = program(FLAGFILE, f"--data_dir={tmp_path}", "--nodownload", f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and ended.err.count("\n") == 1


def no_network(*_, **__):
    import requests
    raise requests.ConnectionError("no network")


def test_the_command_is_the_one_that_the_readme_names():
    assert "python -m cmo_tf.main --flagfile=flags/cifar100lt.cfg" in (ROOT / "README.md").read_text()
