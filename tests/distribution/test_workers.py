"""Who the workers are, from flags or TF_CONFIG, and what is refused before any of them is met."""

import json
import socket

import numpy as np
import pytest

from cmo_tf.config import Config
from cmo_tf.core.errors import UserError
from cmo_tf.distribution import workers
from cmo_tf.run.signals import StopRequest


@pytest.fixture(autouse=True)
def no_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)


def several(**flags):
    return Config(strategy="multiworker", **flags)


def test_the_workers_by_flags_and_by_tf_config(monkeypatch):
    config = several(worker_hosts="10.0.0.1:4000,10.0.0.2:4000", worker_index=1)
    assert workers.cluster(config) == workers.Cluster(("10.0.0.1:4000", "10.0.0.2:4000"), 1)
    assert workers.place(config) == (1, 2) and not workers.is_chief(config)
    assert workers.place(Config()) == (0, 1) and workers.is_chief(Config())
    for task, index in (({"type": "worker", "index": 1}, 2), ({"type": "chief", "index": 0}, 0)):
        described = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": task}
        monkeypatch.setenv("TF_CONFIG", json.dumps(described))
        assert workers.cluster(several()) == workers.Cluster(("a:1", "b:1", "c:1"), index)
    with pytest.raises(UserError, match="--worker_hosts: TF_CONFIG is set too"):
        workers.cluster(config)


@pytest.mark.parametrize("flags, told", [
    ({}, "name the workers, --worker_hosts="),
    (dict(worker_hosts="a:1,b:2"), "--worker_index is missing"),
    (dict(worker_index=0), "--worker_hosts is missing"),
    (dict(worker_hosts="a:1,b", worker_index=0), "'b' is not host:port"),
    (dict(worker_hosts="a:1", worker_index=0), "not two or more different workers"),
    (dict(worker_hosts="a:1,a:1", worker_index=0), "not two or more different workers"),
    (dict(worker_hosts="a:1,b:1", worker_index=2), "worker 2 is not one of 2"),
])
def test_bad_workers_are_one_line(flags, told):
    with pytest.raises(UserError, match=told):
        workers.cluster(several(**flags))


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": {}}', '{"cluster": {"worker": ["a:1", "b:1"]}, "task": 3}'])
def test_a_bad_tf_config_is_one_line(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG"):
        workers.cluster(several())


def test_a_taken_port_is_one_line():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} of worker 0 cannot be opened"):
            workers.strategy(several(worker_hosts=f"127.0.0.1:{port},127.0.0.1:1", worker_index=0))


def test_agreement_names_what_differs(monkeypatch):
    brought = []

    def gather(config, values):
        brought.append(np.array(values))
        return np.stack([brought[0], brought[-1]])
    monkeypatch.setattr(workers, "gather", gather)
    workers.agree(several(), "flags", ["--lr=0.1", "--seed=0"])
    workers.agree(several(), "flags", ["--lr=0.1", "--seed=0"])
    with pytest.raises(UserError, match="worker 1 has another flags than the chief: --seed=1 in place of --seed=0; "):
        workers.agree(several(), "flags", ["--lr=0.1", "--seed=1"])
    workers.agree(Config(), "flags", ["asks nobody"])


def test_what_the_chief_found_is_known_to_all(monkeypatch):
    """Exactly, floats too."""
    found = [{"all": 100 / 3, "few": None}, {"epoch": 3, "split": "öffentlich"}]
    sent = []
    monkeypatch.setattr(workers, "gather", lambda config, values: sent.append(values) or np.stack([sent[0], values]))
    assert workers.of_chief(several(), found) == found
    assert workers.of_chief(several(), None) == found
    assert workers.of_chief(Config(), found) is found


def test_a_stop_request_of_another_worker_is_known_to_all(monkeypatch):
    asked = []
    monkeypatch.setattr(workers, "gather", lambda config, values: asked.append(step) or
                        np.array([values, [15 if step >= 40 else 0, 100]]))
    stop = workers.stop_request(several(), StopRequest())
    for step in range(1, 60):
        stop.poll(step)
        if stop.number:
            break
    assert stop.number == 15 and asked == [1, 11, 21, 31, 41]  # a step of the slowest takes 0.1 s
    local = StopRequest()
    assert workers.stop_request(Config(), local) is local and local.poll(3) is None
