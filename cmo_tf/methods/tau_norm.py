"""tau-normalisation (Kang et al., "Decoupling Representation and Classifier", ICLR 2020).

Nothing is trained after stage 1: the weights of each class are divided by their norm to the power tau, and the bias is
dropped, `z_k = w_k . h / ||w_k||^tau`. tau is given, or the one of 0, 0.1 .. 2 with the best mean accuracy over classes
on the validation split (the smallest such). results.json has it, and the accuracies, under `method`.
"""

import json
import os
from dataclasses import dataclass

import numpy as np

from cmo_tf.core.errors import UserError
from cmo_tf.methods.presets import Method
from cmo_tf.methods.second_stage import first
from cmo_tf.methods.stage import Stage

TAUS = np.linspace(0.0, 2.0, 21)


@dataclass(frozen=True)
class Normalisation(Stage):
    """The second stage, without steps."""

    def classifier(self, build, config, data, previous):
        from cmo_tf.models.two_stage import without_bias
        if config.tau is None and config.init_from:
            check_split(config.init_from, data.fingerprint)
        return build.classifier(config, data, lambda objective: without_bias(previous, data.num_classes))

    def finish(self, build, config, data, model):
        from cmo_tf.models import two_stage
        kernel, found = two_stage.head(model.inner).kernel, {"tau": config.tau}
        if config.tau is None:
            evaluator = build.evaluator(config, data.counts, model.network, model.loss)
            logits = evaluator.logits(data.validation, data.size, data.decode)
            accuracies = [mean_accuracy(logits / two_stage.norms_to(kernel, tau), data.validation.labels)
                          for tau in TAUS]
            found = {"tau": round(float(TAUS[np.argmax(accuracies)]), 1),
                     "validation": [round(a, 2) for a in accuracies]}
        kernel.assign(kernel / two_stage.norms_to(kernel, found["tau"]))
        return found


def mean_accuracy(logits, labels) -> float:
    """Mean over the classes that have labels here of each one's accuracy, in percent."""
    right = logits.argmax(-1) == labels
    return float(100.0 * np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def check_split(run_dir, fingerprint) -> None:
    """A UserError where the first stage may have trained on the images that tau would be chosen on."""
    with open(os.path.join(run_dir, "results.json"), encoding="utf-8") as file:
        if json.load(file)["split_fingerprint"] != fingerprint:
            raise UserError(f"--init_from={run_dir}: was trained on another split, perhaps on this run's validation "
                            "images; give the same --val_fraction and data flags as there, or a --tau")


def stages(config):
    """The stages of the method, for the flags of a run."""
    if config.tau is None and not config.val_fraction:
        raise UserError("--method=tau_norm: chooses tau on a validation split; give --val_fraction=0.1, or a --tau")
    return [first(config), Normalisation("tau_norm", trains=False)]


METHOD = Method({}, "the classifier's weights divided by their norm to the power tau", "Kang et al., ICLR 2020", stages,
                "facebookresearch/classifier-balancing f162ade")
