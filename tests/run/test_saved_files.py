"""Files that an earlier version wrote, with modules where they then were, load: tests/golden/saved."""

import shutil

import keras
import numpy as np
import pytest

from cmo_tf import CMO, LongTailClassifier
from cmo_tf.models.weights import saved_file
from cmo_tf.report.results import read_results
from cmo_tf.run import classes
from cmo_tf.run.checkpoint import CheckpointStore
from tests.support.program import ROOT, program
from tests.support.small_models import IMAGES

SAVED = ROOT / "tests/golden/saved"


def test_a_compiled_classifier_predicts_what_it_did():
    model = keras.models.load_model(SAVED / "classifier.keras")
    assert isinstance(model, LongTailClassifier) and isinstance(model.mixer, CMO)
    assert type(model.loss).__name__ == "LDAM" and model.optimizer.momentum == 0.9
    np.testing.assert_allclose(model(IMAGES[:4], training=False), np.load(SAVED / "logits.npy"), atol=1e-5)


def test_the_network_of_a_run():
    network = saved_file.load(str(SAVED / "run/model.keras"))
    assert network.output_shape == (None, 10) and classes.read(str(SAVED / "run"))[3] == "3"


@pytest.mark.usefixtures("small_networks")
def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    """In the middle of its second epoch, to the end."""
    shutil.copytree(SAVED / "run", tmp_path / "run")
    arrays, meta, skipped = CheckpointStore(str(tmp_path / "run/checkpoints")).load()
    assert meta["step"] == 6 and len(arrays) > 10 and not skipped
    ended = program(f"--flagfile={SAVED / 'run/flags.cfg'}", "--max_steps=20", f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 0, ended.err
    found = read_results(str(tmp_path / "run"))
    assert (found["steps"], found["epochs"], found["resumed_from_steps"]) == (20, 4, [6])
