import json

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.report import results


@pytest.fixture
def evaluated():
    predictions = Predictions([0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 1, 2], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    groups = {"many": np.array([0]), "medium": np.array([1]), "few": np.array([2, 3])}
    return results.evaluate(predictions, np.array([300, 50, 5, 1]), ["a", "b", "c", "d"], groups)


def test_evaluate_has_the_keys_of_the_run_folder(evaluated):
    assert evaluated["accuracy"] == {"all": pytest.approx(400 / 6), "many": 100.0, "medium": 50.0, "few": 50.0}
    assert evaluated["class_counts"] == [300, 50, 5, 1]
    assert evaluated["per_class"][2] == {
        "class": 2, "name": "c", "group": "few", "train_count": 5, "test_count": 2, "accuracy": 50.0}
    assert evaluated["per_class"][3]["accuracy"] is None
    assert evaluated["groups"]["few"] == {"classes": 2, "train_images": 6, "test_images": 2}
    assert evaluated["micro"] == evaluated["accuracy"]["all"]
    assert evaluated["macro"] == pytest.approx(200 / 3)
    assert evaluated["overconfidence"]["medium"] == pytest.approx(0.15)
    assert sum(evaluated["reliability"]["count"]) == 6


def test_results_round_trip_as_strict_json(tmp_path, evaluated):
    results.write_results(tmp_path, evaluated | {"loss": np.float32("nan"), "steps": np.int64(3), "name": "naïve\n|"})
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["loss"] is None
    assert results.read_results(tmp_path) == evaluated | {"loss": None, "steps": 3, "name": "naïve\n|"}


@pytest.mark.parametrize("content", [None, "", '{"accuracy": ', "[1, 2]", '{"accuracy": {}}', b"\xff\xfe"])
def test_damaged_results_name_the_file_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "results.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        results.read_results(tmp_path)
    assert str(tmp_path / "results.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    results.write_atomically(tmp_path / "x.txt", "old")
    monkeypatch.setattr(results.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        results.write_atomically(tmp_path / "x.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"


def test_history_keeps_columns_that_appear_late_and_empty_cells(tmp_path):
    rows = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": float("nan"), "all": 31.25, "few": None}]
    results.write_history(tmp_path, rows)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,loss,all,few\n1,2.5,,\n2,,31.25,\n"
    assert results.read_history(tmp_path) == [
        {"epoch": 1, "loss": 2.5, "all": None, "few": None}, {"epoch": 2, "loss": None, "all": 31.25, "few": None}]


def test_history_missing_or_empty(tmp_path):
    assert results.read_history(tmp_path) == []
    results.write_history(tmp_path, [])
    assert results.read_history(tmp_path) == []


def test_predictions_round_trip_with_equal_bytes(tmp_path):
    predictions = Predictions([1, 0], [1, 1], [0.25, 0.5])
    results.write_predictions(tmp_path, predictions)
    first = (tmp_path / "predictions.npz").read_bytes()
    results.write_predictions(tmp_path, results.read_predictions(tmp_path))
    assert (tmp_path / "predictions.npz").read_bytes() == first


# An array whose header ends in the middle of Python's syntax, which is what NumPy reads it with.
CUT_HEADER = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran\x00".ljust(118)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:40], lambda b: b[:-30], lambda b: b"not a zip",
                                    lambda b: CUT_HEADER])
def test_damaged_predictions_name_the_file(tmp_path, damage):
    results.write_predictions(tmp_path, Predictions([1], [1], [0.5]))
    path = tmp_path / "predictions.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="predictions.npz"):
        results.read_predictions(tmp_path)
