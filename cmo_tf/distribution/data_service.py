"""The training stream made by other processes (tf.data service), batch for batch the same as here.

A service gives no order among its workers. So each address is a service of one worker, which makes every n-th batch,
and the client takes turns: batch i comes from worker i modulo n. Each numbers its batches, and the client counts along:
a worker that was started anew, which begins from the first batch again, is noticed and not trained on.
"""

import socket

import tensorflow as tf

from cmo_tf.core.errors import UserError

SECONDS = 10


def distributed(addresses: str, make):
    """The stream `make(turn=(0, 1))`, made by services.

    Args:
        addresses: host:port of each, with commas, as tools/data_service.py prints them.
        make: function turn=(k, n) -> endless tf.data.Dataset of every n-th element from the k-th on.

    Raises:
        UserError: nobody answers at an address, or the stream needs Python functions of this process.
    """
    hosts = [check_address(address) for address in addresses.split(",")]
    streams = []
    for number, (host, port) in enumerate(hosts):
        stream = make(turn=(number, len(hosts))).enumerate()
        if number == 0:
            _check_graph(stream)
        connect = tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.OFF, f"grpc://{host}:{port}", max_outstanding_requests=2)
        streams.append(stream.apply(connect))
    turns = tf.data.Dataset.range(len(hosts)).repeat()
    merged = tf.data.Dataset.choose_from_datasets(streams, turns, stop_on_empty_dataset=True)

    def counted(place, numbered):
        number, batch = numbered
        expected = place // len(hosts)
        check = tf.debugging.Assert(number == expected, ["--data_service: a worker began anew, batch", number,
                                                         "instead of", expected, "came; start the run again"])
        with tf.control_dependencies([check]):
            return {name: tf.identity(column) for name, column in batch.items()}

    # Not in parallel: the check is an op with state, and there is nothing to gain.
    return merged.enumerate().map(counted).prefetch(tf.data.AUTOTUNE)


def check_address(address: str, seconds: float = SECONDS) -> tuple[str, int]:
    """(host, port) of an address at which somebody answers within some seconds; else a UserError."""
    host, _, port = address.strip().removeprefix("grpc://").rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--data_service={address}: host:port is needed, as tools/data_service.py prints it")
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError as error:
        raise UserError(f"--data_service={address}: nobody answers ({error}); start tools/data_service.py") from None
    return host, int(port)


def _check_graph(stream):
    graph = tf.raw_ops.DatasetToGraphV2(input_dataset=tf.data.experimental.to_variant(stream))
    if b"PyFunc" in graph.numpy():
        raise UserError("--data_service: this stream needs Python functions of this process, which a service cannot "
                        "run: it takes image files or images in memory, --sampler=instance and --q_source=index")
