"""`--on_nan`: a loss or weights that are no longer finite end the run or, once, take it back to a checkpoint.

The loss is looked at after each step, as a number that Keras has read from the device anyway; weights when they are
about to be saved, so that no checkpoint holds others than finite ones. A run goes back to the newest checkpoint whose
next step had a finite loss, of those that the flags made due: not to that of a stop request, so that a run which was
stopped before, between or after ends alike. The lowered rate is part of the checkpoints from there on.
"""

import dataclasses
import json
import math
import os

import numpy as np

from cmo_tf.classifier import build
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import workers
from cmo_tf.report import results

FILE = "nan.json"
SHOWN = 16  # rows of a batch that the line for the user names


class NotFinite(Exception):  # noqa: N818 - the run may yet go on
    """What is not finite after a step: "loss is nan". `since` counts the steps that the weights are useless since."""

    def __init__(self, what, since):
        super().__init__(what)
        self.since = since


def check_loss(value: float) -> None:
    """NotFinite for a mean loss of the epoch that holds a step which is not finite."""
    if not math.isfinite(value):
        raise NotFinite(f"loss is {value}", since=1)  # it is that of the weights before the step


def check_weights(arrays) -> None:
    """NotFinite where an array of a checkpoint is not, name -> array."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise NotFinite(f"weight {name.split(':', 1)[1]} is no longer finite", since=0)


def explain(run, found) -> str:
    """What happened at which step, at which rate and on which rows, in one line; all of the rows go into nan.json."""
    last = max(run.step - 1, 0)  # a stage may have no step
    inside = last // run.timeline.steps_per_epoch
    rate, epoch, rows = run.timeline.lr(inside), run.leg.first_epoch + inside + 1, _rows(run, last)
    told = {"what": str(found), "step": run.global_step, "epoch": epoch, "learning_rate": rate}
    results.write_atomically(os.path.join(run.run_dir, FILE), json.dumps(told | results.plain(rows)) + "\n")
    return (f"the {found} at step {run.global_step} (epoch {epoch}, learning rate {rate:g}, {_named(rows)}; "
            f"{os.path.join(run.read_dir, FILE)} has all of the batch)")


def _rows(run, step):
    """Columns of the batch of a step of the stage, made again: it is a function of the seed and the step."""
    config = dataclasses.replace(run.config, strategy="none", num_devices=0, worker_hosts=None, worker_index=None,
                                 sync_bn=False, data_service=None)
    stream = run.leg.stage.stream(build, config, run.data, run.timeline, step)
    batch = next(iter(stream.take(1)))
    found = {k: batch[k].numpy() for k in ("index", "label", "index_q", "label_q", "lam") if k in batch}
    images = run.data.train.images
    if images.ndim == 1 and images.dtype.kind in "US":  # paths; rows behind the last one are made of others (SMOTE)
        found |= {f"image{k[5:]}": [os.fsdecode(images[row]) if row < len(images) else None for row in found[k]]
                  for k in ("index", "index_q") if k in found}
    return found


def _named(rows):
    """Row numbers of the training split, as many as a line takes."""
    if "index" not in rows:
        return "rows that are no images of the split"

    def some(key):
        shown = ", ".join(str(row) for row in rows[key][:SHOWN])
        return f"{shown} and {len(rows[key]) - SHOWN} more" if len(rows[key]) > SHOWN else shown
    if "index_q" not in rows or np.array_equal(rows["index"], rows["index_q"]):
        return f"rows {some('index')} of P, unmixed"
    return f"rows {some('index')} of P and {some('index_q')} of Q"


def go_back(run, found) -> int:
    """Takes a run back and lowers its rate; returns the number of the leg that it is in then.

    Raises:
        UserError: it may not, by `--on_nan`, or has done so before.
    """
    text = explain(run, found)
    if run.rollback or run.whole.on_nan == "stop":
        run.progress.note(text)
        raise UserError(f"{text}; {_way_out(run)}")
    useless = run.global_step - found.since
    checkpoint = run.store.load(up_to=max((s for s in run.due_steps if s < useless), default=min(run.due_steps)))
    step = checkpoint[1]["step"] if checkpoint else 0
    workers.agree(run.whole, "checkpoint to go back to", [f"step {step}"])  # before the chief writes it anew
    rollback = {"from_step": run.global_step, "to_step": step, "what": str(found),
                "rate_factor": run.whole.nan_rate_factor}
    run.progress.line(f"warning: {text}; {line(rollback)}")
    return _again(run, checkpoint, rollback)


def line(rollback) -> str:
    """What a run says of having gone back."""
    return (f"went back from step {rollback['from_step']} to {rollback['to_step']} and on with "
            f"{rollback['rate_factor']:g} times the learning rate (--on_nan=rollback)")


def _again(run, checkpoint, rollback):
    """Puts a run to a checkpoint, or to its beginning, with a lower rate that a new checkpoint there tells of."""
    session = run.resumed_from, run.seconds_before
    run.rollback = rollback
    if checkpoint:
        checkpoint[1]["rollback"] = rollback
    number = run.begin(checkpoint)
    run.resumed_from, run.seconds_before = session
    run.save(partial=run.metric_state is not None)
    run.publish()
    run.progress.back_to(run.global_step)
    return number


def _way_out(run):
    steps = run.store.steps()
    kept = f"the checkpoint of step {steps[-1]} is kept" if steps else "there was no checkpoint yet"
    if run.rollback:
        return f"{kept}. The run {line(run.rollback)}; begin anew in another --run_dir with a lower --lr"
    return (f"{kept}. The same command with --on_nan=rollback goes back once and on with {run.whole.nan_rate_factor:g} "
            "times the learning rate (--nan_rate_factor); or begin anew in another --run_dir with a lower --lr")
