"""--early_stop and --keep=best: decided by the history alone, exact across an interruption, said in the report."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from cmo_tf.config import parse
from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.metrics import Predictions
from cmo_tf.run import early_stop, finished, run

FLAGS = ("--dataset=digits", "--max_per_class=20", "--val_fraction=0.2", "--epochs=12", "--batch_size=64",
         "--warmup_epochs=0", "--lr=1e-9", "--model=resnet20", "--early_stop=2", "--nodownload")


def history(*values, every=1):
    return [{"epoch": k + 1} | ({"val_balanced": v} if (k + 1) % every == 0 else {}) for k, v in enumerate(values)]


@pytest.mark.parametrize("values,every,expected", [
    ((), 1, False), ((10,), 1, False), ((10, 10, 10), 1, False), ((10, 9, 8, 10), 1, True),
    ((10, 9, 8, 11), 1, False), ((10, 11, 12, 12 + 1e-12, 12, 12), 1, True), ((0, 0, 0, 0), 1, True),
    ((1, 5, 1, 4, 1, 3), 2, True), ((1, 5, 1, 4), 2, False)])
def test_three_epochs_without_improvement(values, every, expected):
    config = dataclasses.replace(parse(["--val_fraction=0.1"])[0], early_stop=3)
    assert early_stop.due(config, history(*values, every=every)) is expected
    assert early_stop.due(dataclasses.replace(config, early_stop=0), history(*values, every=every)) is False


def test_validation_is_judged_by_classes():
    labels, predicted = np.array([0] * 8 + [1] * 2), np.array([0] * 8 + [0, 1])
    assert early_stop.score(Predictions(labels, predicted, np.ones(10)), 2) == 75.0


@pytest.mark.parametrize("flags,words", [
    (["--early_stop=3"], "--early_stop=3.*--val_fraction"), (["--keep=best"], "--keep=best.*--val_fraction"),
    (["--early_stop=3", "--val_fraction=0.1", "--method=crt"], "--method=crt"),
    (["--keep=best", "--val_fraction=0.1", "--method=mislas"], "--method=mislas"),
    (["--early_stop=3", "--val_fraction=0.1", "--strategy=multiworker"], "multiworker"),
    (["--early_stop=-1"], "--early_stop=-1")])
def test_contradictions(flags, words):
    with pytest.raises(UserError, match=words):
        parse(flags)


@pytest.fixture
def tiny(monkeypatch):
    """Runs with a network that compiles in a moment."""
    def network(num_classes, input_shape, head="linear", seed=None):
        images = keras.Input(input_shape)
        features = keras.layers.Flatten(name="features")(images)
        initializer = keras.initializers.RandomNormal(0, 0.02, seed=seed)
        return keras.Model(images, keras.layers.Dense(num_classes, kernel_initializer=initializer)(features))
    monkeypatch.setattr("cmo_tf.models.resnet_cifar.resnet20", network)


def read(folder):
    return json.loads((folder / "results.json").read_text())


def test_a_run_that_gets_no_better_stops(tiny, tmp_path):
    """The rate is so small that nothing changes: two epochs after the first it is over."""
    config = parse([*FLAGS])[0]
    found = run.train(config, str(tmp_path / "a"))
    assert found["epochs"] == 3 and found["stopped_early"] and found["kept"] == {"which": "last", "epoch": 3}
    report = (tmp_path / "a" / "report.md").read_text()
    assert "stopped after epoch 3 of 12" in report and "2 epochs brought nothing better" in report
    assert "(--early_stop)" in (tmp_path / "a" / "log.txt").read_text()
    before = (tmp_path / "a" / "results.json").read_bytes()
    run.train(config, str(tmp_path / "a"))  # finished: nothing to do
    assert (tmp_path / "a" / "results.json").read_bytes() == before


@pytest.mark.slow
def test_interrupted_and_resumed_it_stops_where_it_would_have(tiny, tmp_path):
    flags = [*FLAGS, "--lr=0.05", "--early_stop=3", "--keep=best", "--checkpoint_every=5"]
    whole = run.train(parse(flags)[0], str(tmp_path / "whole"))
    for steps in (3, 9):
        run.train(parse([*flags, f"--max_steps={steps}"])[0], str(tmp_path / "cut"))
    cut = run.train(parse(flags)[0], str(tmp_path / "cut"))
    assert cut["resumed_from_steps"] == [3, 9]
    assert [cut[k] for k in ("accuracy", "epochs", "kept", "best", "stopped_early")] == \
        [whole[k] for k in ("accuracy", "epochs", "kept", "best", "stopped_early")]
    for name in ("predictions.npz",):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


@pytest.mark.slow
def test_the_best_epoch_is_kept(tiny, tmp_path):
    """The first epoch is good, a rate far too large after its drop spoils the rest: the kept model is the first's."""
    flags = [*FLAGS, "--lr=0.05", "--lr_drops=0.3", "--lr_factor=1", "--early_stop=0", "--epochs=6"]
    last, best = (run.train(parse([*flags, f"--keep={keep}"])[0], str(tmp_path / keep)) for keep in ("last", "best"))
    assert best["best"] == last["best"] and best["kept"]["which"] == "best"
    assert best["kept"]["epoch"] == best["best"]["epoch"] and best["accuracy"] == best["best"]["accuracy"]
    found = finished.evaluate(str(tmp_path / "best"), parse([*flags, "--keep=best"])[0])
    assert found["accuracy"] == read(tmp_path / "best")["accuracy"]
    assert f"epoch {best['kept']['epoch']}, best on validation" in (tmp_path / "best" / "report.html").read_text()
