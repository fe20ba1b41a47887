"""Flags: evaluation, and which weights are kept."""

import dataclasses

from cmo_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class EvaluationFields:
    """Evaluation, and which weights are kept."""

    eval_every: int = flag(1, "epochs between evaluations (the last one is always evaluated)", low=1)
    eval_batch_size: int = flag(500, "images evaluated at once", low=1)
    keep: str = flag("last", "epoch whose weights model.keras and the results are of, the last or the best on the "
                     "validation images", choices=("last", "best"))
    early_stop: int = flag(0, "stop after this many epochs without a better mean accuracy over classes on the "
                           "validation images; 0: never", low=0)
    many_above: int = flag(100, "many-shot classes have more training images than this", low=0)
    few_below: int = flag(20, "few-shot classes have fewer training images than this", low=0)
    calibrate: str = flag("none", "after training, divide logits by a temperature that the validation images choose, "
                          "so that confidences can be believed", choices=("none", "temperature"))
    test_prior: str = flag("none", "class distribution that logits are moved to at evaluation: none, uniform (post-hoc "
                           "logit adjustment), train or file:PATH, one number a class")
    test_tau: float = flag(1.0, "weight of the training prior that --test_prior takes out", low=0)
