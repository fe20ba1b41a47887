"""`--early_stop` and `--keep=best`: functions of the history, which every checkpoint holds: resuming is exact."""

from cmo_tf.core.errors import UserError
from cmo_tf.evaluation.metrics import macro_accuracy
from cmo_tf.run import checkpoint, state

# Means over other orders of summation differ by less; an improvement is more.
LEAST = 1e-9


def score(predictions, num_classes: int) -> float:
    """What epochs are judged by on validation images: mean accuracy over classes, in percent (a validation split of
    pictures is not balanced where rare classes have none to give)."""
    return macro_accuracy(predictions.labels, predictions.predicted, num_classes)


def due(config, history) -> bool:
    """Whether the last evaluated epoch of a history is `--early_stop` epochs behind the best one."""
    best, since = None, 0
    for row in history:
        value = row.get("val_balanced")
        if value is None:
            continue
        if best is None or value > best + LEAST:
            best, since = value, row["epoch"]
        late = row["epoch"] - since >= config.early_stop
    return bool(config.early_stop) and best is not None and late


def keep(run) -> dict:
    """Puts the weights of the best epoch into the model under `--keep=best`, from its checkpoint; what results.json
    says of both flags."""
    found = {"stopped_early": run.ended, "kept": {"which": "last", "epoch": run.history[-1]["epoch"]}
             if run.history else None}
    if run.whole.keep == "best" and run.best:
        if run.best["step"] != run.global_step:
            arrays = _best_arrays(run)
            state.restore(run.model, {k: v for k, v in arrays.items() if not k.startswith("metric")})
        found["kept"] = {"which": "best", "epoch": run.best["epoch"]}
    return found


def _best_arrays(run):
    try:
        return checkpoint.read(run.store.path(run.best["step"]))[0]
    except UserError as error:
        raise UserError(f"--keep=best: the checkpoint of epoch {run.best['epoch']} is no longer good ({error}); put it "
                        "back from a copy, or train in another --run_dir") from None
