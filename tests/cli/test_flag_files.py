"""The files of flags/: each trains, and says what to expect."""

import re

import numpy as np
import pytest

from cmo_tf import config
from cmo_tf.config import flagfile
from cmo_tf.report import studies
from tests.support.program import ROOT
from tests.support.row_steps import combination, two_steps

FILES = sorted((ROOT / "flags").glob("*.cfg"))
ROWS = [f for f in FILES if "_" in f.stem and not f.stem.endswith("_recipe")]
# The CMO paper, Table 2, CIFAR-100-LT at ratio 100; that of BS alone is taken over from LADE.
PRINTED = {"ce": 38.6, "ce_cmo": 43.9, "ce_drw": 41.1, "ce_drw_cmo": 47.0, "ldam_drw": 41.7, "ldam_drw_cmo": 47.2,
           "bs": 45.1, "bs_cmo": 46.6}
TABLE = [f"{dataset}lt_{name}" for dataset in ("cifar10", "cifar100") for name in PRINTED]
SETTINGS = {f.stem: config.parse([f"--flagfile={f}"])[0] for f in FILES}


# Combination of choices -> the first file that has it.
COMBINATIONS = {combination(settings): stem for stem, settings in reversed(SETTINGS.items())}


def slow_on_large_sets(stem):
    """Recipes for large pictures take long to trace; of each set the plain one is in the fast suite."""
    large = SETTINGS[stem].dataset in ("imagenet_lt", "inaturalist2018")
    slow = large and stem not in ("imagenet_lt_recipe", "inat2018_recipe")
    return pytest.param(stem, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("stem", [slow_on_large_sets(stem) for stem in sorted(COMBINATIONS.values())])
def test_every_combination_of_choices_takes_two_steps(stem, tiny_flags):
    settings, _, _ = config.parse([f"--flagfile={ROOT / 'flags' / stem}.cfg", *tiny_flags(SETTINGS[stem].dataset)])
    losses, moved = two_steps(settings)
    assert np.isfinite(losses).all() and min(losses) > 0
    # A branch of BBN rests where its share is 0.
    assert len(moved) > 50 and (min(moved) > 0 or settings.method == "bbn" and np.mean([m > 0 for m in moved]) > 0.9)


@pytest.mark.parametrize("path", ROWS, ids=lambda p: p.stem)
def test_rows_are_short_and_say_what_to_expect(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 6
    comment = " ".join(line for line in lines if line.startswith("#"))
    assert f"--flagfile=flags/{path.name}" in comment
    assert "paper" in comment


@pytest.mark.parametrize("stem", TABLE)
def test_a_row_for_each_method_with_and_without_cmo(stem):
    dataset, name = stem.split("lt_")
    method, settings = name.removesuffix("_cmo"), SETTINGS[stem]
    assert (settings.dataset, settings.imbalance_ratio, settings.method) == (dataset, 100, method)
    assert settings.loss == method.split("_")[0]
    assert settings.reweight == ("drw" if method.endswith("_drw") else "none")
    assert settings.mix == ("cmo" if name.endswith("_cmo") else "none")
    told = f"Table 2, prints {PRINTED[name]}" if dataset == "cifar100" else "prints no CIFAR-10-LT figure"
    assert told in (ROOT / "flags" / f"{stem}.cfg").read_text()


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_the_headline_file_is_the_row_of_ce_drw_and_cmo(dataset):
    assert SETTINGS[f"{dataset}lt"] == SETTINGS[f"{dataset}lt_ce_drw_cmo"]


@pytest.mark.parametrize("stem", [*TABLE, "cifar10lt_recipe", "cifar100lt_recipe"])
def test_the_recipe_is_the_published_one(stem):
    from cmo_tf.run.timeline import Timeline
    settings = SETTINGS[stem]
    timeline = Timeline(settings, 85)
    assert (settings.epochs, settings.batch_size, settings.model) == (200, 128, "resnet32")
    assert (settings.momentum, settings.nesterov, settings.l2, settings.drop_remainder) == (0.9, False, 2e-4, False)
    rates = [timeline.lr(epoch) for epoch in (0, 4, 5, 159, 160, 179, 180, 199)]
    np.testing.assert_allclose(rates, [0.02, 0.1, 0.1, 0.1, 1e-3, 1e-3, 1e-5, 1e-5])
    assert timeline.reweight_start in (None, 160) and settings.reweight_beta == 0.9999
    assert (settings.probability, settings.alpha, settings.q_power, settings.q_level) == (0.5, 1, 1, "image")
    assert timeline.mix_epochs == (4, 197) and not timeline.warnings()


@pytest.mark.parametrize("name", SETTINGS)
def test_flags_round_trip(name):
    settings = SETTINGS[name]
    assert config.parse(settings.arguments(everything=True))[0] == settings


def test_quickstart_header_says_what_to_expect():
    text = (ROOT / "flags" / "quickstart.cfg").read_text()
    assert re.search(r"^# .*between \d\d and \d\d %", text, re.MULTILINE)


def test_results_of_committed_runs_parse():
    """The flags of every kept run are ones that this version reads."""
    for path in (ROOT / "docs" / "results").rglob("*.jsonl"):
        for run in studies.read(path).values():
            flags = {name: tuple(value) if isinstance(value, list) else value for name, value in run["flags"].items()
                     if f"--no{name}" not in flagfile.FORMER or value}
            assert config.Config(**flags).dataset == run["flags"]["dataset"] and run["accuracy"]["all"]
