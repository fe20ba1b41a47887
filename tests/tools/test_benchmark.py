"""tools/maintain/benchmark.py: every sub-benchmark runs, prints its table and writes its figures; no times."""

import json
import os
import stat
import sys

import pytest

from tools.maintain import benchmark
from tools.maintain.benchmarks import against, material, rounds

SMALL = ["--model=resnet20", "--images=60", "--batch_size=4", "--steps=1", "--rounds=1", "--nodeterministic"]


def test_sub_benchmarks_run_and_print(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert benchmark.main([*SMALL, "--what=stream,evaluation,checkpoint,split", f"--json={path}"]) == 0
    printed, found = capsys.readouterr().out, json.loads(path.read_text())
    assert found["machine"]["cores"] >= 1 and found["peak_rss_bytes"] > 0
    assert list(found["stream"]["per_second"]) == ["P", "P+Q pairs"] and "P+Q pairs over P" in found["stream"]["ratios"]
    assert "graphs traced: 1" in printed and "of an epoch of 97 steps" in printed and "437,513 images" in printed
    for name in ("stream", "evaluation", "checkpoint", "split"):
        assert f"\n{name}, {found[name]['unit']}/s" in printed
        for row in found[name]["per_second"].values():
            assert row["low"] <= row["median"] <= row["high"]


@pytest.mark.slow
def test_the_long_ones_run_too(capsys):
    assert benchmark.main([*SMALL, "--what=step,variants,mix,startup,decode"]) == 0
    printed = capsys.readouterr().out
    for told in ("GFLOP an image", "JPEG: time with CMO over plain", "import cmo_tf alone", "random resized crop",
                 "Keras' batch normalisation"):
        assert told in printed


def test_the_torch_process_takes_turns(tmp_path, capsys):
    """With a stand-in for a Python that has torch: what is shown is what it says."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(dict(torch='9.9')), flush=True)\n"
                      "for line in sys.stdin:\n    print(json.dumps([1000, 1.0, 2.0]), flush=True)\n")
    os.chmod(python, stat.S_IRWXU)
    assert benchmark.main([*SMALL, "--against=torch", "--what=stream", f"--torch_python={python}"]) == 0
    printed = capsys.readouterr().out
    assert "two DataLoaders, no worker" in printed and "ours over two DataLoaders, a worker each: " in printed


def test_what_is_missing_is_said_in_a_line(tmp_path, capsys):
    poor = tmp_path / "python"
    poor.write_text(f"#!{sys.executable} -S\nraise ModuleNotFoundError(\"No module named 'torch'\")\n")
    os.chmod(poor, stat.S_IRWXU)
    cases = ((["--what=steps"], "--what=steps: there are stream, step,"), (["step"], "'step' is no flag"),
             (["--against=torch", "--what=mix"], "--what=mix: there are step, stream"),
             (["--against=torch", "--model=resnet50"], "--model=resnet50: --against=torch has resnet20"),
             (["--against=torch", f"--torch_python={poor}"], "No module named 'torch'"),
             (["--against=torch", "--torch_python=/no/python"], "--torch_python=/no/python: No such file"))
    for arguments, told in cases:
        assert benchmark.main([*SMALL, *arguments]) == 2, arguments
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and told in said[0], said


def test_flops_of_a_network():
    """ResNet-32 multiplies 69.1 million times for an image, as is often printed for it; training takes three times."""
    from cmo_tf import models
    assert 0.41e9 < material.training_flops(models.create("resnet32", 10)) < 3 * 2 * 69.2e6


def test_ratios_are_taken_round_by_round():
    stretches = {"a": [rounds.Stretch(10, 1, 2), rounds.Stretch(10, 2, 2)],
                 "b": [rounds.Stretch(10, 2, 4), rounds.Stretch(10, 8, 4)]}
    found = rounds.summary(rounds.Bench("things", {}, {"a over b": ("a", "b")}), stretches)
    assert found["ratios"]["a over b"] == {"clock": {"median": 3, "low": 2, "high": 4},
                                           "processor": {"median": 2, "low": 2, "high": 2}}
    assert against.AGAINST_MODELS == ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
