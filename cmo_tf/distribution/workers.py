"""Several hosts: who the workers are, joining them, agreeing with them, and what happens when one is lost.

Worker 0 is the chief: it alone writes the run folder. All read the same folder, data and flags. A worker that dies
ends the others with one line; the same command on all of them resumes.
"""

import contextlib
import dataclasses
import functools
import json
import os
import socket
import time

import numpy as np
import tensorflow as tf

from cmo_tf.core.errors import UserError

LENGTH = 1 << 15  # of a text that workers compare
# What TensorFlow raises where a collective operation lost its other side.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
        tf.errors.InternalError, tf.errors.UnknownError)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """host:port of every worker, chief first, and which of them this process is."""

    hosts: tuple[str, ...]
    index: int


def cluster(config) -> Cluster:
    """The workers by `--worker_hosts` and `--worker_index`, or by the variable TF_CONFIG. UserError without either."""
    given = os.environ.get("TF_CONFIG")
    if config.worker_hosts:
        if given and not _ours(given):
            raise UserError("--worker_hosts: TF_CONFIG is set too; leave one of them out")
        if config.worker_index is None:
            raise UserError("--worker_hosts: --worker_index is missing, the place of this worker in the list")
        return _checked(Cluster(tuple(config.worker_hosts.split(",")), config.worker_index), "--worker_hosts")
    if config.worker_index is not None:
        raise UserError("--worker_index: --worker_hosts is missing; without either TF_CONFIG says both")
    if not given:
        raise UserError("--strategy=multiworker: name the workers, --worker_hosts=host:port,host:port with "
                        "--worker_index, or set TF_CONFIG")
    try:
        described = json.loads(given)
        hosts, task = described["cluster"], described["task"]
        chiefs = list(hosts.get("chief", []))
        index = int(task["index"]) + (len(chiefs) if task["type"] == "worker" else 0)
        return _checked(Cluster((*chiefs, *hosts.get("worker", [])), index), "TF_CONFIG")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG={given}: cannot be read ({error}); it is JSON with cluster: {{worker: [host:port, "
                        "...]}} and task: {type: worker, index: 0}") from None


def _checked(found, source):
    for host in found.hosts:
        name, colon, port = host.rpartition(":")
        if not (name and colon and port.isdigit() and 0 < int(port) < 65536):
            raise UserError(f"{source}: {host!r} is not host:port")
    if len(set(found.hosts)) < len(found.hosts) or len(found.hosts) < 2:
        raise UserError(f"{source}: {','.join(found.hosts)} are not two or more different workers")
    if not 0 <= found.index < len(found.hosts):
        raise UserError(f"{source}: worker {found.index} is not one of {len(found.hosts)}, counted from 0")
    return found


def _ours(text):
    return os.environ.get("CMO_TF_WORKERS") == text


def place(config) -> tuple[int, int]:
    """(index of this worker, number of workers); (0, 1) without several."""
    if config.strategy != "multiworker":
        return 0, 1
    found = cluster(config)
    return found.index, len(found.hosts)


def is_chief(config) -> bool:
    """Whether this process writes the run folder."""
    return place(config)[0] == 0


def strategy(config):
    """The MultiWorkerMirroredStrategy of this process; the first call joins the other workers."""
    return _join(cluster(config), config.worker_timeout)


@functools.cache
def _join(found, timeout):
    """Starts this worker's server and waits for the others, ten times as long as for one that falls silent later."""
    _check_port(found)
    described = {"cluster": {"worker": list(found.hosts)}, "task": {"type": "worker", "index": found.index}}
    os.environ["TF_CONFIG"] = os.environ["CMO_TF_WORKERS"] = json.dumps(described)
    from tensorflow.python.eager import context
    context.context().configure_coordination_service(
        "standalone", "/job:worker/replica:0/task:0", cluster_register_timeout_in_ms=int(10_000 * timeout),
        heartbeat_timeout_in_ms=int(1000 * timeout), shutdown_barrier_timeout_in_ms=1000,
        coordinated_jobs=[_job(len(found.hosts))])
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"--strategy=multiworker: worker {found.index} of {', '.join(found.hosts)} could not join the "
                        f"others ({reason}); start all of them within {10 * timeout:g} s") from None


def _job(tasks):
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
    return coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=tasks)


