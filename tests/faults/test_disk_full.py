"""Promise 4: where a disk is full the run ends with one line that says what was needed; the last good checkpoint is
intact, nothing half written stays, and with room again the run ends bit for bit as in one go.

The limit is that of the system on the size of a file, which refuses as a full disk does; one test fills a real one.
"""

import contextlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from cmo_tf.core import disk
from cmo_tf.core.errors import UserError
from cmo_tf.monitoring import tensorboard
from cmo_tf.monitoring.event_file import EventFile
from cmo_tf.monitoring.progress import Progress
from cmo_tf.report import results
from cmo_tf.run import checkpoint, classes, run
from cmo_tf.run.checkpoint import CheckpointStore
from tests.support.fault_runs import assert_undisturbed, file_limit, small
from tests.support.program import ROOT, SHORT, tree

TOLD = re.compile(r"(.+): no room for it \((?:File too large|No space left on device)\): at least ([\d,]+) bytes are "
                  r"needed, [\d,]+ are free there\. Make room and give the same command again; .*")


def needed(message, path) -> int:
    """The bytes that a message names, which is about `path`."""
    told = TOLD.fullmatch(str(message))
    assert told, message
    assert re.search(path, told[1]), message
    return int(told[2].replace(",", ""))


def test_a_file_that_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "metrics.csv"
    results.write_atomically(path, "old")
    with file_limit(1000), pytest.raises(UserError) as refused:
        results.write_atomically(path, 5000 * "x")
    assert needed(refused.value, r"/metrics\.csv$") == 5000
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["metrics.csv"]


@pytest.mark.parametrize(("limit", "arrays"), [(3000, 2000), (300, 10), (100, 0)],
                         ids=["arrays.npz", "meta.json", "SHA256SUMS"])
def test_a_checkpoint_leaves_the_last_one_intact(limit, arrays, tmp_path, monkeypatch):
    store = CheckpointStore(str(tmp_path))
    content = {"w": np.arange(arrays, dtype=np.float32)} if arrays else {}
    store.save(1, content, {"note": "x" * (400 if limit == 300 else 1)})
    before = tree(tmp_path)
    if limit == 300:  # small arrays still make an archive larger than that
        monkeypatch.setattr(checkpoint.np, "savez", lambda file, **_: file.write(b"x"))
    with file_limit(limit), pytest.raises(UserError) as refused:
        store.save(2, content, {"note": "x" * (400 if limit == 300 else 1)})
    assert 4 * arrays <= needed(refused.value, "step-0000000002$") <= 4 * arrays + 1000
    assert tree(tmp_path) == before and store.steps() == [1]
    assert store.load()[1]["step"] == 1


def test_the_log(tmp_path):
    path = tmp_path / "log.txt"
    progress = Progress(str(path), 10, quiet=True)
    progress.line("first")
    with file_limit(path.stat().st_size + 10), pytest.raises(UserError) as refused:
        progress.line("second " * 10)
    assert 70 < needed(refused.value, r"/log\.txt$") < 100
    with file_limit(path.stat().st_size):
        progress.close()  # cannot write what is left over, and does not say so again
    Progress(str(path), 10, quiet=True).line("third")
    first, cut, third = path.read_text().splitlines()
    assert first.endswith(" first") and third.endswith(" third") and len(cut) == 10


def test_the_log_on_a_device_that_is_full(tmp_path):
    os.symlink("/dev/full", tmp_path / "log.txt")
    with pytest.raises(UserError) as refused:
        Progress(str(tmp_path / "log.txt"), 10, quiet=True).line("first")
    assert "No space left on device" in str(refused.value) and needed(refused.value, "log.txt") == 26


def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    file = EventFile(str(tmp_path))
    file.add(1, tensorboard.scalar("loss", 0.5))
    size = os.path.getsize(file.path)
    picture = tensorboard.picture("panel", np.zeros((1, 1, 3), np.uint8), 9000 * b"x")
    with file_limit(size + 5000), pytest.raises(UserError) as refused:
        file.add(1, picture)
    assert 9000 < needed(refused.value, "tfevents") < 9200
    read = [value.tag for event in EventFileLoader(file.path).Load() for value in event.summary.value]
    assert read == ["loss"]


def test_a_model(tmp_path, whole):
    import keras
    network = keras.models.load_model(whole / "model.keras")
    with file_limit(2000), pytest.raises(UserError) as refused:
        classes.save_model(str(tmp_path), network, ["a", "b"])
    assert needed(refused.value, r"/model\.keras$") == 4 * network.count_params()
    assert os.listdir(tmp_path) == []


def test_other_errors_of_the_system_are_one_line_too(tmp_path):
    with pytest.raises(UserError, match=r"/x: cannot be written \(Not a directory\); mend that and give the same"), \
            disk.writing(tmp_path / "x", 1):
        os.mkdir(tmp_path / "x")
        (tmp_path / "x" / "file").write_text("")
        os.mkdir(tmp_path / "x" / "file" / "inside")
    with pytest.raises(OSError, match="no number"), disk.writing(tmp_path / "x", 1):
        raise OSError("no number")


