"""Random undersampling: the draws of imbalanced-learn, epochs of N images, and what it does not go with."""

from pathlib import Path

import numpy as np
import pytest

from cmo_tf import config
from cmo_tf.core.errors import UserError
from cmo_tf.pipeline import train_stream
from cmo_tf.sampling.samplers import epoch_order
from cmo_tf.sampling.undersampling import undersample
from tests.support.program import assert_same_end, program

GOLDEN = np.load(Path(__file__).parents[1] / "golden/undersampling.npz", allow_pickle=False)
LABELS, SEED = GOLDEN["labels"], int(GOLDEN["seed"])
TINY = ("--dataset=digits --imbalance_ratio=20 --max_per_class=40 --model=resnet8 --batch_size=14 --lr=0.02 --epochs=2 "
        "--warmup_epochs=1 --mix_skip_first=0 --mix_skip_last=0 --sampler=undersample").split()


def test_the_draws_of_imbalanced_learn():
    np.testing.assert_array_equal(undersample(LABELS, np.random.RandomState(SEED)), GOLDEN["indices"])
    np.testing.assert_array_equal(undersample(LABELS, np.random.RandomState(SEED), cap=20), GOLDEN["cap20_indices"])
    assert sorted(undersample(np.zeros(5, int), np.random.RandomState(0))) == [0, 1, 2, 3, 4]


def order(**options):
    return epoch_order("undersample", LABELS, np.bincount(LABELS), SEED, None, **options)


def test_an_epoch_keeps_its_length_and_goes_through_one_subset():
    epochs = [order()(epoch) for epoch in range(3)]
    for indices in epochs:
        assert len(indices) == len(LABELS) and set(indices) == set(GOLDEN["indices"])
        assert np.ptp(np.bincount(indices)[GOLDEN["indices"]]) <= 1  # each as often as any other
    assert not np.array_equal(epochs[0], epochs[1])
    np.testing.assert_array_equal(epochs[2], order()(2))


def test_drawn_anew_or_with_a_cap():
    subsets = [frozenset(order(redraw=True)(epoch)) for epoch in range(3)]
    assert len(set(subsets)) == 3 and {len(subset) for subset in subsets} == {40}
    assert set(order(cap=20)(0)) == set(GOLDEN["cap20_indices"])


def test_foregrounds_come_from_all_images():
    stream = train_stream(np.zeros((len(LABELS), 2, 2, 1), "uint8"), LABELS, batch_size=16, seed=0, probability=1.0,
                          sampler="undersample")
    batches = list(stream.take(60))
    assert len(np.unique(np.concatenate([batch["index"] for batch in batches]))) == 40
    assert len(np.unique(np.concatenate([batch["index_q"] for batch in batches]))) > 100


@pytest.mark.parametrize(("flags", "told"), [
    (["--undersample_cap=5"], "--undersample_cap=5: is for --sampler=undersample"),
    (["--undersample_redraw"], "--undersample_redraw: is for"),
    (["--sampler=undersample", "--reweight=drw"], "--reweight=drw: weighs by the class counts"),
    (["--sampler=undersample", "--undersample_cap=9", "--test_prior=uniform"], "--test_prior=uniform: starts from")])
def test_flags_that_contradict_it(flags, told):
    with pytest.raises(UserError, match=told):
        config.parse(flags)


@pytest.mark.parametrize("loss", ["bs", "ldam", "lade", "logit_adjust"])
def test_a_loss_with_class_counts_is_refused(loss, tmp_path):
    ended = program(*TINY, f"--loss={loss}", "--model=resnet20", f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and f"--sampler=undersample: --loss={loss} works with the class counts" in ended.err


@pytest.mark.usefixtures("small_networks", "no_plots")
def test_a_run_resumes_the_same_and_a_second_stage_has_its_own_sampler(tmp_path):
    given, (whole, parts) = [*TINY, "--method=crt", "--mix=cmo", "--stage2_epochs=1", "--undersample_cap=3"], (
        tmp_path / "whole", tmp_path / "parts")
    assert program(*given, "--max_steps=12", f"--run_dir={whole}").code == 0
    for steps in (7, 12):
        assert program(*given, f"--max_steps={steps}", f"--run_dir={parts}").code == 0
    assert_same_end(whole, parts)
