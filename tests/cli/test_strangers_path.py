"""A stranger's path, by the README's commands alone: pictures in folders -> inspect -> train -> report -> predict ->
export, in under 15 minutes on 2 cores."""

import csv
import json
import subprocess
import sys
import time

import pytest

from cmo_tf.config import MODES
from tests.support.photo_folder import NAMES, make
from tests.support.program import ROOT


def command(line, folder) -> str:
    """Runs `python -m cmo_tf.main LINE` in a folder of the stranger's; what it printed."""
    done = subprocess.run([sys.executable, "-m", "cmo_tf.main", *line.split()], cwd=folder, capture_output=True,
                          text=True, env=environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def environment():
    """The package is found as if it were installed."""
    import os
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(ROOT / "build" / "cache")}


@pytest.mark.slow
def test_from_a_folder_of_photographs_to_predictions(tmp_path):
    began = time.monotonic()
    make(tmp_path / "my_pictures", largest=120, ratio=20)
    (tmp_path / "my_pictures" / "cat" / "broken.jpg").write_bytes(b"")
    # With the budget of ten minutes that inspect aims at, the test would take them too: half of it is enough to see.
    printed = command("--mode=inspect --dataset=folder:my_pictures --epochs=60", tmp_path)
    assert "12 classes" in printed and "--flagfile=runs/inspect-my_pictures/suggested.cfg" in printed
    inspected = time.monotonic()
    printed = command("--flagfile=runs/inspect-my_pictures/suggested.cfg", tmp_path)
    trained = time.monotonic()
    run = tmp_path / "runs" / "my_pictures-s0"
    results = json.loads((run / "results.json").read_text())
    assert printed.startswith("accuracy: all=") and results["skipped_images"] == 1
    # Guessing gives 8 % on average over classes; the crops of a class are of one photograph.
    assert results["accuracy"]["all"] > 60 and results["macro"] > 40
    estimate = json.loads((tmp_path / "runs" / "inspect-my_pictures" / "inspect.json").read_text())["seconds"]
    print(f"inspect {inspected - began:.0f} s, training {trained - inspected:.0f} s (estimated {estimate:.0f} s), "
          f"{results['accuracy']}")
    assert estimate / 5 < trained - inspected < 5 * estimate
    page = (run / "report.html").read_text()
    assert all(name in page for name in NAMES) and "skipped.txt" in page
    assert "broken.jpg" in (run / "skipped.txt").read_text()
    assert "cat" in (run / "log.txt").read_text()
    if "predict" in MODES:
        command("--mode=predict --run_dir=runs/my_pictures-s0 --input=my_pictures/flower --output=found.csv", tmp_path)
        rows = list(csv.DictReader((tmp_path / "found.csv").open(newline="", encoding="utf-8")))
        assert len(rows) == len(list((tmp_path / "my_pictures" / "flower").iterdir()))
        assert sum("flower" in row.values() for row in rows) > len(rows) / 2
    if "export" in MODES:
        command("--mode=export --run_dir=runs/my_pictures-s0 --format=keras,savedmodel", tmp_path)
        assert any((run / "export").iterdir())
    assert time.monotonic() - began < 15 * 60
