"""The run folder: who may write to it, and whether what lies in it belongs to the run that wants to go on."""

import contextlib
import dataclasses
import os
import re
import shutil
import tempfile

from cmo_tf import config as configuration
from cmo_tf.config import flagfile, flagtable
from cmo_tf.core.errors import UserError
from cmo_tf.methods import METHODS
from cmo_tf.report.results import write_atomically
from cmo_tf.run import classes
from cmo_tf.run.timeline import Timeline

# Flags that may differ on resuming: they change neither what is trained nor what finished steps were. None of them
# changes a bit of the weights; eval_batch_size alone changes the rounding of what is evaluated.
FREE = {"max_steps", "data_dir", "download", "cache", "eval_batch_size", "checkpoint_every", "checkpoint_every_steps",
        "early_stop", "max_bad", "num_devices", "on_nan"}


def default_run_dir(files: list[str], seed: int) -> str:
    """`runs/<stem of the first flag file>-s<seed>`; for a run's own flags.cfg `<that run>-again`, for suggested.cfg of
    `--mode=inspect` the name of what was looked at."""
    if not files:
        return os.path.join("runs", f"default-s{seed}")
    folder, name = os.path.split(os.path.abspath(files[0]))
    if name == "flags.cfg" and os.path.isdir(os.path.join(folder, "checkpoints")):
        return f"{folder}-again"
    stem = flagtable.stem(files[0])
    if name == "suggested.cfg" and os.path.exists(os.path.join(folder, "inspect.json")):
        stem = os.path.basename(folder).removeprefix("inspect-")
    return os.path.join("runs", f"{stem}-s{seed}")


@contextlib.contextmanager
def writing(run_dir: str, chief: bool = True):
    """Yields the folder that this process writes: the run's, locked, or a temporary one for a worker other than the
    chief."""
    if not chief:
        with tempfile.TemporaryDirectory(prefix="cmo-tf-worker-") as other:
            yield other
        return
    lock = open_run(run_dir)
    sweep(run_dir)
    try:
        yield run_dir
    finally:
        close_run(run_dir, lock)


def open_run(run_dir: str):
    """Makes the folder and locks it against a second run; the returned lock is released by the process' end, however it
    comes: a lock file that is left behind holds nobody off."""
    from filelock import FileLock
    check_writable(run_dir)
    lock = FileLock(os.path.join(run_dir, ".lock"))
    with _told(run_dir):
        os.makedirs(run_dir, exist_ok=True)
        lock.acquire(blocking=False)
    return lock


def check_writable(run_dir: str) -> None:
    """A UserError where files of a run could not be written: before data is read, not after hours of training. Leaves
    nothing behind."""
    flagfile.check_value("run_dir", run_dir)  # also one that a flag file gave its name
    if "://" in run_dir:
        raise UserError(f"--run_dir={run_dir}: is no folder of this machine; mount the storage and name its folder")
    new = not os.path.isdir(run_dir)
    try:
        with _told(run_dir):
            os.makedirs(run_dir, exist_ok=True)
            _try_writing(run_dir)
    finally:
        if new:
            with contextlib.suppress(OSError):
                os.rmdir(run_dir)


@contextlib.contextmanager
def _told(run_dir):
    from filelock import Timeout
    try:
        yield
    except Timeout:
        raise UserError(f"--run_dir={run_dir}: another run is writing there; wait for it or name another "
                        "folder") from None
    except (OSError, NotImplementedError) as error:  # the latter from a file system that knows no locks
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--run_dir={run_dir}: cannot be written ({reason}); name another folder") from None


def _try_writing(run_dir):
    for place in (run_dir, *(os.path.join(run_dir, name) for name in ("checkpoints", "tensorboard"))):
        if os.path.isdir(place):
            # As deep, and with a name as long, as the longest of them.
            with tempfile.TemporaryDirectory(prefix=".tmp-", dir=place) as inner, \
                    open(os.path.join(inner, 100 * "x"), "wb") as file:
                file.write(b"x")


def close_run(run_dir: str, lock) -> None:
    """Releases the lock; a folder that holds nothing but it, since the run failed before it began, goes too."""
    lock.release()
    if os.path.isdir(run_dir) and set(os.listdir(run_dir)) <= {".lock"}:
        shutil.rmtree(run_dir)


def sweep(run_dir: str) -> None:
    """Removes the temporary files of a process that was killed while it wrote them."""
    for place in filter(os.path.isdir, (run_dir, os.path.join(run_dir, "tensorboard"))):
        for path in (os.path.join(place, name) for name in os.listdir(place) if _TEMPORARY.fullmatch(name)):
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def write_flags(run_dir: str, config) -> None:
    """flags.cfg, which re-runs the run."""
    lines = ["# Re-runs this run: python -m cmo_tf.main --flagfile=<this file> [--run_dir=...]", *config.arguments()]
    write_atomically(os.path.join(run_dir, "flags.cfg"), "\n".join(lines) + "\n")


def read_config(run_dir: str, arguments=()):
    """The Config of the run in a folder, `arguments` behind its flags. UserError where there is none."""
    path = os.path.join(run_dir, "flags.cfg")
    if not os.path.exists(path):
        raise UserError(f"--run_dir={run_dir}: no flags.cfg there, so no run of this program")
    return configuration.parse([*flagfile.read(path), *arguments])[0]


def check_same_run(run_dir: str, config, meta: dict) -> None:
    """Refuses to resume with flags under which the finished steps would have been others, with a diff.

    Another `--epochs` (and what scales with it) passes while every finished step, also of an epoch that is not over,
    had the same rate, weights and mixing; the flags of FREE always do, and the factor of a rate that was not lowered.

    Args:
        meta: of the checkpoint that the run would go on from.
    """
    old = read_config(run_dir)
    before, now = (dict(_split(a) for a in c.arguments()) for c in (old, config))
    changed = {k for k in {*before, *now} if before.get(k) != now.get(k)} - FREE
    if not meta.get("rollback"):
        changed.discard("nan_rate_factor")
    if changed == {"epochs"} and not METHODS[config.method].stages and _same_course(old, config, meta):
        return
    if changed:
        diff = ", ".join(f"--{k}: was {before.get(k, 'unset')}, now {now.get(k, 'unset')}" for k in sorted(changed))
        why = ", under which finished steps would have been others" if changed == {"epochs"} else ""
        raise UserError(f"--run_dir={run_dir}: holds a run with other flags ({diff}{why}). "
                        "Repeat those to resume it, or name another --run_dir")


def _same_course(old, new, meta):
    """Whether all steps up to a checkpoint are in the course of both Configs, and the same."""
    per_epoch = meta["steps_per_epoch"]
    begun = -(-meta["step"] // per_epoch)
    if begun > new.epochs:
        return False
    one, other = (Timeline(config, per_epoch) for config in (old, new))
    return all(one.course(epoch) == other.course(epoch) for epoch in range(begun))


def _split(argument):
    """(name, value) of one of Config's own arguments."""
    name, equals, value = argument[2:].partition("=")
    if equals or name in _FIELDS:
        return name, value or "true"
    return name[2:], "false"


# Of `write_atomically`, `_try_writing` and `classes.save_model`.
_TEMPORARY = re.compile(r"\..+\.\d+\.tmp|\.tmp-.+|" + re.escape(classes.TEMPORARY))
_FIELDS = {field.name for field in dataclasses.fields(configuration.Config)}
