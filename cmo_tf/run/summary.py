"""What a run says before its first step, and the list of pictures that it left out."""

import os

from cmo_tf.report.results import write_atomically
from cmo_tf.report.svg import one_line
from cmo_tf.run import rollback

SKIPPED = "skipped.txt"


def lines(run, checkpoint) -> list[str]:
    """The set with its largest and smallest class by name, its split, and where the run stands."""
    data, timeline = run.data, run.timeline
    found = [*(checkpoint[2] if checkpoint else []), *(f"warning: {text}" for text in timeline.warnings())]
    sizes = "/".join(str(len(data.groups[g])) for g in ("many", "medium", "few"))
    most, least = (one_line(data.class_names[place], 40) for place in (data.counts.argmax(), data.counts.argmin()))
    found.append(f"{run.whole.dataset}: {len(data.train)} training images, {data.num_classes} classes of "
                 f"{data.counts.max()} ({most}) to {data.counts.min()} ({least}) images "
                 f"(many/medium/few {sizes}), {len(data.test)} test images")
    if run.config.batch_size > len(data.train):
        found.append(f"warning: --batch_size={run.config.batch_size}: the training split has {len(data.train)} images; "
                     "each epoch is one step on all of them")
    if data.skipped:
        found.append(f"warning: {len(data.skipped)} bad pictures left out, see {os.path.join(run.run_dir, SKIPPED)}")
    found += [one_line(f"warning: {run.whole.dataset}: {text}", 1000) for text in data.notes]
    if len(run.replicas) > 1 and run.replicas[-1][0] == run.global_step:
        before, now = (number for _, number in run.replicas[-2:])
        found.append(f"warning: {before} replicas until here, {now} from here on: batches are cut up in another way, "
                     "so that the end is not to the bit that of an undisturbed run")
    if run.rollback:
        found.append(f"warning: {rollback.line(run.rollback)}")
    found.append(f"split fingerprint {data.fingerprint}")
    found.append(f"{'resuming at' if checkpoint else 'starting:'} step {run.global_step} of {run.total_steps}, "
                 f"{timeline.steps_per_epoch} steps an epoch, into {run.read_dir}")
    return found


def write_skipped(run_dir: str, skipped) -> None:
    """skipped.txt: a line for each picture that could not be read, `path: what is wrong`; no file where there is
    none."""
    if skipped:
        rows = [" ".join(line.split()) for _, line in skipped]
        write_atomically(os.path.join(run_dir, SKIPPED), "\n".join(rows) + "\n")
