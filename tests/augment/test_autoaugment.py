"""AutoAugment and RandAugment: pixels of the official code, and how often each op comes."""

import numpy as np
import pytest
import tensorflow as tf

from cmo_tf.augment import autoaugment, randaugment
from cmo_tf.core.errors import UserError

SEED = tf.constant([3, 4], tf.int64)


def test_every_sub_policy_equals_the_official_code(golden):
    arrays = golden("autoaugment")
    policy, numbers = autoaugment.AutoAugment(), tf.range(25)
    batch = np.repeat(arrays["image"][None], 25, 0)
    for sign, expected in zip(arrays["signs"], arrays["outputs"], strict=True):
        # A coin of 0 applies all but the one op of probability 0, here as there.
        drawn = policy.look_up(numbers, tf.zeros([25, 2]), tf.fill([25, 2], float(sign)))
        np.testing.assert_array_equal(policy.apply(tf.constant(batch), drawn), expected)


def test_every_op_of_randaugment_equals_the_official_code(golden):
    arrays = golden("randaugment")
    official = {"PosterizeTpu": "posterize", "SolarizeAdd": "solarize_add", "ShearX": "shear_x", "ShearY": "shear_y",
                "TranslateXRel": "translate_x", "TranslateYRel": "translate_y"}
    kind = [[randaugment.NAMES.index(official.get(name, name.lower()))] for name in arrays["names"]]
    assert len({k for k, in kind}) == 15
    policy = randaugment.RandAugment(n=1)
    columns = [tf.constant(arrays[name][:, None]) for name in ("levels", "negative", "bicubic")]
    drawn = policy.look_up(tf.constant(kind), columns[0], tf.where(columns[1], -1.0, 1.0), columns[2],
                           tf.ones([len(kind), 1], tf.bool))
    batch = np.repeat(arrays["image"][None], len(kind), 0)
    found = policy.apply(tf.constant(batch), drawn).numpy()
    for row, expected in enumerate(arrays["outputs"]):
        np.testing.assert_array_equal(found[row], expected, err_msg=f"{arrays['names'][row]} {arrays['levels'][row]}")


def test_sub_policies_come_equally_often_with_their_own_probabilities():
    rows = 50000
    found = autoaugment.AutoAugment().draw(SEED, rows)["op"].numpy()
    for place in range(2):
        expected = np.zeros(len(autoaugment.TABLE))
        for pair in autoaugment.SUB_POLICIES:
            name, probability, _ = pair[place]
            expected[autoaugment.NAMES.index(name)] += probability / 25
            expected[-1] += (1 - probability) / 25
        share = np.bincount(found[:, place], minlength=len(expected)) / rows
        np.testing.assert_allclose(share, expected, atol=0.008)


def test_signs_and_magnitudes_of_autoaugment():
    drawn = autoaugment.AutoAugment().draw(SEED, 20000)
    op, value = (drawn[name].numpy() for name in ("op", "value"))
    turns = value[op == autoaugment.NAMES.index("rotate")]
    np.testing.assert_allclose(turns, 60 / 9)  # one way only
    moves = value[op == autoaugment.NAMES.index("translate_x")]
    assert abs((moves > 0).mean() - 0.5) < 0.06 and np.abs(moves).max() == pytest.approx(150 / 331)
    assert set(value[op == autoaugment.NAMES.index("posterize")]) == {5.0}
    factors = value[op == autoaugment.NAMES.index("color")]
    assert factors.min() == pytest.approx(0.1) and factors.max() == pytest.approx(1.9)


def test_draws_of_randaugment():
    policy = randaugment.RandAugment(2, 10, 0.5)
    drawn = policy.draw(SEED, 30000)
    op, value = (drawn[name].numpy() for name in ("op", "value"))
    nothing = len(policy.table) - 1
    assert abs((op == nothing).mean() - 0.5) < 0.01
    share = np.bincount(op[op != nothing], minlength=nothing) / (op != nothing).sum()
    np.testing.assert_allclose(share[:10], 1 / 15, atol=0.006)  # no resampling to choose
    np.testing.assert_allclose(share[10:], 1 / 30, atol=0.006)  # five moves, twice
    factors = value[op == randaugment.NAMES.index("contrast")]
    assert factors.max() == pytest.approx(1.9) and abs((factors == factors.max()).mean() - 0.5) < 0.05
    assert set(value[op == randaugment.NAMES.index("posterize")]) <= {2.0, 3.0, 4.0}
    turns = value[np.isin(op, [randaugment.NAMES.index("rotate"), nothing - 5])]
    assert abs((turns > 0).mean() - 0.5) < 0.05 and np.abs(turns).max() == pytest.approx(30)
    assert np.corrcoef(op[:, 0] == 3, op[:, 1] == 3)[0, 1] < 0.02  # with replacement


@pytest.mark.parametrize("options", [{"n": 0}, {"m": 11}, {"m": -1}, {"std": -0.5}])
def test_randaugment_refuses(options):
    with pytest.raises(UserError, match="--rand_n"):
        randaugment.RandAugment(**options)
