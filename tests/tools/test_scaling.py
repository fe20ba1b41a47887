"""tools/maintain/scaling.py, and what it holds a set of the size of iNaturalist 2018 to."""

import numpy as np
import pytest

from cmo_tf import long_tail
from tools.maintain import scaling


def test_a_set_like_inaturalist_is_ready_in_a_second_and_100_mb():
    images, classes = scaling.INATURALIST
    labels = scaling.labels_of(images, classes)
    counts = long_tail.count_labels(labels, classes)
    assert abs(len(labels) - images) < 100 and counts.min() >= 1 and counts.max() / counts.min() > 300
    seconds, mebibytes = scaling.cost(scaling.split_and_q, labels, classes, rounds=2)
    assert seconds < 1 and mebibytes * 2**20 < 100e6


def test_evaluation_of_many_classes_has_no_dense_confusion_matrix():
    labels = scaling.labels_of(20_000, 10_000)
    (found, confusions), (_, mebibytes) = scaling.evaluation(labels, 10_000), scaling.cost(
        scaling.evaluation, labels, 10_000, rounds=1)
    assert mebibytes < 20  # a dense one would take 763
    assert len(found["per_class"]) == 10_000 and confusions.shape == (10, 3)


@pytest.mark.slow
def test_the_tables_are_printed(capsys):
    assert scaling.main(["--largest=10000", "--rounds=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| 10,189 | 1,000 |") for line in lines) == 2
    shares = [float(line.split("|")[3]) for line in lines if line.split("|")[1:2] and line.split("|")[1].strip() in
              ("1", "4", "16", "64") and len(line.split("|")) == 5]
    assert len(shares) == 4 and np.all(np.asarray(shares) > 0)


def test_a_bad_flag_is_one_line(capsys):
    assert scaling.main(["--largest=5"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
