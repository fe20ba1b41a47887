"""Learning rates at the published epochs and at lengths nobody published."""

import math

import pytest

from cmo_tf import config
from cmo_tf.core.errors import UserError
from cmo_tf.optim.schedules import SCHEDULES, cosine_schedule, epoch_at, step_schedule
from cmo_tf.run.timeline import Timeline
from tests.support.program import ROOT


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 0.02), (4, 0.1), (5, 0.1), (159, 0.1), (160, 1e-3), (179, 1e-3), (180, 1e-5), (199, 1e-5)]
)
def test_published_steps(epoch, rate):
    assert step_schedule(epoch, base_lr=0.1, epochs=200) == pytest.approx(rate, rel=1e-12)


def test_drops_scale_with_the_length():
    rates = [step_schedule(epoch, base_lr=1.0, epochs=40) for epoch in range(40)]
    assert rates[31] == 1 and rates[32] == rates[35] == 0.01 and rates[36] == pytest.approx(1e-4)
    assert step_schedule(75, base_lr=1.0, epochs=200, drops=(75 / 200, 0.8), factor=0.1) == pytest.approx(0.1)


def test_warm_up_goes_first():
    assert step_schedule(0, base_lr=0.1, epochs=1) == pytest.approx(0.02)
    assert step_schedule(3, base_lr=0.1, epochs=4) == pytest.approx(0.08)
    assert step_schedule(0, base_lr=0.1, epochs=1, warmup_epochs=0) == pytest.approx(0.1)


def test_cosine_from_peak():
    """The official code of the 400-epoch recipes: warm-up `lr * (e + 1) / 10`, then a cosine of `(e - 9) / (E - 9)`."""
    rates = [SCHEDULES["cosine_from_peak"](e, base_lr=0.02, epochs=400, warmup_epochs=10) for e in range(400)]
    assert rates[:10] == pytest.approx([0.002 * (e + 1) for e in range(10)])
    assert rates[10:] == pytest.approx([0.01 * (1 + math.cos(math.pi * (e - 9) / 391)) for e in range(10, 400)])


@pytest.mark.parametrize(("recipe", "lr"), [("paco", 0.05), ("long", 0.1)])
def test_the_warm_up_of_400_epochs_on_cifar_runs_one_epoch_further(recipe, lr):
    """Its official code on CIFAR: `epoch <= 10` climbs, epochs above 320 and 360 drop."""
    settings = config.parse([f"--flagfile={ROOT}/flags/cifar100lt_{recipe}_recipe.cfg"])[0]
    timeline = Timeline(settings, 84)
    rates = [timeline.lr(epoch) for epoch in (0, 9, 10, 11, 320, 321, 360, 361, 399)]
    assert rates == pytest.approx([lr * share for share in (0.1, 1, 1.1, 1, 1, 0.1, 0.1, 0.01, 0.01)])
    assert SCHEDULES["step_inclusive"](0, base_lr=0.1, epochs=5, warmup_epochs=0) == pytest.approx(0.1)


def test_cosine():
    rates = [cosine_schedule(epoch, base_lr=0.1, epochs=20, warmup_epochs=5) for epoch in range(20)]
    assert rates[:6] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])
    assert rates[5:] == sorted(rates[5:], reverse=True) and rates[-1] > 0
    plain = cosine_schedule(7, base_lr=0.1, epochs=20, warmup_epochs=0)
    assert plain == pytest.approx(0.05 * (1 + math.cos(math.pi * 7 / 20)))
    assert cosine_schedule(19, base_lr=0.1, epochs=20, final_lr=0.05) >= 0.05


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 6, 17, 200])
def test_every_schedule_at_every_length(name, epochs):
    for epoch in range(epochs):
        rate = SCHEDULES[name](epoch, base_lr=0.1, epochs=epochs, warmup_epochs=5)
        ends_at_zero = name == "cosine_ahead" and epoch == epochs - 1
        most = 0.12 if name == "step_inclusive" and epoch == 5 else 0.1
        assert 0 <= rate <= most + 1e-12 and (rate > 0 or ends_at_zero)
    for bad in (-1, epochs):
        with pytest.raises(UserError, match="epoch"):
            SCHEDULES[name](bad, base_lr=0.1, epochs=epochs)
    with pytest.raises(UserError, match="--warmup_epochs"):
        SCHEDULES[name](0, base_lr=0.1, epochs=epochs, warmup_epochs=-1)


def test_epoch_at():
    assert [epoch_at(0.8, epochs) for epochs in (200, 40, 3, 1)] == [160, 32, 2, 1]
    assert epoch_at(0.5, 5) == epoch_at(0.5, 6) == 3
