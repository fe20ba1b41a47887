"""What a run saves of itself, and how another process goes on from it."""

import os

from cmo_tf.methods import METHODS
from cmo_tf.methods.stage import stages_of
from cmo_tf.report import results
from cmo_tf.run import data, early_stop, folder, rollback, stages, state


def save(run, partial: bool, due: bool) -> None:
    """Writes a checkpoint of the step that a run is at.

    Args:
        partial: it cuts an epoch, whose running means it holds too.
        due: by the flags; one for a stop is none that `--on_nan=rollback` goes back to.

    Raises:
        finite.NotFinite: weights are not finite; nothing is written.
    """
    arrays, metrics = state.arrays(run.model), run.metric_state or state.metric_state(run.model)
    rollback.check_weights(arrays)
    if due:
        run.due_steps = sorted({*run.due_steps, run.global_step})[-2:]
    meta = {"history": run.history, "best": run.best, "partial": partial, "seconds": run.seconds,
            "found": run.found, "steps_per_epoch": run.legs[0].timeline.steps_per_epoch,
            "whole_steps": stages.whole_steps(run.whole, len(run.data.train)),
            "stage": run.legs.index(run.leg), "stages": len(stages_of(METHODS[run.whole.method], run.whole)),
            "split_fingerprint": run.data.fingerprint, "labels": run.data.labels_fingerprint,
            "resumed_from_steps": run.resumed_from, "flags": run.whole.arguments(), "due_steps": run.due_steps,
            "replicas": run.replicas, "rollback": run.rollback}
    if run.chief:  # the others helped to read what all hold a part of
        run.store.save(run.global_step, {**arrays, **metrics}, results.plain(meta),
                       kept=(*run.due_steps, run.best and run.best["step"]))


def restore(run, arrays, meta) -> None:
    """Puts the state of a checkpoint into a run that has built the leg which it is in."""
    metrics = {k: v for k, v in arrays.items() if k.startswith("metric")}
    state.restore(run.model, {k: v for k, v in arrays.items() if k not in metrics})
    run.step, run.history, run.best = meta["step"] - run.leg.first_step, meta["history"], meta["best"]
    run.resumed_from = [*meta["resumed_from_steps"], meta["step"]]
    run.seconds_before, run.found = meta["seconds"], meta.get("found", {})
    run.due_steps = meta.get("due_steps") or [meta["step"]]
    now, run.replicas = run.replicas[-1][1], meta.get("replicas") or run.replicas
    before = run.replicas[-1][1]
    if before != now:
        run.replicas = [*run.replicas, [meta["step"], now]]
    # Each replica has the sums of all, and a variable reads as their sum.
    run.metric_state = {k: v * (now / before) for k, v in metrics.items()} if meta["partial"] else None


def leg_of(run, meta) -> int:
    """Number of the leg that a checkpoint is in. UserError where it belongs to another run."""
    folder.check_same_run(run.read_dir, run.whole, meta)
    data.check_same(run.data, run.read_dir, meta["split_fingerprint"], meta.get("labels"))
    return min(meta["stage"], len(run.legs) - 1)


def finished(run, checkpoint) -> dict | None:
    """Results of a run that has nothing left to do, else None."""
    if checkpoint is None or not os.path.exists(os.path.join(run.read_dir, "results.json")):
        return None
    meta, config = checkpoint[1], run.whole
    whole = meta["whole_steps"] if meta["stages"] > 1 else config.epochs * meta["steps_per_epoch"]
    total = min(whole, config.max_steps or whole)
    written = results.read_results(run.read_dir)
    ended = meta["step"] >= total or early_stop.due(config, meta["history"])
    if not ended or written["steps"] != meta["step"]:
        return None
    folder.check_same_run(run.read_dir, config, meta)
    print(f"{run.read_dir}: finished already, nothing to do")
    return written
