"""Studies: runs come back from a file as they were, whatever they share; damage is named with its line."""

import json

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.long_tail import shot_groups
from cmo_tf.report import comparison, results, studies


def make_run(folder, seed, right):
    """A run folder whose test images are right by `right`, bool (N,)."""
    labels = np.arange(len(right)) % 2
    predictions = Predictions(labels, np.where(right, labels, 1 - labels), np.full(len(right), 0.75))
    kept = results.evaluate(predictions, [9, 3], ["a", "b"], shot_groups([9, 3]))
    folder.mkdir()
    results.write_results(folder, {**kept, "seed": seed, "steps": 4,
                                   "flags": {"seed": seed, "mix": "cmo", "run_dir": str(folder)}})
    results.write_history(folder, [{"epoch": 1, "all": 40.0, "few": None}, {"epoch": 2, "all": 50.0, "few": 1.5}])
    results.write_predictions(folder, predictions)
    return folder


@pytest.fixture
def study(tmp_path):
    """A study of two seeds, its path and what was right."""
    right = np.random.default_rng(0).random((2, 21)) < 0.6
    path = tmp_path / "runs.jsonl"
    for seed in (0, 1):
        studies.add(path, f"cmo-s{seed}", make_run(tmp_path / f"run{seed}", seed, right[seed]), without=("run_dir",))
    return path, right


def test_runs_come_back(study, tmp_path):
    path, right = study
    runs = studies.read(path)
    assert list(runs) == ["cmo-s0", "cmo-s1"]
    for seed, run in enumerate(runs.values()):
        kept = results.read_results(tmp_path / f"run{seed}")
        assert run["flags"] == {"seed": seed, "mix": "cmo"} and run["steps"] == 4
        assert run["accuracy"]["all"] == pytest.approx(kept["accuracy"]["all"], abs=1e-6)
        assert run["history"] == {"epoch": [1, 2], "all": [40, 50], "few": [None, 1.5]}
        np.testing.assert_array_equal(studies.correct(run), right[seed])
    first = json.loads(path.read_text().splitlines()[0])
    assert first["shared"]["flags"] == {"mix": "cmo"} and "seed" not in first["shared"]


def test_a_run_of_the_same_name_takes_the_place(study, tmp_path):
    path, right = study
    studies.add(path, "cmo-s0", tmp_path / "run1")
    runs = studies.read(path)
    assert list(runs) == ["cmo-s0", "cmo-s1"] and runs["cmo-s0"]["seed"] == 1
    np.testing.assert_array_equal(studies.correct(runs["cmo-s0"]), right[1])


def test_a_study_is_compared_like_folders(study):
    path, _ = study
    runs, left_out = comparison.read([str(path), f"{path}:cmo-s0"], {})
    assert [run.name for run in runs] == ["cmo-s0", "cmo-s1"] and not left_out
    with pytest.raises(UserError, match="runs.jsonl:cmo-s7: no such run; there are cmo-s0, cmo-s1"):
        comparison.read([f"{path}:cmo-s7"], {})


@pytest.mark.parametrize("line", ["{", "[]", '{"name": "a"}', '{"accuracy": {}, "per_class": []}',
                                  '{"name": "cmo-s0", "accuracy": {}, "per_class": []}'])
def test_damage_is_named_with_its_line(study, line):
    path, _ = study
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=r"runs.jsonl:4: is no line of a study"):
        studies.read(path)


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(UserError, match="runs.jsonl: cannot be read"):
        studies.read(tmp_path / "runs.jsonl")