@contextlib.contextmanager
def full_at(monkeypatch, place, name, limit, call=1):
    """The disk is full while call number `call` of a function of the program runs."""
    calls, function = 0, getattr(place, name)

    def limited(*arguments, **options):
        nonlocal calls
        calls += 1
        with file_limit(limit) if calls == call else contextlib.nullcontext():
            return function(*arguments, **options)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, limited)
        yield


# What is written -> the function, the limit, at its which call, what is said, step of the newest checkpoint after it.
PLACES = {
    "flags.cfg": (run.folder, "write_flags", 100, 1, r"/flags\.cfg$", None),
    "log.txt": (Progress, "note", 0, 3, r"/log\.txt$", None),
    "panel.png": (run.panel, "write", 1000, 1, r"/panel\.png$", None),
    "class counts on TensorBoard": (tensorboard.Board, "_show", 2000, 1, "tfevents", None),
    "arrays.npz of a checkpoint": (checkpoint, "_write", 3000, 2, "step-0000000004$", 2),
    "metrics.csv": (run.results, "write_history", 50, 2, r"/metrics\.csv$", 5),
    "meta.json of a checkpoint": (checkpoint, "_write", 6000, 2, "step-0000000008$", 6),
    "curves on TensorBoard": (tensorboard.Board, "write", 0, 2, "tfevents", 10),
    "predictions.npz": (run.results, "write_predictions", 500, 1, r"/predictions\.npz$", 15),
    "model.keras": (run.classes, "save_model", 5000, 1, r"/model\.keras$", 15),
    "results.json": (run.results, "write_results", 500, 1, r"/results\.json$", 15),
    "the end of TensorBoard": (tensorboard.Board, "finish", 0, 1, "tfevents", 15),
    "report.html": (run, "write_report", 5000, 1, r"/report\.html$", 15),
}


def fail_at(place, run_dir, monkeypatch):
    """One start of the small run that meets a full disk at a place of PLACES."""
    owner, name, limit, call, path, newest = PLACES[place]
    with full_at(monkeypatch, owner, name, limit, call):
        ended = small(run_dir)
    assert ended.code == 2 and ended.out == "", (place, ended.err)
    last = ended.err.splitlines()[-1]
    assert last.startswith("cmo_tf: ") and "Traceback" not in ended.err
    print(f"{place}: {needed(last.removeprefix('cmo_tf: '), path):,} bytes needed")
    store = CheckpointStore(str(run_dir / "checkpoints"))
    found = store.load()
    assert (found and found[1]["step"]) == newest and not store.damaged, place
    assert not [p for p in run_dir.rglob("*") if "tmp" in p.name], place


def test_a_run_meets_a_full_disk_at_a_checkpoint_and_at_the_end(whole, small_networks, no_plots, tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    for place in ("arrays.npz of a checkpoint", "results.json"):
        fail_at(place, run_dir, monkeypatch)
    assert small(run_dir).code == 0
    assert_undisturbed(run_dir, whole)


@pytest.mark.faults
def test_a_run_meets_a_full_disk_at_every_place_in_turn(whole, small_networks, tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    for place in PLACES:
        fail_at(place, run_dir, monkeypatch)
    ended = small(run_dir)
    assert ended.code == 0, ended.err
    assert_undisturbed(run_dir, whole)
    assert (run_dir / "report.html").stat().st_size > 20_000


# Fills a disk of 16 MB but for some room, runs, makes room, runs again. In a mount namespace of its own, so that only
# it sees the disk; without the right to have one, `ulimit` takes the place of the small disk.
REAL = """
if mount -t tmpfs -o size=16m none "$1" 2>/dev/null; then
  head -c 10300000 /dev/zero > "$1/others"
  echo disk; ROOM='rm "$1/others"'
else
  echo limit; ulimit -Sf 1000; ROOM='ulimit -Sf unlimited'
fi
program() { "$PYTHON" -m cmo_tf.main $ARGUMENTS --run_dir="$1/run" > "$2/out"; }
program "$1" "$2" 2> "$2/first.err"; echo $?
find "$1" -name '*tmp*'; ls "$1/run/checkpoints" | tail -n 1
eval "$ROOM"
program "$1" "$2" 2> "$2/second.err"; echo $?
ulimit -Sf unlimited; cp -r "$1/run" "$2/run"
"""


@pytest.mark.faults
def test_a_real_disk_that_is_full(finished, tmp_path):
    """SHORT has checkpoints of 2.3 MB, so that there is room for the first one or two alone."""
    mount = tmp_path / "disk"
    mount.mkdir()
    inside = ["unshare", "--user", "--map-root-user", "--mount"]
    allowed = subprocess.run([*inside, "true"], capture_output=True).returncode == 0
    done = subprocess.run([*(inside if allowed else []), "sh", "-c", REAL, "sh", mount, tmp_path], text=True, cwd=ROOT,
                          capture_output=True, env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT),
                                                    "ARGUMENTS": " ".join(SHORT)})
    print(done.stdout, (tmp_path / "first.err").read_text())
    kind, first, *left, second = done.stdout.split()
    assert (first, second) == ("2", "0"), done.stderr
    assert all(name.startswith("step-") for name in left)
    needed((tmp_path / "first.err").read_text().splitlines()[-1].removeprefix("cmo_tf: "), "step-")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["resumed_from_steps"] == [
        int(name[5:]) for name in left]
    assert_undisturbed(tmp_path / "run", finished[0], epochs=25)
