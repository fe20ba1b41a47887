"""From flags to losses: every loss by its flags, methods, idle flags, and a whole run of one that needs the most."""

import json

import numpy as np
import pytest

from cmo_tf import config, main
from cmo_tf.callbacks import LossPhase, Reweight
from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.losses import LOSSES
from cmo_tf.methods import METHODS
from cmo_tf.report.results import read_history
from cmo_tf.run.timeline import Timeline

COUNTS = [50, 20, 7, 2]


def parsed(*arguments):
    return config.parse(list(arguments))[0]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_flags_reach_the_loss(name):
    kind = LOSSES[name]
    defaults = config.Config()
    values = {flag: i + 1 if isinstance(getattr(defaults, flag), int) else 0.25 * (i + 1)
              for i, flag in enumerate(kind.flags.values())}
    given = parsed(f"--loss={name}", *(f"--{flag}={value}" for flag, value in values.items()))
    made = build.loss(given, COUNTS)
    assert type(made) is kind and made.num_classes == 4
    for option, flag in kind.flags.items():
        assert getattr(made, option) == values[flag]


@pytest.mark.parametrize(("loss", "flag"), [("ce", "focal_gamma"), ("ldam", "label_smoothing"), ("bs", "ib_start")])
def test_a_flag_of_another_loss_is_refused(loss, flag):
    with pytest.raises(UserError, match=f"--{flag}=0.25 does nothing with --loss={loss}"):
        build.loss(parsed(f"--loss={loss}", f"--{flag}=0.25"), COUNTS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods_stand_for_their_flags(name):
    given = parsed(f"--method={name}")
    for flag, value in METHODS[name].flags.items():
        assert getattr(given, flag) == value
    assert build.loss(given, COUNTS).num_classes == 4
    assert parsed(*given.arguments()) == given


def test_a_contradiction_names_both():
    with pytest.raises(UserError, match="ib stands for --lr_drops=0.5,0.8,0.9 and contradicts --lr_drops=0.8,0.9"):
        parsed("--method=ib", "--lr_drops=0.8,0.9")


def test_course_of_the_influence_balanced_recipe():
    given = parsed("--method=ib")
    timeline = Timeline(given, 1)
    rates = [timeline.lr(epoch) for epoch in (99, 100, 159, 160, 179, 180, 199)]
    np.testing.assert_allclose(rates, [0.1, 1e-3, 1e-3, 1e-5, 1e-5, 1e-7, 1e-7])
    assert [timeline.course(epoch)[3] for epoch in (0, 99, 100, 199)] == [False, False, True, True]
    reweight, phase = build.callbacks(given, COUNTS, timeline)
    assert isinstance(reweight, Reweight) and reweight.start_epoch == 0
    assert isinstance(phase, LossPhase) and phase.start_epoch == 100
    assert build.callbacks(parsed("--loss=ce"), COUNTS, Timeline(parsed("--loss=ce"), 1)) == []
    late = Timeline(parsed("--method=ib", "--epochs=10", "--ib_start=10", "--mix=none"), 1)
    assert any("--loss=ib" in line and "cross-entropy" in line for line in late.warnings())


def test_a_run_and_its_evaluation_with_phases_features_and_a_test_prior(tmp_path, capsys):
    arguments = ["--dataset=digits", "--imbalance_ratio=10", "--max_per_class=12", "--model=resnet20", "--method=ib",
                 "--epochs=2", "--batch_size=32", "--warmup_epochs=0", "--mix=cmo", "--mix_skip_first=0",
                 "--mix_skip_last=0", "--test_prior=uniform", f"--run_dir={tmp_path / 'run'}"]
    assert main.main(arguments) == 0
    line = next(line for line in reversed(capsys.readouterr().out.splitlines()) if line.startswith("accuracy:"))
    assert main.main(["--mode=eval", f"--run_dir={tmp_path / 'run'}"]) == 0
    assert line in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["flags"]["loss"] == "ib" and results["epochs"] == 2
    losses = [row["loss"] for row in read_history(tmp_path / "run")]
    assert np.isfinite(losses).all() and losses[1] > 2 * losses[0]  # the second epoch has the factor of 1000
