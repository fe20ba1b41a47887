"""What can be asked of a finished run."""

import os
import sys

import numpy as np

from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.models.weights import saved_file
from cmo_tf.report import results
from cmo_tf.run import calibration, split_file, stages
from cmo_tf.run.checkpoint import CheckpointStore
from cmo_tf.run.repeatable import make_repeatable


def evaluate(run_dir: str, config) -> dict:
    """`--mode=eval`: accuracy of a run's model.keras, from the run folder and its data alone; writes nothing.

    The test pictures are those of the run's split.csv; what is new or gone is said on stderr.
    """
    path = os.path.join(run_dir, "model.keras")
    if not os.path.exists(path):
        raise UserError(f"--run_dir={run_dir}: no model.keras there; let the run finish first")
    make_repeatable(config)
    data = split_file.load(run_dir, config)
    for note in data.notes if data.kept.named else ():
        print(f"cmo_tf: {config.dataset}: {note}", file=sys.stderr)
    network = saved_file.load(path)
    config = stages.legs(config, len(data.train))[-1].config  # the loss of the last stage says what logits mean
    evaluator = build.evaluator(config, data.counts, network, build.loss(config, data.counts))
    if config.calibrate != "none":
        calibration.apply(config, evaluator, results.read_results(run_dir))
    predictions = evaluator.predict(data.test, data.size, data.decode)
    return results.evaluate(predictions, data.counts, data.class_names, data.groups)


def weights(run_dir: str) -> dict[str, np.ndarray]:
    """Arrays of a run's newest good checkpoint, for comparing runs."""
    found = CheckpointStore(os.path.join(run_dir, "checkpoints")).load()
    if found is None:
        raise UserError(f"--run_dir={run_dir}: no checkpoint there")
    return found[0]
