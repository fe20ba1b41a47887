"""A data service that dies in the middle of a run: the run ends in one line and resumes exactly."""

import contextlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from cmo_tf.distribution import data_service_watch
from tests.support.program import ROOT, SHORT, assert_same_end, newest, program, start


@contextlib.contextmanager
def services():
    """Two services of the tool: (process, addresses)."""
    tool = subprocess.Popen([sys.executable, ROOT / "tools" / "data_service.py", "--workers=2"], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield tool, tool.stdout.readline().strip().removeprefix("--data_service=")
    finally:
        tool.terminate()
        tool.wait(60)


def test_a_silent_service_is_told(monkeypatch):
    monkeypatch.setattr(data_service_watch, "EVERY", 0.02)
    told, over = [], threading.Event()
    alive, dying = (socket.create_server(("localhost", 0)) for _ in range(2))
    addresses = [f"localhost:{one.getsockname()[1]}" for one in (alive, dying)]
    with alive, data_service_watch.watched(",".join(addresses), lambda message: (told.append(message), over.set())):
        assert not over.wait(0.2)
        dying.close()
        assert over.wait(10)
    assert len(told) == 1 and told[0].startswith(f"--data_service: {addresses[1]} has not answered for")
    with data_service_watch.watched(None):
        assert not [t for t in threading.enumerate() if t.name.endswith("(_watch)")]


@pytest.mark.faults
def test_a_killed_service_ends_the_run_and_it_resumes(tmp_path):
    flags = [f for f in SHORT if not f.startswith("--epochs")] + ["--epochs=100"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert program(*flags, f"--run_dir={whole}").code == 0
    with services() as (tool, addresses):
        run = start(*flags, f"--data_service={addresses}", f"--run_dir={broken}")
        while run.poll() is None and newest(broken) < 40:
            time.sleep(0.02)
        children = subprocess.run(["pgrep", "-P", str(tool.pid)], capture_output=True, text=True, check=True).stdout
        subprocess.run(["kill", "-9", children.split()[1]], check=True)
        began = time.monotonic()
        _, err = run.communicate(timeout=120)
        took = time.monotonic() - began
    print(f"ended {took:.0f} s after the kill, at step {newest(broken)}")
    assert run.returncode == 2 and took < 60
    assert f"cmo_tf: --data_service: {addresses.split(',')[1]} has not answered for 20 s" in err.splitlines()[-1]
    assert 40 <= newest(broken) < 400 and not (broken / "results.json").exists()
    with services() as (_, addresses):
        ended = program(*flags, f"--data_service={addresses}", f"--run_dir={broken}")
    assert ended.code == 0, ended.err
    assert_same_end(whole, broken)
