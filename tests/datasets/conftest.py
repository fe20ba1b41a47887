import pytest


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory):
    """A TFDS directory with small copies of cifar10, cifar100 and fashion_mnist."""
    from tests.support.tiny_tfds import TINY, make_tfds_set

    data_dir = tmp_path_factory.mktemp("tiny_tfds")
    for name, per_class in TINY.items():
        make_tfds_set(data_dir, name, *per_class)
    return data_dir


@pytest.fixture
def no_network(monkeypatch):
    """Any look-up of a host or any connection fails, and is a bug."""
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError(f"network used: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
