"""`--test_prior`: logits moved from the training distribution to that of the test set."""

import numpy as np
import pytest

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.prior import logit_offset

COUNTS = [80, 15, 5]
PRIOR = np.array(COUNTS) / 100


def posterior(likelihood, prior):
    joint = likelihood * prior
    return joint / joint.sum(1, keepdims=True)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.fixture
def shifted(tmp_path):
    path = tmp_path / "prior.txt"
    path.write_text("1\n1\n2\n")
    return f"file:{path}", np.array([0.25, 0.25, 0.5])


def test_is_bayes_rule(shifted):
    likelihood = np.random.default_rng(0).uniform(0.1, 1, (6, 3))
    trained, balanced = np.log(posterior(likelihood, PRIOR)), np.log(posterior(likelihood, np.ones(3) / 3))
    for name, test in (("uniform", np.ones(3) / 3), ("train", PRIOR), shifted):
        expected = posterior(likelihood, test)
        np.testing.assert_allclose(softmax(trained + logit_offset(name, COUNTS)), expected)
        np.testing.assert_allclose(softmax(balanced + logit_offset(name, COUNTS, prior_free=True)), expected)


def test_tau_and_none():
    assert logit_offset("none", COUNTS) is None
    np.testing.assert_allclose(logit_offset("uniform", COUNTS, tau=2.0), -2 * np.log(PRIOR))
    assert not logit_offset("uniform", COUNTS, tau=2.0, prior_free=True).any()
    assert logit_offset("uniform", [9, 3, 0])[2] == logit_offset("uniform", [9, 3, 3])[2] + np.log(12 / 15)


@pytest.mark.parametrize("text", ["1\n2\n", "1\n2\n0\n", "1\n2\n-1\n", "a\nb\nc\n", "1 2\n3 4\n5 6\n", "1\n2\nnan\n"])
def test_bad_files_are_named(text, tmp_path):
    path = tmp_path / "prior.txt"
    path.write_text(text)
    with pytest.raises(UserError, match="--test_prior=file:.*prior.txt"):
        logit_offset(f"file:{path}", COUNTS)


def test_bad_values():
    with pytest.raises(UserError, match="--test_prior=file:/nowhere"):
        logit_offset("file:/nowhere", COUNTS)
    for value in ("uniforn", "file:", ""):
        with pytest.raises(UserError, match="--test_prior.*none, uniform"):
            logit_offset(value, COUNTS)
