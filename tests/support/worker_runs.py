"""Runs of the program on several workers, as processes of this machine that meet on the loopback."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

from tests.support.program import ROOT, Ended, newest

# Four steps an epoch; the rate is small, so that rounding does not grow.
TINY = ("--dataset=digits --imbalance_ratio=20 --max_per_class=20 --model=resnet20 --method=ldam_drw --mix=cmo "
        "--epochs=3 --batch_size=15 --lr=1e-4 --warmup_epochs=1 --mix_skip_first=0 --mix_skip_last=1 --eval_every=3 "
        "--many_above=15 --few_below=2 --checkpoint_every_steps=2").split()


def free_ports(number) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class Workers:
    """`python -m cmo_tf.main --strategy=multiworker` on n workers.

    Args:
        number: n.
        run_dir: of all of them.
        arguments: of all; `own` has what a worker gets in addition, index -> arguments.
    """

    def __init__(self, number, run_dir, *arguments, own=None, timeout=10):
        self.run_dir, self.ports = run_dir, free_ports(number)
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "cmo_tf.main", "--strategy=multiworker", f"--worker_hosts={hosts}",
                 f"--worker_index={index}", f"--worker_timeout={timeout}", f"--run_dir={run_dir}", *map(str, arguments),
                 *(own or {}).get(index, [])], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT)})
            for index in range(number)]

    def end(self, timeout=400) -> list[Ended]:
        """How each of them ended."""
        try:
            found = []
            for process in self.processes:
                out, err = process.communicate(timeout=timeout)
                found.append(Ended(process.returncode, out, err))
            return found
        finally:
            for process in self.processes:
                process.kill()

    def signal_at(self, step, index, number=signal.SIGKILL) -> list[Ended]:
        """Sends a signal to a worker once there is a checkpoint of `step`; how all ended, and after how many seconds
        from it the last one did."""
        while newest(self.run_dir) < step and all(p.poll() is None for p in self.processes):
            time.sleep(0.01)
        self.processes[index].send_signal(number)
        began = time.monotonic()
        found = self.end()
        self.seconds = time.monotonic() - began
        return found


def message(ended) -> str:
    """The one line for the user among what TensorFlow writes to stderr."""
    lines = re.findall(r"^cmo_tf: .*$", ended.err, re.MULTILINE)
    assert len(lines) == 1 and "Traceback" not in ended.err, ended.err
    return lines[0]