def _check_port(found):
    """gRPC shares ports silently: a second server on one would get some of its calls."""
    port = int(found.hosts[found.index].rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(f"--worker_hosts: port {port} of worker {found.index} cannot be opened "
                            f"({error.strerror}); end what uses it or name another") from None


def gather(config, values) -> np.ndarray:
    """int32 (workers, n): the n whole numbers that each worker brings."""
    own = tf.constant(values, tf.int32)
    place = strategy(config)
    found = _gather(place)(own).numpy()
    return found[::len(place.extended.worker_devices)]


@functools.cache
def _gather(place):
    @tf.function(reduce_retracing=True)
    def everywhere(own):
        def replica(own):
            return tf.distribute.get_replica_context().all_gather(own[None], axis=0)
        return place.experimental_local_results(place.run(replica, args=(own,)))[0]
    return everywhere


def agree(config, what: str, lines: list[str]) -> None:
    """Refuses to go on, on all workers alike, unless all of them bring the same lines.

    Raises:
        UserError: names the first worker that differs from the chief, with the lines that differ.
    """
    if config.strategy != "multiworker":
        return
    texts = [_text(row).split("\n") for row in gather(config, _code("\n".join(lines)))]
    for index, text in enumerate(texts):
        if text != texts[0]:
            here, there = ([t for t in a if t not in b] for a, b in ((texts[0], text), (text, texts[0])))
            raise UserError(f"worker {index} has another {what} than the chief: {' '.join(there) or 'nothing'} in "
                            f"place of {' '.join(here) or 'nothing'}; start all workers alike")


def of_chief(config, value):
    """What the chief brings (anything that JSON can hold, up to 32 kB of it), on all workers; others bring None."""
    if config.strategy != "multiworker":
        return value
    row = gather(config, _code("" if value is None else json.dumps(value)))[0]
    return json.loads(_text(row))


def _code(text):
    code = np.frombuffer(text.encode(), np.uint8)[:LENGTH]
    return np.pad(code, (0, LENGTH - len(code))).astype(np.int32)


def _text(row):
    return bytes(row[row > 0].astype(np.uint8)).decode(errors="replace")


def wait(config) -> None:
    """Until all workers are here."""
    if config.strategy == "multiworker":
        gather(config, [0])


def stop_request(config, local):
    """The stop request of a run, given that of this process."""
    return SharedStop(config, local) if config.strategy == "multiworker" else local


class SharedStop:
    """A stop request of any worker, known to all at the same step.

    Args:
        config: of the run.
        local: the StopRequest of this process.

    Workers ask each other about once a second, at steps that all reckon alike from the slowest one's pace. `number` is
    that of the signal, the same on all.
    """

    def __init__(self, config, local):
        self.config, self.local, self.number = config, local, None
        self.asked, self.next, self.when = 0, 0, time.monotonic()

    def poll(self, step) -> None:
        """Asks the others, if it is time, after a step of the stage."""
        if step < self.asked:  # a new stage counts anew
            self.asked = self.next = 0
        if self.number is not None or step < self.next:
            return
        now = time.monotonic()
        pace = 1000.0 * (now - self.when) / max(step - self.asked, 1)
        found = gather(self.config, [self.local.number or 0, int(pace)]).max(axis=0)
        self.number = int(found[0]) or None
        self.asked, self.when = step, now
        self.next = step + min(max(1000 // max(int(found[1]), 1), 1), 50)


@contextlib.contextmanager
def watched(config):
    """Turns the errors of a lost worker into one line."""
    if config.strategy != "multiworker":
        yield
        return
    try:
        yield
    except LOST as error:
        found = cluster(config)
        lines = [line.strip() for line in error.message.splitlines()]
        reason = next((line for line in lines if line and not line.startswith(("Graph execution", "Detected at"))), "")
        raise UserError(f"worker {found.index} lost another one of {', '.join(found.hosts)} ({reason[:160]}); the run "
                        "is saved up to its last checkpoint, and the same command on all workers resumes it") from None
