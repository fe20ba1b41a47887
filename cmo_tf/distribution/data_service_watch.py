"""A data service that has gone: its client waits for it, silently, in the middle of a step."""

import contextlib
import os
import sys
import threading

from cmo_tf.core.errors import UserError
from cmo_tf.distribution.data_service import check_address

EVERY, PATIENCE = 5.0, 4  # seconds between two looks; looks in a row without an answer


@contextlib.contextmanager
def watched(addresses: str | None, end=None):
    """Ends the process, exit code 2 and one line, when a service has not answered for about 20 seconds.

    The thread that trains waits inside TensorFlow and cannot be told, so the process ends at once; checkpoints are
    whole at any moment.

    Args:
        addresses: of `--data_service`; None: nothing to watch.
        end: function of the message, for tests.
    """
    if not addresses:
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(addresses.split(","), done, end or _end), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(addresses, done, end):
    missed = dict.fromkeys(addresses, 0)
    while not done.wait(EVERY):
        for address in addresses:
            missed[address] = 0 if _answers(address) else missed[address] + 1
            if missed[address] == PATIENCE:
                end(f"--data_service: {address} has not answered for {EVERY * PATIENCE:.0f} s; start it again (all of "
                    "them: each counts its batches), then the same command resumes from the last checkpoint")
                return


def _answers(address):
    try:
        check_address(address, EVERY)
    except UserError:
        return False
    return True


def _end(message):
    print(f"cmo_tf: {message}", file=sys.stderr, flush=True)
    os._exit(2)
