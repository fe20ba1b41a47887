"""`--calibrate=temperature`: after training, a temperature for the confidences, fitted on the validation images.

What is calibrated is what a run reports and serves: predictions.npz, the calibration in results.json and the report,
`--mode=predict`, the probabilities of exported models. model.keras itself stays as it was trained.
"""

import sys

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation import calibration, temperature

PRIOR = ("test_prior", "test_tau")


def check(config, data) -> None:
    """A UserError if there is nothing to fit on; asked before training."""
    if config.calibrate != "none" and data.validation is None:
        raise UserError(f"--calibrate={config.calibrate}: no class has an image to give for validation; raise "
                        f"--val_fraction={config.val_fraction:g} or leave --calibrate out")


def predict(config, evaluator, data):
    """Predictions of the test images, and {} or {"calibration": what results.json says of it}.

    The Evaluator divides by the temperature from then on. The fit sees validation images only.
    """
    logits = evaluator.logits(data.test, data.size, data.decode)
    plain = evaluator.from_logits(data.test.labels, logits)
    if config.calibrate == "none":
        return plain, {}
    validation, labels = evaluator.logits(data.validation, data.size, data.decode), data.validation.labels
    found = {"kind": config.calibrate, "images": len(labels),
             "validation": {"before": _validation(evaluator, labels, validation)},
             "test": {"before": calibration.summary(plain, data.groups, data.num_classes)}}
    found["temperature"] = temperature.fit(labels, evaluator.scaled(validation))
    _divide(evaluator, found["temperature"])
    after = evaluator.from_logits(data.test.labels, logits)
    found["validation"]["after"] = _validation(evaluator, labels, validation)
    found["test"]["after"] = calibration.summary(after, data.groups, data.num_classes)
    return after, {"calibration": found}


def _validation(evaluator, labels, logits) -> dict:
    bins = calibration.reliability(**vars(evaluator.from_logits(labels, logits)))
    return {"nll": temperature.nll(labels, evaluator.scaled(logits)), "ece": bins.ece}


def _divide(evaluator, by: float | None):
    evaluator.scale /= by or 1.0


def line(found: dict) -> str:
    """results["calibration"] as a line for the log."""
    if found["temperature"] is None:
        return (f"warning: --calibrate={found['kind']}: no temperature fits the {found['images']} validation images "
                "(all are right, or none is better than chance); confidences stay as they are")
    before, after = (100 * found["test"][when]["ece"] for when in ("before", "after"))
    return (f"temperature {found['temperature']:.4f} fitted on {found['images']} validation images; ECE on the test "
            f"images {before:.2f} -> {after:.2f} %")


def apply(config, evaluator, results) -> None:
    """Lets the Evaluator of a finished run divide by the temperature that its results.json holds.

    With another --test_prior than the run's own the temperature was fitted for other logits: it is left out, and a
    line on stderr says so.

    Raises:
        UserError: `--calibrate` is asked for and the run was not calibrated.
    """
    if config.calibrate == "none":
        return
    if not results.get("calibration"):
        raise UserError(f"--calibrate={config.calibrate}: the run was trained without, and the temperature is fitted "
                        "when training ends; leave it out")
    if any(results["flags"].get(name) != getattr(config, name) for name in PRIOR):
        print(f"cmo_tf: the run's temperature belongs to --test_prior={results['flags'].get('test_prior')}; "
              "probabilities are not calibrated", file=sys.stderr)
        return
    _divide(evaluator, results["calibration"]["temperature"])
