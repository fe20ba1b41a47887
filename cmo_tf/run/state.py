"""Every number a run resumes from, as named arrays: weights, optimizer, loss weights, metrics and seed states."""

import hashlib

import numpy as np

from cmo_tf.core.errors import UserError


def variables(model) -> dict:
    """Name -> variable of a compiled LongTailClassifier, in a fixed order. Paths may repeat, so a number leads."""
    found, seen = {}, set()
    weights = [model.loss.class_weights] if model.loss.class_weights is not None else []
    for variable in [*model.variables, *model.optimizer.variables, *weights, *model.loss.state,
                     *getattr(model, "outer_variables", [])]:
        if id(variable) not in seen:
            seen.add(id(variable))
            found[f"{len(found):05d}:{variable.path}"] = variable
    return found


def arrays(model) -> dict[str, np.ndarray]:
    """The values of all variables."""
    return {name: np.asarray(variable.numpy()) for name, variable in variables(model).items()}


def fingerprint(model) -> str:
    """SHA-256 of the trained variables: the same on all workers of a run."""
    digest = hashlib.sha256()
    for variable in model.trainable_variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return f"weights {digest.hexdigest()[:16]}"


def restore(model, saved: dict[str, np.ndarray]) -> None:
    """Puts saved values back. UserError, before anything is assigned, where the run has other variables."""
    mine = variables(model)
    shapes = {_place(name): tuple(v.shape) for name, v in mine.items()}
    theirs = {_place(name): v.shape for name, v in saved.items()}
    if list(shapes.values()) != list(theirs.values()) or len(mine) != len(saved):
        odd = next((n for n in [*shapes, *theirs] if shapes.get(n) != theirs.get(n)), "their number")
        raise UserError(f"checkpoint: its variables are not those of this run (first difference: {odd}); "
                        "it was made by another version or with other flags. Use another --run_dir")
    for variable, value in zip(mine.values(), saved.values(), strict=True):
        variable.assign(value)


def metric_state(model, saved: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The running means of the epoch: their values, or, with `saved`, assigned from it. Keras resets them when an
    epoch begins, also one that a resumed run is in the middle of."""
    mine = {f"metric{i:03d}": v for i, v in enumerate(model.metrics_variables)}
    for name, variable in mine.items():
        if saved is not None:
            variable.assign(saved[name])
    return {name: np.asarray(v.numpy()) for name, v in mine.items()}


def _place(name):
    return name.split(":", 1)[0]
