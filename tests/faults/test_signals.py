"""Promise 2: SIGTERM and SIGINT save within one training call and exit with 143 and 130; the rest is as in one go. A
second SIGINT quits at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cmo_tf.classifier.evaluator import Evaluator
from cmo_tf.report.results import read_results
from cmo_tf.run.recorder import Recorder
from tests.support.fault_runs import assert_undisturbed, small
from tests.support.method_runs import TINY
from tests.support.program import ROOT, SHORT, assert_same_end, newest, program, start, tree

INTERRUPTED = "cmo_tf: interrupted; the same command starts or resumes it\n"
SIGNALS = ((signal.SIGTERM, 143), (signal.SIGINT, 130))


@pytest.fixture(autouse=True)
def heard():
    """A shell starts jobs in the background with SIGINT ignored, and so were tests that run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number):
    os.kill(os.getpid(), number)


def in_a_training_call(monkeypatch, step, number):
    """A signal comes while TensorFlow computes the step after step `step`."""
    senders = []

    def begin(recorder, batch, logs=None):
        if recorder.run.step == step:
            senders.append(threading.Timer(0.002, send, [number]))
            senders[0].start()

    def end(recorder, batch, logs=None):
        for sender in senders:  # no later than the end of that call
            sender.join()
        return on_train_batch_end(recorder, batch, logs)
    on_train_batch_end = Recorder.on_train_batch_end
    monkeypatch.setattr(Recorder, "on_train_batch_begin", begin)
    monkeypatch.setattr(Recorder, "on_train_batch_end", end)


def in_an_evaluation(monkeypatch, number):
    """A signal comes while the test images are looked at."""
    predict = Evaluator.predict

    def predict_and_send(*arguments):
        send(number)
        return predict(*arguments)
    monkeypatch.setattr(Evaluator, "predict", predict_and_send)


def assert_stopped(ended, run_dir, number, code, step):
    assert ended.code == code and ended.out == ""
    assert f"stopped by a signal at step {step}; saved\n" in ended.err
    name = signal.Signals(number).name
    assert ended.err.splitlines()[-1] == f"cmo_tf: stopped by {name}; the same command resumes"
    assert newest(run_dir) == step and "Traceback" not in ended.err
    assert not (run_dir / "results.json").exists()


def test_inside_a_training_call_and_inside_an_evaluation(whole, small_networks, no_plots, tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    for (number, code), come, step in ((SIGNALS[0], lambda p: in_a_training_call(p, 2, signal.SIGTERM), 3),
                                       (SIGNALS[1], lambda p: in_an_evaluation(p, signal.SIGINT), 5)):
        with monkeypatch.context() as patch:
            come(patch)
            assert_stopped(small(run_dir), run_dir, number, code, step)
    assert small(run_dir).code == 0
    assert read_results(str(run_dir))["resumed_from_steps"] == [3, 5]
    assert_undisturbed(run_dir, whole)


def test_in_the_last_step_before_a_stage_without_steps(small_networks, no_plots, tmp_path, monkeypatch):
    """The stage that is left makes the network another: a run that leaves it out is not done."""
    def two_stages(run_dir):
        return program(*TINY, "--model=stem_alone", "--method=tau_norm", "--tau=0.7", f"--run_dir={run_dir}")
    one_go, run_dir = tmp_path / "one_go", tmp_path / "run"
    assert two_stages(one_go).code == 0
    last = newest(one_go)
    with monkeypatch.context() as patch:
        in_a_training_call(patch, last - 1, signal.SIGTERM)
        assert_stopped(two_stages(run_dir), run_dir, signal.SIGTERM, 143, last)
    ended = two_stages(run_dir)
    assert ended.code == 0, ended.err
    assert_same_end(one_go, run_dir)
    assert read_results(str(run_dir))["method"] == read_results(str(one_go))["method"]


def test_a_second_interrupt_quits_at_once():
    """Whatever the process is about: the handler of the first one gives SIGINT back to the system."""
    code = ("import os, signal, time\nfrom cmo_tf.run import signals\n"
            "with signals.listening() as request:\n    os.kill(os.getpid(), signal.SIGINT)\n"
            "    print(request.number, flush=True)\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n")
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "2\n", "")
    assert time.monotonic() - began < 30


def test_interrupted_before_training_it_says_so_in_one_line(monkeypatch, tmp_path):
    from cmo_tf.run import data

    def load(*_):
        send(signal.SIGINT)
    monkeypatch.setattr(data, "load", load)
    ended = program(*SHORT, f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 130 and ended.out == ""
    assert ended.err == INTERRUPTED
    assert not (tmp_path / "run").exists()


@pytest.mark.faults
def test_real_signals_and_an_impatient_user(finished, tmp_path):
    """SIGTERM, SIGINT, and SIGINT twice, of which the second one comes in the middle of saving."""
    run_dir, saved = tmp_path / "run", []
    for aim, (number, code) in zip((20, 50), SIGNALS, strict=True):
        process = start(*SHORT, f"--run_dir={run_dir}")
        wait_for(process, run_dir, aim)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (code, ""), err
        saved.append(newest(run_dir))
        assert f"stopped by a signal at step {saved[-1]}; saved" in err and "Traceback" not in err
    slow = ("import sys, time\nfrom cmo_tf.main import import_tensorflow, main\nimport_tensorflow()\n"
            "from cmo_tf.run.run import Run\n"
            "def save(run, **_):\n    print('saving', flush=True)\n    time.sleep(60)\n"
            "Run.save = save\nmain(sys.argv[1:])\n")
    process = subprocess.Popen([sys.executable, "-c", slow, *SHORT, f"--run_dir={run_dir}"], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "saving\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    seconds = time.monotonic() - began
    print(f"stopped at steps {saved}; {seconds:.3f} s from the second SIGINT to the end")
    assert process.returncode == -signal.SIGINT and seconds < 5
    ended = program(*SHORT, f"--run_dir={run_dir}")
    assert ended.code == 0, ended.err
    assert read_results(str(run_dir))["resumed_from_steps"] == saved
    assert_undisturbed(run_dir, finished[0], epochs=25)


@pytest.mark.faults
def test_a_real_interrupt_before_training(tmp_path):
    """While TensorFlow is imported: no page of Python."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts behind ignore it
    process = start(*SHORT, f"--run_dir={tmp_path / 'run'}")
    signal.signal(signal.SIGINT, before)
    while process.poll() is None and "libtensorflow" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "") and err == INTERRUPTED
    assert tree(tmp_path) == {}


def wait_for(process, run_dir, step):
    while process.poll() is None and newest(run_dir) < step:
        time.sleep(0.002)
