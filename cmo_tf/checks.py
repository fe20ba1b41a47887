"""Flags of fine-tuning, early stopping and bad pictures that do not go together, a line each."""

from cmo_tf.methods import METHODS

# Methods of more than one stage that begin with ordinary training of --model.
ORDINARY_FIRST = ("crt", "lws", "tau_norm", "las", "mislas", "fsa", "smote", "borderline_smote")


def contradictions(config) -> list[str]:
    """What is wrong with a Config; empty where nothing is."""
    stages = METHODS[config.method].stages is not None
    checks = (
        (config.early_stop and not config.val_fraction, f"--early_stop={config.early_stop}: looks at validation "
         "images; add --val_fraction=0.1"),
        (config.early_stop and stages, f"--early_stop={config.early_stop}: the stages of --method={config.method} have "
         "a fixed length; leave it out"),
        (config.keep == "best" and not config.val_fraction, "--keep=best: the best epoch is that on validation images; "
         "add --val_fraction=0.1"),
        (config.keep == "best" and stages, f"--keep=best: what --method={config.method} leaves is that of its last "
         "stage; leave it out"),
        ((config.early_stop or config.keep == "best") and config.strategy == "multiworker",
         f"--{'early_stop' if config.early_stop else 'keep'}: the chief alone evaluates with --strategy=multiworker; "
         "leave it out"),
        (config.freeze_backbone and not config.init_weights, "--freeze_backbone: a backbone that learns nothing must "
         "come from a file; add --init_weights=FILE"),
        (config.init_weights and stages and config.method not in ORDINARY_FIRST,
         f"--init_weights: --method={config.method} makes its own network; leave it out"),
        (config.init_weights and config.init_from, "--init_weights: --init_from gives the network already; leave one "
         "of them out"),
    )
    return [line for wrong, line in checks if wrong]
