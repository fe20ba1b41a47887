"""SIGTERM and SIGINT end a mode that has nothing to save; what it was writing is removed."""

import contextlib
import signal

from cmo_tf.run.signals import Stopped


class Ended(Stopped):
    """Stopped by a signal; `exit_code` is 128 plus its number."""

    def __init__(self, number):
        super().__init__(number)
        self.args = (f"stopped by {signal.Signals(number).name}; nothing was written",)


@contextlib.contextmanager
def ending():
    """Raises Ended in the block when a signal comes; outside the main thread signals do what they did."""
    def end(number, _frame):
        raise Ended(number)
    before = {}
    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
