"""What docs/pitfalls.md promises of the split and its counts."""

import numpy as np
import pytest

from cmo_tf import config
from cmo_tf.run import data

FLAGS = ("--dataset=digits", "--imbalance_ratio=20", "--max_per_class=60")


def loaded(*flags):
    return data.load(config.parse([*FLAGS, *flags])[0])


def test_the_split_has_a_seed_of_its_own():
    plain = loaded().fingerprint
    assert loaded("--seed=7").fingerprint == plain != loaded("--split_seed=7").fingerprint


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_counts_are_those_of_what_is_trained_on(fraction):
    """Losses, Q and groups are told them: after validation images are taken out, before anything is mixed or drawn."""
    found = loaded(f"--val_fraction={fraction}", "--sampler=class_balanced", "--mix=cmo")
    np.testing.assert_array_equal(found.counts, np.bincount(found.train.labels, minlength=10))
    assert (found.validation is None) == (fraction == 0)
