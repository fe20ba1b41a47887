"""Starts processes that make training batches for `--data_service`, on this machine or beside it.

    python tools/data_service.py --workers=2 [--host=localhost] [--port=0]
    python -m cmo_tf.main --data_service=localhost:40001,localhost:40002 ...

Each process is a tf.data service of its own, dispatcher and one worker, and makes every n-th batch, so that the batches
come in the order of a run without a service, bit for bit. Start it on several machines and join what they print with
commas. Image files must be under the same paths there. It runs until it is stopped (Ctrl-C), and serves any number of
runs.
"""

import os
import signal
import subprocess
import sys

from absl import flags


def serve(host: str, port: int) -> None:
    """One service in this process: prints its address and waits for the end of its input."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # batches are made on the CPU; the GPUs are the trainer's
    import tensorflow as tf
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    own = dispatcher.target.split("://")[1]
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=own, worker_address=f"{host}:%port%"))
    print(f"{host}:{own.rsplit(':', 1)[1]}", flush=True)
    sys.stdin.read()
    del worker, dispatcher


def main(arguments=None) -> int:
    """The command line."""
    values = flags.FlagValues()
    flags.DEFINE_integer("workers", 2, "processes", lower_bound=1, flag_values=values)
    flags.DEFINE_string("host", "localhost", "name under which trainers reach this machine", flag_values=values)
    flags.DEFINE_integer("port", 0, "port of the first process, the others take the following ones; 0: free ones",
                         lower_bound=0, upper_bound=65535, flag_values=values)
    flags.DEFINE_bool("serve", False, "be one of the processes", flag_values=values)
    try:
        values([__file__, *(sys.argv[1:] if arguments is None else arguments)])
    except flags.Error as error:
        print(f"data_service: {error}", file=sys.stderr)
        return 2
    if values.serve:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the end of input ends this one
        serve(values.host, values.port)
        return 0
    ports = [values.port + k if values.port else 0 for k in range(values.workers)]
    processes = [subprocess.Popen([sys.executable, __file__, "--serve", f"--host={values.host}", f"--port={port}"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for port in ports]
    try:
        return _announce(processes)
    finally:
        for process in processes:
            process.stdin.close()
        for process in processes:
            process.wait()


def _announce(processes) -> int:
    addresses = [process.stdout.readline().strip() for process in processes]
    if not all(addresses):
        print("data_service: a process did not start, its lines above say why; is --port taken?", file=sys.stderr)
        return 2
    print(f"--data_service={','.join(addresses)}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        return 0
    print("data_service: a process ended by itself", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
