"""Every public name has a runnable example and annotations; the examples run."""

import doctest
import importlib
import inspect
import re

import pytest

from tests.support.program import ROOT

# Public name -> the module it is written in: those that the README, docs/api.md and users' scripts rely on.
NAMES = {
    "mixing.cmo": ["CMO", "CMO.pack"],
    "mixing.boxes": ["cut_box"],
    "classifier.classifier": ["LongTailClassifier"],
    "long_tail": ["class_counts", "select_indices", "count_labels", "long_tailed_counts", "shot_groups",
                  "validation_split"],
    "sampling.distribution": ["class_distribution"],
    "core.class_counts": ["effective_number", "effective_number_weights", "inverse_frequency_weights"],
    "pipeline.stream": ["train_stream"],
    "pipeline.records": ["minority_stream", "zip_streams"],
    "pipeline.order": ["steps_per_epoch"],
    "losses.cross_entropy": ["CrossEntropy"],
    "losses.ldam": ["LDAM", "ldam_margins"],
    "losses.balanced_softmax": ["BalancedSoftmax"],
    "losses.logit_adjusted": ["LogitAdjusted"],
    "losses.lade": ["LADE"],
    "losses.focal": ["Focal"],
    "losses.focal_sigmoid": ["FocalSigmoid"],
    "losses.influence_balanced": ["InfluenceBalanced"],
    "losses.label_aware_smoothing": ["LabelAwareSmoothing"],
    "losses.paco": ["PaCo"],
    "losses.ride": ["RIDE"],
    "losses.ride_router": ["ExpertAssignment"],
    "losses.mixed": ["Mixed", "mixed_terms"],
    "callbacks.drw": ["DRW"],
    "callbacks.reweight": ["Reweight"],
    "callbacks.mix_window": ["MixWindow"],
    "optim.sgd": ["SGD"],
    "models": ["create"],
    "models.torch_weights": ["load_torch_weights"],
    "evaluation.metrics": ["per_class_accuracy", "macro_accuracy", "accuracy_by_group", "confusion_matrix"],
    "evaluation.calibration": ["reliability", "softmax_confidence"],
    "evaluation.prior": ["logit_offset"],
}
# Written without an example, annotated all the same.
ANNOTATED = {
    "losses.base": ["LongTailLoss.build", "LongTailLoss.terms", "LongTailLoss.sums", "LongTailLoss.__call__"],
    "classifier.classifier": ["LongTailClassifier.compile", "LongTailClassifier.fit", "LongTailClassifier.call"],
    "mixing.base": ["PlannedMixer", "PlannedMixer.call"],
    "callbacks.loss_phase": ["LossPhase"],
    "models": ["create_experts", "preprocess"],
    "evaluation.metrics": ["micro_accuracy", "confusion_pairs", "mean_or_none"],
    "evaluation.calibration": ["overconfidence", "overconfidence_by_group", "predictions_from_logits"],
    "long_tail": ["rows_by_class", "fingerprint"],
    "sampling.distribution": ["class_table"],
}


def named(table):
    return [(module, name) for module, names in table.items() for name in names]


def found(module, name):
    thing = importlib.import_module(f"cmo_tf.{module}")
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


@pytest.mark.parametrize("module", NAMES)
def test_examples(module):
    """All of the module, each as a reader would type it."""
    results = doctest.testmod(importlib.import_module(f"cmo_tf.{module}"))
    assert results.attempted and not results.failed


@pytest.mark.parametrize(("module", "name"), named(NAMES))
def test_there_is_an_example(module, name):
    assert ">>> " in found(module, name).__doc__


@pytest.mark.parametrize(("module", "name"), named(NAMES) + named(ANNOTATED))
def test_annotations(module, name):
    """Of every parameter, and of what a function returns."""
    thing = found(module, name)
    function = thing.__init__ if inspect.isclass(thing) else thing
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        assert parameter.name == "self" or parameter.kind == parameter.VAR_KEYWORD or \
            parameter.annotation is not parameter.empty, f"{name}({parameter.name})"
    assert inspect.isclass(thing) or signature.return_annotation is not signature.empty, name


def test_the_api_page_names_them():
    """docs/api.md has every name with an example."""
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for _, name in named(NAMES):
        assert re.search(rf"\b{name.split('.')[-1]}\b", page), name
